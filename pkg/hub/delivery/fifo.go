package delivery

import (
	"container/list"

	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"
)

// fifo are requests in the order in which they came, each once. The zero value is
// empty.
type fifo struct {
	order list.List
	at    map[mcreconcile.Request]*list.Element
}

func (f *fifo) len() int { return f.order.Len() }

func (f *fifo) has(req mcreconcile.Request) bool { return f.at[req] != nil }

func (f *fifo) add(req mcreconcile.Request) {
	if _, ok := f.at[req]; ok {
		return
	}
	if f.at == nil {
		f.at = map[mcreconcile.Request]*list.Element{}
	}
	f.at[req] = f.order.PushBack(req)
}

func (f *fifo) drop(req mcreconcile.Request) {
	if element, ok := f.at[req]; ok {
		f.order.Remove(element)
		delete(f.at, req)
	}
}

// next takes the first.
func (f *fifo) next() (mcreconcile.Request, bool) {
	first := f.order.Front()
	if first == nil {
		return mcreconcile.Request{}, false
	}
	req, ok := f.order.Remove(first).(mcreconcile.Request)
	delete(f.at, req)
	return req, ok
}

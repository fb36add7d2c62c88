package members

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"golang.org/x/time/rate"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What a member may send, per connection. A Deployment with its status is about 2.5 KB
// as the hub reads it: there may be 13,000 of them in one list.
const (
	// maxAnswer bounds the answer to one request, and of a watch what is there when it
	// begins; maxEvent bounds each event that follows. In bytes. API servers store no
	// object of more than a few MiB.
	maxAnswer = 32 << 20
	maxEvent  = 8 << 20
	// readBurst is what is read at once, in bytes, readRate what is read per second
	// from then on.
	readBurst = 32 << 20
	readRate  = 8 << 20
)

// errTooLarge is of an answer that was not read to its end.
var errTooLarge = errors.New("the answer is too large")

// frugal reads answers no faster and no further than a member is allowed to make the
// hub work for it.
type frugal struct {
	next   http.RoundTripper
	budget *rate.Limiter
	// refuse is told of an answer that is too large. It must not block.
	refuse func(message string)
}

func newFrugal(next http.RoundTripper, refuse func(message string)) *frugal {
	return &frugal{next: next, budget: rate.NewLimiter(readRate, readBurst), refuse: refuse}
}

// RoundTrip leaves the body to be read.
func (f *frugal) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := f.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	query := request.URL.Query()
	response.Body = &answer{
		ReadCloser: response.Body, frugal: f, ctx: request.Context(), path: request.URL.Path,
		// A watch that begins with all that exists is a list until that has come.
		list: query.Get("watch") == "" || query.Get("sendInitialEvents") == "true",
	}
	return response, nil
}

// answer is the body of one response.
type answer struct {
	io.ReadCloser
	*frugal
	ctx  context.Context
	path string
	// list is true while it is one answer, and not one event after another.
	list bool
	size int    // of the answer, or of the present event
	tail []byte // what was read last, in which the end of a list may begin
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if n == 0 {
		return n, err
	}
	a.size += n
	if a.list {
		a.list = !a.ends(p[:n])
	} else if end := bytes.LastIndexByte(p[:n], '\n'); end >= 0 { // events end with one, or have one in their head
		a.size = n - end
	}
	switch {
	case a.list && a.size > maxAnswer:
		a.refuse(fmt.Sprintf("the answer to %s has more than %d MiB", a.path, maxAnswer>>20))
		return 0, errTooLarge
	case !a.list && a.size > maxEvent:
		a.refuse(fmt.Sprintf("an event of %s has more than %d MiB", a.path, maxEvent>>20))
		return 0, errTooLarge
	}
	if wait := a.budget.WaitN(a.ctx, min(n, readBurst)); wait != nil {
		return 0, wait
	}
	return n, err
}

// ends is true once the annotation was read that comes with the end of what a watch
// begins with, in JSON as in protobuf.
func (a *answer) ends(read []byte) bool {
	mark := []byte(metav1.InitialEventsAnnotationKey)
	a.tail = append(a.tail, read[:min(len(mark), len(read))]...)
	found := bytes.Contains(a.tail, mark) || bytes.Contains(read, mark)
	if len(read) > len(mark) {
		a.tail = read
	}
	a.tail = slices.Clone(a.tail[max(0, len(a.tail)-len(mark)):])
	if found {
		a.size = 0
	}
	return found
}

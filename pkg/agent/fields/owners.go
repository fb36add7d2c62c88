package fields

import (
	"maps"
	"slices"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Ours is the tree of what a manager applied to the object itself, not to a
// subresource: FieldsV1 as JSON, "" if there is none.
//
// The same app has the same tree on many members. Equal trees share their memory
// as long as one of them is held as a unique.Handle[string]; the strings alone
// share it until the next garbage collection.
func Ours(entries []metav1.ManagedFieldsEntry, manager string) string {
	for i := range entries {
		e := &entries[i]
		if e.Manager == manager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == "" && e.FieldsV1 != nil {
			return unique.Make(e.FieldsV1.GetRawString()).Value()
		}
	}
	return ""
}

// Owners are the managers other than self that have the path, sorted. Whoever
// has a map or list as a whole counts only if nobody has the path itself: the
// tree of an Update may have a map without the fields in it. A field that was
// removed has no owner.
func Owners(entries []metav1.ManagedFieldsEntry, self string, p Path) []string {
	exact, above := map[string]bool{}, map[string]bool{}
	for i := range entries {
		e := &entries[i]
		if e.Manager == self || e.FieldsV1 == nil {
			continue
		}
		root, err := parse(e.FieldsV1.GetRawString())
		if err != nil {
			continue
		}
		switch root.reach(p.steps) {
		case exactly:
			exact[e.Manager] = true
		case fromAbove:
			above[e.Manager] = true
		}
	}
	if len(exact) == 0 {
		exact = above
	}
	return slices.Sorted(maps.Keys(exact))
}

type reached int

const (
	nowhere reached = iota
	fromAbove
	exactly
)

// reach follows a path through the tree.
func (n tree) reach(steps []step) reached {
	for _, s := range steps {
		if n.whole() {
			return fromAbove
		}
		if s.element == nil {
			n = n.child("f:" + s.field)
		} else {
			n = n.match([]any{s.element.defaulted()}, s.element.index)[0].node
		}
		if n == nil {
			return nowhere
		}
	}
	return exactly
}

// defaulted is the item with the defaults of its key fields.
func (e *element) defaulted() any {
	item, ok := e.item.(map[string]any)
	if !ok || len(e.key) == 0 {
		return e.item
	}
	item = maps.Clone(item)
	maps.Copy(item, e.key)
	return item
}

package fields

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TakeOver gives a manager what others have of the lists from which an element of
// the paths is missing: the next apply of that manager then removes the elements
// that it does not list. It is for lists in which the key of an element was
// changed, which made another element of it.
//
// Of a path, the outermost such list is taken, with all below it; lists that have
// the element stay with whoever has them. So does what was set through a
// subresource or in another version of the kind. If changed is false, there is
// nothing to take. The given entries are not changed. It fails if an entry cannot
// be read.
func TakeOver(entries []metav1.ManagedFieldsEntry, manager string, paths []Path) (taken []metav1.ManagedFieldsEntry, changed bool, err error) {
	r := record{own: -1}
	var all tree
	for i := range entries {
		e := holding{entry: entries[i]}
		if e.entry.FieldsV1 != nil {
			if e.tree, err = parse(e.entry.FieldsV1.GetRawString()); err != nil {
				return nil, false, fmt.Errorf("of manager %s: %w", e.entry.Manager, err)
			}
		}
		if e.entry.Manager == manager && e.entry.Operation == metav1.ManagedFieldsOperationApply && e.entry.Subresource == "" {
			r.own = i
		}
		r.all = append(r.all, e)
		all = union(all, e.tree)
	}
	for _, p := range paths {
		if list, ok := all.incomplete(p.steps); ok {
			changed = r.take(manager, list) || changed
		}
	}
	taken, err = r.entries()
	return taken, changed, err
}

// GiveBack are the entries that an object has now, with those as before in place of
// those that were taken. What was written since, by whomever, stays.
func GiveBack(now, taken, before []metav1.ManagedFieldsEntry) []metav1.ManagedFieldsEntry {
	sameManager := func(a, b metav1.ManagedFieldsEntry) bool {
		return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.Subresource == b.Subresource
	}
	sameFields := func(a, b metav1.ManagedFieldsEntry) bool {
		return sameManager(a, b) && a.FieldsV1 != nil && b.FieldsV1 != nil && Equal(a.FieldsV1.GetRawString(), b.FieldsV1.GetRawString())
	}
	given := slices.DeleteFunc(slices.Clone(now), func(e metav1.ManagedFieldsEntry) bool {
		return slices.ContainsFunc(taken, func(t metav1.ManagedFieldsEntry) bool { return sameFields(e, t) })
	})
	written := slices.Clone(given)
	for _, e := range before {
		if !slices.ContainsFunc(written, func(w metav1.ManagedFieldsEntry) bool { return sameManager(w, e) }) {
			given = append(given, e)
		}
	}
	return given
}

// Equal is true for two texts of one tree: an API server writes it in its own order.
func Equal(a, b string) bool {
	if a == b {
		return true
	}
	treeA, errA := parse(a)
	treeB, errB := parse(b)
	return errA == nil && errB == nil && reflect.DeepEqual(treeA, treeB)
}

// record are entries with their trees.
type record struct {
	all []holding
	// own is the index of the manager's, -1 as long as it has none.
	own int
}

type holding struct {
	entry metav1.ManagedFieldsEntry
	tree  tree
	moved bool
}

// take moves a list from all others to the manager.
func (r *record) take(manager string, list []string) (changed bool) {
	for i := range r.all {
		e := &r.all[i]
		if i == r.own || e.entry.Subresource != "" || r.own >= 0 && e.entry.APIVersion != r.all[r.own].entry.APIVersion {
			continue
		}
		rest, part := e.tree.cut(list)
		if part == nil {
			continue
		}
		e.tree, e.moved, changed = rest, true, true
		if r.own < 0 {
			r.own = len(r.all)
			r.all = append(r.all, holding{entry: metav1.ManagedFieldsEntry{
				Manager: manager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: e.entry.APIVersion, FieldsType: e.entry.FieldsType,
			}})
		}
		own := &r.all[r.own]
		own.tree, own.moved = union(own.tree, nest(list, part)), true
	}
	return changed
}

// entries are those that still hold something.
func (r *record) entries() ([]metav1.ManagedFieldsEntry, error) {
	entries := make([]metav1.ManagedFieldsEntry, 0, len(r.all))
	for _, e := range r.all {
		switch {
		case !e.moved:
			entries = append(entries, e.entry)
		case e.tree != nil:
			raw, err := encode(e.tree)
			if err != nil {
				return nil, fmt.Errorf("of manager %s: %w", e.entry.Manager, err)
			}
			e.entry.FieldsV1 = metav1.NewFieldsV1(string(raw))
			entries = append(entries, e.entry)
		}
	}
	return entries, nil
}

// incomplete is the way to the first list on a path that lacks the path's element,
// or to the list at the path's end.
func (n tree) incomplete(steps []step) (list []string, ok bool) {
	for _, s := range steps {
		if n.whole() {
			return nil, false
		}
		at := "f:" + s.field
		if s.element != nil {
			m := n.match([]any{s.element.defaulted()}, s.element.index)[0]
			if m.node == nil {
				return list, true
			}
			at = m.at
		}
		if n = n.child(at); n == nil {
			return nil, false
		}
		list = append(list, at)
	}
	return list, len(n.candidates()) > 0
}

// cut takes a path off the tree. rest is nil if nothing else was in it, part if the
// path was not.
func (n tree) cut(path []string) (rest, part tree) {
	if len(path) == 0 {
		return nil, n
	}
	below, part := n.child(path[0]).cut(path[1:])
	if part == nil {
		return n, nil
	}
	rest = maps.Clone(n)
	if below == nil {
		delete(rest, path[0])
	} else {
		rest[path[0]] = map[string]any(below)
	}
	if len(rest) == 0 {
		return nil, part
	}
	return rest, part
}

// nest is a tree in which the path leads to the node.
func nest(path []string, n tree) tree {
	for _, at := range slices.Backward(path) {
		n = tree{at: map[string]any(n)}
	}
	return n
}

// union has all paths of both trees.
func union(a, b tree) tree {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	both := maps.Clone(a)
	for at := range b {
		both[at] = map[string]any(union(a.child(at), b.child(at)))
	}
	if len(both) > 0 && (a.itself() || b.itself()) {
		both["."] = map[string]any{}
	}
	return both
}

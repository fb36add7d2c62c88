package apply

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"unique"

	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
)

// store has the cached objects of a kind by their app, as the informer's events have
// told of them. An informer's own indexes keep a set for each value, which takes more
// memory than the object.
type store struct {
	mu     sync.RWMutex
	byUID  index[types.UID]
	byName index[types.NamespacedName]
	// size is how many objects the events told of, of whatever app.
	size atomic.Int64
}

// index has the objects of each app by what it is known by, which is the same for all
// kinds and members.
type index[K types.UID | types.NamespacedName] map[unique.Handle[K]][]*record

func newStore() *store {
	return &store{byUID: index[types.UID]{}, byName: index[types.NamespacedName]{}}
}

// put keeps an object of the app in the place of what it was before.
func (s *store) put(app App, r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(app, r)
}

// move is put for an object that was of another app.
func (s *store) move(from, to App, r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(from, r)
	s.add(to, r)
}

// drop forgets an object that was of the app.
func (s *store) drop(app App, r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(app, r)
}

func (s *store) add(app App, r *record) {
	if app.UID != "" {
		s.byUID.add(app.UID, r)
	}
	if app.Name != "" {
		s.byName.add(app.NamespacedName, r)
	}
}

func (s *store) remove(app App, r *record) {
	s.byUID.remove(app.UID, r)
	s.byName.remove(app.NamespacedName, r)
}

// of are the objects with the UID of an app. They are not to be changed.
func (s *store) of(app types.UID) []*record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byUID[unique.Make(app)]
}

// named are the objects of all apps that have or had a name.
func (s *store) named(app types.NamespacedName) []*record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[unique.Make(app)]
}

// all are the objects of all apps.
func (s *store) all() iter.Seq[*record] {
	return func(yield func(*record) bool) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		for _, objects := range s.byUID {
			for _, r := range objects {
				if !yield(r) {
					return
				}
			}
		}
		for _, objects := range s.byName {
			for _, r := range objects {
				if r.mark(v1.LabelAppUID) == "" && !yield(r) {
					return
				}
			}
		}
	}
}

// add and remove make new slices: a reader may have the old one.
func (x index[K]) add(app K, r *record) {
	key := unique.Make(app)
	objects := x[key]
	changed := make([]*record, 0, len(objects)+1)
	for _, other := range objects {
		if !sameName(r, other) {
			changed = append(changed, other)
		}
	}
	x[key] = append(changed, r)
}

// remove takes an object out. A deletion that says something else than the last event
// must not leave one behind that is no more: it is looked for.
func (x index[K]) remove(app K, r *record) {
	if x.without(unique.Make(app), r) {
		return
	}
	for key := range x {
		x.without(key, r)
	}
}

func (x index[K]) without(app unique.Handle[K], r *record) (found bool) {
	objects := x[app]
	i := slices.IndexFunc(objects, func(other *record) bool { return sameName(r, other) })
	switch {
	case i < 0:
		return false
	case len(objects) == 1:
		delete(x, app)
	default:
		x[app] = slices.Delete(slices.Clone(objects), i, i+1)
	}
	return true
}

func sameName(a, b *record) bool {
	return a.name == b.name && a.namespace == b.namespace
}

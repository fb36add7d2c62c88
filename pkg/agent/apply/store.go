package apply

import (
	"iter"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
)

// store has the cached objects of a kind by their app, as the informer's events have
// told of them. An informer's own indexes keep a set for each value, which takes more
// memory than the object.
type store struct {
	mu     sync.RWMutex
	byUID  map[types.UID][]*record
	byName map[types.NamespacedName][]*record
}

func newStore() *store {
	return &store{byUID: map[types.UID][]*record{}, byName: map[types.NamespacedName][]*record{}}
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
		s.byUID[app.UID] = with(s.byUID[app.UID], r)
	}
	if app.Name != "" {
		s.byName[app.NamespacedName] = with(s.byName[app.NamespacedName], r)
	}
}

// remove takes an object out. A deletion that says something else than the last event
// must not leave one behind that is no more: it is looked for.
func (s *store) remove(app App, r *record) {
	if !without(s.byUID, app.UID, r) {
		for uid := range s.byUID {
			without(s.byUID, uid, r)
		}
	}
	if !without(s.byName, app.NamespacedName, r) {
		for name := range s.byName {
			without(s.byName, name, r)
		}
	}
}

// of are the objects with the UID of an app. They are not to be changed.
func (s *store) of(app types.UID) []*record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byUID[app]
}

// named are the objects of all apps that have or had a name.
func (s *store) named(app types.NamespacedName) []*record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[app]
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

// with and without make new slices: a reader may have the old one.
func with(objects []*record, r *record) []*record {
	changed := make([]*record, 0, len(objects)+1)
	for _, other := range objects {
		if !sameName(r, other) {
			changed = append(changed, other)
		}
	}
	return append(changed, r)
}

func without[K types.UID | types.NamespacedName](byApp map[K][]*record, app K, r *record) (found bool) {
	objects := byApp[app]
	i := slices.IndexFunc(objects, func(other *record) bool { return sameName(r, other) })
	switch {
	case i < 0:
		return false
	case len(objects) == 1:
		delete(byApp, app)
	default:
		byApp[app] = slices.Delete(slices.Clone(objects), i, i+1)
	}
	return true
}

func sameName(a, b *record) bool {
	return a.name == b.name && a.namespace == b.namespace
}

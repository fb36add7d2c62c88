package apply

import (
	"iter"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
)

// store has the cached objects of a kind by their app, as the informer's events have
// told of them. An informer's own indexes keep a set for each value, which takes more
// memory than the object.
type store struct {
	mu     sync.RWMutex
	byUID  map[types.UID][]metav1.Object
	byName map[types.NamespacedName][]metav1.Object
}

func newStore() *store {
	return &store{byUID: map[types.UID][]metav1.Object{}, byName: map[types.NamespacedName][]metav1.Object{}}
}

// put keeps an object of the app in the place of what it was before.
func (s *store) put(app App, o metav1.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if app.UID != "" {
		s.byUID[app.UID] = with(s.byUID[app.UID], o)
	}
	if app.Name != "" {
		s.byName[app.NamespacedName] = with(s.byName[app.NamespacedName], o)
	}
}

// drop forgets an object that was of the app. A deletion that says something else
// than the last event must not leave one behind that is no more: it is looked for.
func (s *store) drop(app App, o metav1.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !without(s.byUID, app.UID, o) {
		for uid := range s.byUID {
			without(s.byUID, uid, o)
		}
	}
	if !without(s.byName, app.NamespacedName, o) {
		for name := range s.byName {
			without(s.byName, name, o)
		}
	}
}

// of are the objects with the UID of an app. They are not to be changed.
func (s *store) of(app types.UID) []metav1.Object {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byUID[app]
}

// named are the objects of all apps that have or had a name.
func (s *store) named(app types.NamespacedName) []metav1.Object {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[app]
}

// all are the objects of all apps.
func (s *store) all() iter.Seq[metav1.Object] {
	return func(yield func(metav1.Object) bool) {
		s.mu.RLock()
		defer s.mu.RUnlock()
		for _, objects := range s.byUID {
			for _, o := range objects {
				if !yield(o) {
					return
				}
			}
		}
		for _, objects := range s.byName {
			for _, o := range objects {
				if o.GetLabels()[v1.LabelAppUID] == "" && !yield(o) {
					return
				}
			}
		}
	}
}

// with and without make new slices: a reader may have the old one.
func with(objects []metav1.Object, o metav1.Object) []metav1.Object {
	changed := make([]metav1.Object, 0, len(objects)+1)
	for _, other := range objects {
		if !sameName(o, other) {
			changed = append(changed, other)
		}
	}
	return append(changed, o)
}

func without[K types.UID | types.NamespacedName](byApp map[K][]metav1.Object, app K, o metav1.Object) (found bool) {
	objects := byApp[app]
	left := slices.DeleteFunc(slices.Clone(objects), func(other metav1.Object) bool { return sameName(o, other) })
	if len(left) == 0 {
		delete(byApp, app)
	} else {
		byApp[app] = left
	}
	return len(left) < len(objects)
}

func sameName(a, b metav1.Object) bool {
	return a.GetName() == b.GetName() && a.GetNamespace() == b.GetNamespace()
}

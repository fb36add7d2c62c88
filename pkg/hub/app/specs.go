package app

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/plan"
	"github.com/example/myapp-hub/pkg/hub/render"
)

// specs remembers what follows from a spec alone, or from it and the fleet: what is
// wrong with it, for looking means a trial rendering, its revision, for that means
// encoding it, and the numbers of pods; and a pass comes with every report. The
// webhook refuses a spec that is not valid; one that was admitted without it must
// not reach a member. The zero value is ready for use; it is safe for concurrent
// use.
type specs struct {
	mu    sync.Mutex
	known map[types.NamespacedName]checked
}

// checked is what is known of one generation of an app's spec.
type checked struct {
	uid        types.UID
	generation int64
	plan.Spec
	// plain is the revision without a collision; it has no name if there is none.
	plain render.Revision
	// numbers are the pods wanted on each member of the fleet.
	numbers map[string]int32
	fleet   *fleet
}

// of gives what is known of an app's spec.
func (s *specs) of(app *v1.MyApp, fleet *fleet) checked {
	key := client.ObjectKeyFromObject(app)
	s.mu.Lock()
	is, ok := s.known[key]
	s.mu.Unlock()
	ok = ok && is.uid == app.UID && is.generation == app.Generation
	if ok && is.fleet == fleet {
		return is
	}
	if !ok {
		is = check(app)
	}
	is.numbers, is.fleet = fleet.numbers(&app.Spec), fleet
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[types.NamespacedName]checked{}
	}
	s.known[key] = is
	return is
}

func check(app *v1.MyApp) checked {
	is := checked{uid: app.UID, generation: app.Generation, Spec: plan.SpecOf(app)}
	if is.Problems == "" {
		is.plain, _ = render.RevisionOf(app.Name, app.UID, &app.Spec, 0) // decide asks again, and says why
	}
	return is
}

// known is what follows from the spec. Where nothing was remembered it finds out.
func (s *snapshot) known() checked {
	if s.spec.Rules != nil {
		return s.spec
	}
	is := check(s.app)
	is.numbers = replicas(&s.app.Spec, s.clusters)
	return is
}

// forget drops an app that is gone.
func (s *specs) forget(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, key)
}

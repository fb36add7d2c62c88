package app

import (
	"fmt"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/health"
	"github.com/example/myapp-hub/pkg/hub/placement"
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
	problems   string
	// plain is the revision without a collision; it has no name if there is none.
	plain render.Revision
	// rules are the placement, pod is what a pod requests, and needs are the kinds of the
	// objects.
	rules *placement.Rules
	pod   placement.Pod
	needs []string
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

// check looks at a copy of the spec: the app is the cache's own.
func check(app *v1.MyApp) checked {
	own := &v1.MyApp{TypeMeta: app.TypeMeta, ObjectMeta: *app.ObjectMeta.DeepCopy(), Spec: *app.Spec.DeepCopy()}
	is := checked{uid: app.UID, generation: app.Generation, problems: describe(render.Validate(own, health.CheckRule)), rules: placement.RulesOf(&own.Spec)}
	if is.problems == "" {
		// A trial has just rendered it.
		if outline, err := render.OutlineOf(own); err == nil {
			is.needs, is.pod = outline.Kinds, placement.Pod{CPUMillis: outline.CPUMillis, MemoryMiB: outline.MemoryMiB}
		}
		is.plain, _ = render.RevisionOf(app.Name, app.UID, &app.Spec, 0) // decide asks again, and says why
	}
	return is
}

// known is what follows from the spec. Where nothing was remembered it finds out.
func (s *snapshot) known() checked {
	if s.spec.rules != nil {
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

// describe lists the first problems, each cut, and says what follows.
func describe(problems field.ErrorList) string {
	const most, longest = 3, 250
	if len(problems) == 0 {
		return ""
	}
	var parts []string
	for _, p := range problems[:min(most, len(problems))] {
		text := []rune(p.Error())
		if len(text) > longest {
			text = append(text[:longest-1], '…')
		}
		parts = append(parts, string(text))
	}
	more := ""
	if n := len(problems) - most; n > 0 {
		more = fmt.Sprintf("; and %d more", n)
	}
	return "the spec is not valid, and every member keeps what it has until it is corrected: " + strings.Join(parts, "; ") + more
}

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
	"github.com/example/myapp-hub/pkg/hub/render"
)

// specs remembers what is wrong with specs: looking means a trial rendering, and
// a pass comes with every report. The webhook refuses such a spec; one that was
// admitted without it must not reach a member. The zero value is ready for use;
// it is safe for concurrent use.
type specs struct {
	mu    sync.Mutex
	known map[types.NamespacedName]checked
}

type checked struct {
	uid        types.UID
	generation int64
	problems   string
}

// problems says what is wrong with the spec of an app, empty if nothing is.
func (s *specs) problems(app *v1.MyApp) string {
	key := client.ObjectKeyFromObject(app)
	s.mu.Lock()
	was, ok := s.known[key]
	s.mu.Unlock()
	if ok && was.uid == app.UID && was.generation == app.Generation {
		return was.problems
	}
	is := checked{app.UID, app.Generation, describe(render.Validate(app, health.CheckRule))}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[types.NamespacedName]checked{}
	}
	s.known[key] = is
	return is.problems
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

// Package dependencies reads the apps that one depends on.
package dependencies

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// Apps are those that one depends on.
type Apps struct {
	// Direct are those of spec.dependsOn that exist, by name. They are the reader's own and
	// must not be changed.
	Direct map[string]*v1.MyApp
	// Cycle are the names of apps that depend on each other, from this one on; empty if
	// there is no such cycle.
	Cycle []string
}

// Of reads the apps that one depends on, and those that they depend on.
func Of(ctx context.Context, c client.Reader, app *v1.MyApp) (Apps, error) {
	found := Apps{Direct: map[string]*v1.MyApp{}}
	known := map[string]*v1.MyApp{app.Name: app}
	var failed error
	read := func(name string) *v1.MyApp {
		if other, ok := known[name]; ok || failed != nil {
			return other
		}
		other := &v1.MyApp{}
		err := c.Get(ctx, types.NamespacedName{Namespace: app.Namespace, Name: name}, other, client.UnsafeDisableDeepCopy)
		switch {
		case client.IgnoreNotFound(err) != nil:
			failed = fmt.Errorf("reading MyApp %s/%s, which %s depends on: %w", app.Namespace, name, app.Name, err)
			return nil
		case err != nil:
			other = nil
		}
		known[name] = other
		return other
	}
	for _, name := range rollout.Names(app.Spec.DependsOn) {
		if other := read(name); other != nil {
			found.Direct[name] = other
		}
	}
	found.Cycle = rollout.Cycle(app.Name, func(name string) []string {
		if other := read(name); other != nil {
			return rollout.Names(other.Spec.DependsOn)
		}
		return nil
	})
	return found, failed
}

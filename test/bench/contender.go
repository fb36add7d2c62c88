package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/bench/floor/plan"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// contender is one of the programs that are compared.
type contender struct {
	name string
	// kind and resource of its apps.
	kind     string
	resource schema.GroupVersionResource
	// user is how audit logs call it, on all API servers.
	user string
	// start begins a run: it returns the process to measure, and what ends it.
	start func(ctx context.Context) (pid int, stop func() error, err error)
	// remove takes what is left of its apps off the members, where it does not do
	// so itself.
	remove func(ctx context.Context, namespace string) error
}

// contenders in the order in which they run.
func contenders(w *world) []contender {
	return []contender{
		{
			name: report.Floor, kind: plan.Kind, user: serviceAccount(floorAccount),
			resource: schema.GroupVersionResource{Group: plan.Group, Version: plan.Version, Resource: plan.Resource},
			start:    func(ctx context.Context) (int, func() error, error) { return startFloor(ctx, w) },
			remove:   w.removeObjects,
		},
		{
			name: report.Hub, kind: "MyApp", user: serviceAccount("myapp-hub"),
			resource: v1.GroupVersion.WithResource("myapps"),
			start: func(context.Context) (int, func() error, error) {
				return w.fleet.Hub().Pid(), func() error { return nil }, nil
			},
		},
	}
}

func serviceAccount(name string) string {
	return "system:serviceaccount:" + fleet.HubNamespace + ":" + name
}

// clean removes the apps of a run, and waits until nothing of them is left.
func (a *apps) clean(ctx context.Context) error {
	mine := a.world.driver.Resource(a.contender.resource).Namespace(a.namespace)
	if err := mine.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		return fmt.Errorf("deleting the apps of %s: %w", a.contender.name, err)
	}
	if err := eventually(ctx, 5*time.Minute, "the apps of "+a.contender.name+" to be gone", func(ctx context.Context) (bool, error) {
		left, err := mine.List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil && len(left.Items) == 0, err
	}); err != nil {
		return err
	}
	if a.contender.remove == nil {
		return nil
	}
	return a.contender.remove(ctx, a.namespace)
}

package app

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/dependencies"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// indexDependsOn is the index of MyApps by the names of the apps that they depend on.
const indexDependsOn = "dependsOn"

func addDependencyIndex(ctx context.Context, indexer client.FieldIndexer) error {
	err := indexer.IndexField(ctx, &v1.MyApp{}, indexDependsOn, func(o client.Object) []string {
		if app, ok := o.(*v1.MyApp); ok {
			return rollout.Names(app.Spec.DependsOn)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("indexing MyApps by what they depend on: %w", err)
	}
	return nil
}

// onDependency hands an event about an app on to those that depend on it.
func onDependency(c client.Reader) handler.TypedEventHandler[*v1.MyApp, reconcile.Request] {
	enqueue := func(ctx context.Context, app *v1.MyApp, q requests) {
		var dependents v1.MyAppList
		err := c.List(ctx, &dependents, client.InNamespace(app.Namespace), client.MatchingFields{indexDependsOn: app.Name}, client.UnsafeDisableDeepCopy)
		if err != nil {
			logf.FromContext(ctx).Error(err, "Cannot list the apps that depend on another", "app", client.ObjectKeyFromObject(app).String())
		}
		for i := range dependents.Items {
			q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&dependents.Items[i])})
		}
	}
	return handler.TypedFuncs[*v1.MyApp, reconcile.Request]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[*v1.MyApp], q requests) {
			if !e.IsInInitialList {
				enqueue(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[*v1.MyApp], q requests) {
			enqueue(ctx, e.ObjectNew, q)
		},
		DeleteFunc: func(ctx context.Context, e event.TypedDeleteEvent[*v1.MyApp], q requests) { enqueue(ctx, e.Object, q) },
	}
}

// dependencies reads the apps that one depends on.
func (r *Reconciler) dependencies(ctx context.Context, s *snapshot) error {
	if len(s.app.Spec.DependsOn) == 0 {
		return nil
	}
	apps, err := dependencies.Of(ctx, r.Client, s.app)
	s.others, s.cycle = apps.Direct, apps.Cycle
	return err
}

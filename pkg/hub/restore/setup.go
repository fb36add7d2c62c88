package restore

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// SetupWithManager lets the manager run the guard while it leads, and the watch
// over the API server's history always.
func (g *Guard) SetupWithManager(mgr manager.Manager) error {
	held := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "myapp_hub_held",
		Help: "1 while the hub changes nothing because it is older than its members, as after a restore from a backup.",
	}, func() float64 {
		if _, held := g.Held(); held {
			return 1
		}
		return 0
	})
	if err := metrics.Registry.Register(held); err != nil {
		return fmt.Errorf("registering the metric of the restore guard: %w", err)
	}
	if err := mgr.Add(&history{guard: g, elected: mgr.Elected()}); err != nil {
		return fmt.Errorf("adding the watch over the API server's history: %w", err)
	}
	return mgr.Add(g)
}

// Loaded is a controller source without events that is synced when the guard
// has read the identity. A controller with it among its sources starts no worker
// before a new leader knows what the one before it has recorded.
func Loaded[request comparable](g *Guard) source.TypedSyncingSource[request] {
	return &loaded[request]{guard: g}
}

type loaded[request comparable] struct{ guard *Guard }

// String names the source in logs.
func (l *loaded[request]) String() string { return "restore guard" }

// Start implements source.TypedSource; there is nothing to start.
func (l *loaded[request]) Start(context.Context, workqueue.TypedRateLimitingInterface[request]) error {
	return nil
}

// WaitForSync implements source.TypedSyncingSource.
func (l *loaded[request]) WaitForSync(ctx context.Context) error { return l.guard.Load(ctx) }

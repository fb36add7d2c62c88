package app

import (
	"context"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// sweepDelay is how long an event about a member waits for others.
const sweepDelay = 100 * time.Millisecond

// sweep enqueues every app after something that concerns them all. Such events
// seldom come alone: a thousand members that return would enqueue a thousand apps
// a thousand times. What users do to an app goes first.
type sweep struct {
	apps  func(context.Context) ([]reconcile.Request, error)
	asked chan struct{} // holds one: a second event before the sweep adds nothing
}

func newSweep(apps func(context.Context) ([]reconcile.Request, error)) *sweep {
	return &sweep{apps: apps, asked: make(chan struct{}, 1)}
}

// ask returns at once.
func (s *sweep) ask() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// String names the source in logs.
func (s *sweep) String() string { return "sweep: every app" }

// Start implements source.TypedSource. What it starts ends with ctx, which is the
// manager's.
func (s *sweep) Start(ctx context.Context, q requests) error {
	go func() {
		for wait(ctx, s.asked) && wait(ctx, time.After(sweepDelay)) {
			s.now(ctx, q)
		}
	}()
	return nil
}

// now enqueues every app. An event that comes while it lists them leads to the
// next sweep, one that came before is part of this.
func (s *sweep) now(ctx context.Context, q requests) {
	select {
	case <-s.asked:
	default:
	}
	apps, err := s.apps(ctx)
	if err != nil {
		logf.FromContext(ctx).Error(err, "Cannot list the apps that an event concerns")
		s.ask()
		return
	}
	later, ok := q.(priorityqueue.PriorityQueue[reconcile.Request])
	if ok {
		later.AddWithOpts(priorityqueue.AddOpts{Priority: ptr.To(handler.LowPriority)}, apps...)
		return
	}
	for _, app := range apps {
		q.Add(app)
	}
}

// wait is false if ctx ends first.
func wait[T any](ctx context.Context, c <-chan T) bool {
	select {
	case <-ctx.Done():
		return false
	case <-c:
		return ctx.Err() == nil
	}
}

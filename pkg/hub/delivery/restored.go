package delivery

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
)

// look stops the hub before its first write to a member, when anything there was
// written when the hub was further than its API server is. What is ordered first
// may be of an app that was deleted since the backup, and so without a trace.
func (r *Reconciler) look(ctx context.Context, member string, l *link) error {
	if l.looked.Load() {
		return nil
	}
	reached := l.engine.Reached(r.HubID)
	r.Guard.SawEpoch(reached.Epoch)
	epoch := r.Guard.Epoch()
	ahead := reached.Epoch > epoch
	if reached.Epoch == epoch {
		var err error
		if ahead, err = r.Guard.Ahead(ctx, reached.Version); err != nil {
			return err
		}
	}
	if ahead {
		r.Guard.Hold(ctx, fmt.Sprintf("on %s, %s", member, reached))
	}
	l.looked.Store(true)
	return nil
}

// holdIfAhead stops the hub when an object of an app on a member was written when
// the hub was further than its API server is. The app need not exist: it may have
// been made after the backup.
func (r *Reconciler) holdIfAhead(ctx context.Context, member string, app types.NamespacedName, engine *apply.Engine) error {
	for _, stamp := range engine.StampsOf(app) {
		r.Guard.SawEpoch(stamp.Epoch)
		if stamp.Epoch < r.Guard.Epoch() || stamp.HubVersion == "" {
			continue
		}
		ahead, err := r.Guard.Ahead(ctx, stamp.HubVersion)
		if err != nil {
			return err
		}
		if ahead {
			r.Guard.Hold(ctx, fmt.Sprintf("objects of MyApp %s on %s were written when the hub was at resourceVersion %s, which it has not reached", app, member, stamp.HubVersion))
			return nil
		}
	}
	return nil
}

// holdIfRestored stops the hub when a member has a newer state of the app than
// the hub. The hub's cache may merely be behind: then the error is errStale, and
// the member's word means nothing.
func (r *Reconciler) holdIfRestored(ctx context.Context, o order, f v1.Feedback) error {
	if f.Reason != v1.ReasonHubRestored {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	live := &v1.MyApp{}
	if err := r.Live.Get(ctx, o.key(), live); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return errStale
		}
		return fmt.Errorf("confirming that the hub was restored: %w", err)
	}
	if live.UID != o.app.UID || live.Generation != o.app.Generation {
		return errStale
	}
	r.Guard.Hold(ctx, "on "+o.member+", "+f.Message)
	return nil
}

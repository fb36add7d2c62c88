package app

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/example/myapp-hub/pkg/consistency"
	"github.com/example/myapp-hub/pkg/flush"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/quota"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// Reports is where members' reports come from.
type Reports interface {
	// Of gives the reports of an app by member.
	Of(app types.UID) map[string]aggregate.Report
	// Forget drops the reports of an app that has left every member.
	Forget(app types.UID)
	// ForgetMember drops one report, once its row is gone.
	ForgetMember(app types.UID, member string)
}

// Measurements are asked by gates of rollouts.
type Measurements interface {
	// Start lets questions be asked until the context ends; answered is called after each
	// answer.
	Start(ctx context.Context, answered func(app types.NamespacedName))
	// Want makes these the questions of an app.
	Want(app types.NamespacedName, questions []rollout.Question)
	// Of gives the answers to the questions of an app, as they are now.
	Of(app types.NamespacedName) func(rollout.Question) rollout.Measured
}

// Guard says whether the hub may change anything.
type Guard interface {
	// Held gives the reason for a person if it may not, else an empty message.
	Held() (message string, held bool)
	// OnChange adds a function that is called when a hold has begun or ended.
	OnChange(changed func())
}

// Reconciler decides about one MyApp at a time.
type Reconciler struct {
	// Client reads the hub's cache and writes to its API server.
	Client client.Client
	// Live reads the hub's API server.
	Live    client.Reader
	Reports Reports
	// Guard may be nil: then nothing holds the hub.
	Guard Guard
	// Measurements are what gates of rollouts ask; nil if they can ask nothing.
	Measurements Measurements
	Clock        clock.PassiveClock

	// began is when this process began to decide.
	began struct {
		sync.Once
		at time.Time
	}
	own     consistency.OwnWrites
	windows flush.Windows[types.NamespacedName]
	specs   specs
	fleets  fleets
	ledger  quota.Ledger
	given   reserved
}

// staleRecheck is when to look again at an app that the cache shows too old.
const staleRecheck = time.Second

// Reconcile is one pass: observe, decide, commit.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	r.began.Do(func() {
		r.began.at = r.Clock.Now()
		r.fleets.listen(r.Clock)
	})
	s, err := r.observe(ctx, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	if s == nil {
		return reconcile.Result{RequeueAfter: staleRecheck}, nil
	}
	if s.app == nil {
		r.windows.Forget(req.NamespacedName)
		r.specs.forget(req.NamespacedName)
		r.want(req.NamespacedName, nil)
		return reconcile.Result{}, nil
	}
	d, err := decide(s, metav1.NewTime(r.Clock.Now()))
	if err != nil {
		return reconcile.Result{}, err
	}
	r.want(req.NamespacedName, d.questions)
	return r.commit(ctx, s, d)
}

// want has the gates' questions asked.
func (r *Reconciler) want(app types.NamespacedName, questions []rollout.Question) {
	if r.Measurements != nil {
		r.Measurements.Want(app, questions)
	}
}

// wait says how long a changed status still has to wait to be written.
func (r *Reconciler) wait(s *snapshot, d decision) time.Duration {
	w := r.windows.Of(client.ObjectKeyFromObject(s.app))
	if !d.changed {
		w.Clean()
		return 0
	}
	left := w.Wait(r.Clock.Now())
	if d.urgent {
		return 0
	}
	return left
}

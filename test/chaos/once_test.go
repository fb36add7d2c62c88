package chaos

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// One wrong answer is made up for although nothing else happens: when an API
// server has said in error that there is no such object or that it has changed, or
// its answer was lost, no event brings a reconciler back.
func TestOneWrongAnswer(t *testing.T) {
	shareMachine(t)
	f := fleet.Start(t, fleet.Push("push-1"), fleet.Pull("pull-1"), labelled("push-1"), labelled("pull-1"), fleet.WithFaults())
	w := newWorld(t, f, seed(t), "push-1", "pull-1")
	faults, mailbox := f.Faults(fleet.HubName), v1.MailboxNamespace("pull-1")
	const (
		creation = iota
		removal
		withoutSecret
	)
	for i, tt := range []struct {
		what                  string
		fault                 fleet.Fault
		verb, resource, under string
		namespace             string
		order                 int
	}{
		{"the first finalizer", fleet.FaultConflict, "patch", "myapps", "", namespace, creation},
		{"the rows", fleet.FaultConflict, "patch", "myapps", "status", namespace, creation},
		{"the rows of an app that is said to be gone", fleet.FaultNotFound, "patch", "myapps", "status", namespace, creation},
		{"the revision of an app that is said to be gone", fleet.FaultNotFound, "create", "controllerrevisions", "", namespace, creation},
		{"a report in a Work that is said to be gone", fleet.FaultNotFound, "patch", "works", "status", mailbox, creation},
		{"a report that has arrived", fleet.FaultResetAfter, "patch", "works", "status", mailbox, creation},
		{"a Secret that the app has no more", fleet.FaultNotFound, "delete", "secrets", "", mailbox, withoutSecret},
		{"the hub's confirmation of a removal", fleet.FaultNotFound, "get", "myapps", "", namespace, removal},
		{"the agent's confirmation of a removal", fleet.FaultNotFound, "get", "works", "", mailbox, removal},
		{"a Work that is carried out and said to be gone", fleet.FaultNotFound, "delete", "works", "", mailbox, removal},
		{"a Work that is carried out and said to have changed", fleet.FaultConflict, "delete", "works", "", mailbox, removal},
		{"the last finalizer", fleet.FaultConflict, "patch", "myapps", "", namespace, removal},
		{"the last finalizer of an app that is said to be gone", fleet.FaultNotFound, "patch", "myapps", "", namespace, removal},
	} {
		done := t.Run(tt.what, func(t *testing.T) {
			defer func(outer *testing.T) { w.t = outer }(w.t)
			w.t = t
			app := everything(fmt.Sprintf("app-%d", i))
			if tt.order != creation {
				w.create(app)
				w.converged(soon)
			}
			before := faults.Injected().Total()
			faults.Set(fleet.Rule{Fault: tt.fault, Count: 1, Match: func(r fleet.Request) bool {
				return r.Verb == tt.verb && r.Resource == tt.resource && r.Subresource == tt.under && r.Namespace == tt.namespace
			}})
			defer faults.Clear()
			switch tt.order {
			case creation:
				w.create(app)
			case removal:
				w.remove(app)
			default:
				w.edit(app, "edited", func(app *wish) { app.has[secret] = false })
			}
			w.converged(soon)
			if n := faults.Injected().Total() - before; n != 1 {
				t.Errorf("%d answers were wrong, want 1", n)
			}
		})
		if !done {
			t.Fatal("what did not come about is in the way of what follows")
		}
	}
	w.beats("pull-1")

	t.Run("a member that is back", func(t *testing.T) {
		f.Cluster("push-1").Partition()
		defer f.Cluster("push-1").Heal()
		memberReady(t, f, "push-1", false)
		before := faults.Injected().Total()
		faults.Set(fleet.Rule{Fault: fleet.FaultNotFound, Count: 1, Match: func(r fleet.Request) bool {
			return r.Verb == "patch" && r.Resource == "memberclusters" && r.Subresource == "status"
		}})
		f.Cluster("push-1").Heal()
		memberReady(t, f, "push-1", true)
		if n := faults.Injected().Total() - before; n != 1 {
			t.Errorf("%d answers were wrong, want 1", n)
		}
	})
	w.removeAll(soon)
}

// beats waits until an agent has said twice that it lives.
func (w *world) beats(member string) {
	w.t.Helper()
	seen := map[time.Time]bool{}
	fleet.Eventually(w.t, v1.LongestHeartbeat, "the agent of "+member+" to beat", func(ctx context.Context) error {
		var lease coordinationv1.Lease
		at := types.NamespacedName{Namespace: v1.MailboxNamespace(member), Name: v1.AgentLease}
		if err := w.f.Cluster(fleet.HubName).Client().Get(ctx, at, &lease); err != nil {
			return err
		}
		seen[lease.Spec.RenewTime.Time] = true
		if len(seen) < 3 {
			return errors.New("it has not done so yet")
		}
		return nil
	})
}

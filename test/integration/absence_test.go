package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// untouched is how long nothing may happen where nothing must.
const untouched = 3 * time.Second

// uids are the UIDs of what a member has in a namespace, pods included: an
// object that was deleted and made again has another.
func uids(ctx context.Context, f *fleet.Fleet, member, namespace string) (map[string]types.UID, error) {
	all := map[string]types.UID{}
	for _, list := range []client.ObjectList{&appsv1.DeploymentList{}, &corev1.ServiceList{}, &corev1.PodList{}} {
		if err := f.Cluster(member).Client().List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, err
		}
		switch list := list.(type) {
		case *appsv1.DeploymentList:
			for i := range list.Items {
				all["Deployment "+list.Items[i].Name] = list.Items[i].UID
			}
		case *corev1.ServiceList:
			for i := range list.Items {
				all["Service "+list.Items[i].Name] = list.Items[i].UID
			}
		case *corev1.PodList:
			for i := range list.Items {
				all["Pod "+list.Items[i].Name] = list.Items[i].UID
			}
		}
	}
	return all, nil
}

// placed is an app that is Ready on members, and what it has on each of them.
type placed struct {
	fleet   *fleet.Fleet
	app     types.NamespacedName
	members []string
	objects map[string]map[string]types.UID
}

func place(t *testing.T, f *fleet.Fleet, members ...string) placed {
	t.Helper()
	p := placed{fleet: f, app: key(namespace(t, f), "web"), members: members, objects: map[string]map[string]types.UID{}}
	expect.Create(t, f, expect.App(p.app.Namespace, p.app.Name, expect.WithService, expect.On(members...)))
	expect.Ready(t, f, soon, p.app, members...)
	for _, m := range members {
		objects, err := uids(t.Context(), f, m, p.app.Namespace)
		if err != nil || len(objects) != 3 {
			t.Fatalf("%s has %v, want a Deployment, a Service and a Pod (%v)", m, objects, err)
		}
		p.objects[m] = objects
	}
	return p
}

// same says what is no longer on a member, or not the same.
func (p placed) same(ctx context.Context) error {
	for _, m := range p.members {
		now, err := uids(ctx, p.fleet, m, p.app.Namespace)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(p.objects[m], now); diff != "" {
			return fmt.Errorf("%s (-before +now):\n%s", m, diff)
		}
	}
	return nil
}

// stays waits until the member's row is Unknown for the reason; neither on the
// way there nor for a while after does anything leave a member or is ordered to.
func (p placed) stays(t *testing.T, timeout time.Duration, reasons map[string]string) {
	t.Helper()
	look := func(ctx context.Context) (settled bool, err error) {
		app := &v1.MyApp{}
		if err := p.fleet.Cluster(fleet.HubName).Client().Get(ctx, p.app, app); err != nil {
			return false, err
		}
		settled = true
		for _, m := range p.members {
			row := expect.Row(app, m)
			if row == nil || row.State == v1.PlacementRemoving {
				return false, fmt.Errorf("%s leaves: %s", m, expect.Summary(app))
			}
			if reason, lost := reasons[m]; lost && (row.State != v1.PlacementUnknown || row.Reason != reason) {
				settled = false
			}
		}
		return settled, p.same(ctx)
	}
	fleet.Eventually(t, timeout, fmt.Sprintf("Unknown rows: %v", reasons), func(ctx context.Context) error {
		settled, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil: // something has left, and no waiting brings it back
			t.Fatal(err)
		case !settled:
			return fmt.Errorf("%s", expect.Summary(expect.Get(t, p.fleet, p.app)))
		}
		return nil
	})
	fleet.Consistently(t, untouched, "all that was placed", func(ctx context.Context) error {
		settled, err := look(ctx)
		if err == nil && !settled {
			err = fmt.Errorf("a row is no longer Unknown: %s", expect.Summary(expect.Get(t, p.fleet, p.app)))
		}
		return err
	})
}

// returns waits until the app is Ready as it was.
func (p placed) returns(t *testing.T) {
	t.Helper()
	expect.Ready(t, p.fleet, soon, p.app, p.members...)
	if err := p.same(t.Context()); err != nil {
		t.Errorf("after all was put back: %v", err)
	}
}

func (p placed) remove(t *testing.T) {
	t.Helper()
	expect.Delete(t, p.fleet, p.app)
	expect.Gone(t, p.fleet, soon, p.app, p.members...)
}

// lose deletes an object from the hub. What it returns puts it back, and is done
// at the end of the test at the latest.
func lose(t *testing.T, f *fleet.Fleet, object client.Object) (putBack func()) {
	t.Helper()
	hub := f.Cluster(fleet.HubName).Client()
	if err := hub.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	if err := hub.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	back := false
	putBack = func() {
		if back {
			return
		}
		back = true
		object.SetUID("")
		object.SetResourceVersion("")
		if err := hub.Create(context.Background(), object); err != nil {
			t.Errorf("putting %s back: %v", object.GetName(), err)
		}
	}
	t.Cleanup(putBack)
	return putBack
}

func kubeconfigSecret(member string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: fleet.HubNamespace, Name: member + "-kubeconfig"}}
}

func memberCluster(name string) *v1.MemberCluster {
	return &v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func TestLostKubeconfigSecretDeletesNothing(t *testing.T) {
	f := sharedFleet(t)
	p := place(t, f, "push-3", "pull-2")
	putBack := lose(t, f, kubeconfigSecret("push-3"))
	p.stays(t, soon, map[string]string{"push-3": v1.ReasonMemberUnknown})
	if row := expect.Row(expect.Get(t, f, p.app), "push-3"); !strings.Contains(row.Message, "push-3-kubeconfig does not exist: create it") {
		t.Errorf("the message does not say what to do: %s", row.Message)
	}
	putBack()
	p.returns(t)
	p.remove(t)
}

// An app that is deleted while a MemberCluster is missing waits for it, and says so.
func TestLostMemberClustersDeleteNothing(t *testing.T) {
	f := sharedFleet(t)
	p := place(t, f, "push-3", "pull-2")
	work := workOf(t, f, p.app, "pull-2")
	backPush, backPull := lose(t, f, memberCluster("push-3")), lose(t, f, memberCluster("pull-2"))
	p.stays(t, soon, map[string]string{"push-3": v1.ReasonMemberGone, "pull-2": v1.ReasonMemberGone})
	backPush()
	backPull()
	p.returns(t)
	if again := workOf(t, f, p.app, "pull-2"); again.UID != work.UID || again.Generation != work.Generation {
		t.Errorf("Work %s of generation %d became %s of generation %d", work.UID, work.Generation, again.UID, again.Generation)
	}

	for _, missing := range p.members {
		t.Run("deletion without "+missing, func(t *testing.T) {
			p := place(t, f, missing)
			putBack := lose(t, f, memberCluster(missing))
			p.stays(t, soon, map[string]string{missing: v1.ReasonMemberGone})
			expect.Delete(t, f, p.app)
			waits := func(a *v1.MyApp) error {
				row := expect.Row(a, missing)
				if row == nil || row.State != v1.PlacementRemoving {
					return fmt.Errorf("the row is %+v", row)
				}
				for _, want := range []string{"waiting for " + missing, "MemberCluster " + missing + " does not exist", "create it again"} {
					if message := messageOf(a, v1.ConditionReady); !strings.Contains(message, want) {
						return fmt.Errorf("%q is not in the message: %s", want, message)
					}
				}
				return expect.Condition(a, v1.ConditionReady, "False", v1.ReasonDeleting)
			}
			expect.That(t, f, soon, p.app, "waits for "+missing, waits)
			fleet.Consistently(t, untouched, "the wait for "+missing, func(ctx context.Context) error {
				app := &v1.MyApp{}
				if err := f.Cluster(fleet.HubName).Client().Get(ctx, p.app, app); err != nil {
					return err
				}
				if err := waits(app); err != nil {
					return err
				}
				return p.same(ctx)
			})
			putBack()
			expect.Gone(t, f, soon, p.app, missing)
		})
	}
	p.remove(t)
}

// With its mailbox a Pull member loses its Works, its Lease and its agent's
// credential, and keeps everything that runs. The hub makes a new mailbox; the
// agent needs a new credential.
func TestLostMailboxDeletesNothing(t *testing.T) {
	f := sharedFleet(t)
	p := place(t, f, "push-3", "pull-2")
	work := workOf(t, f, p.app, "pull-2")
	hub := f.Cluster(fleet.HubName)
	mailbox := v1.MailboxNamespace("pull-2")
	if err := hub.Client().Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: mailbox}}); err != nil {
		t.Fatal(err)
	}
	repaired := false
	repair := func() {
		if repaired {
			return
		}
		repaired = true
		if err := f.Rejoin(context.Background(), "pull-2"); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(repair)
	p.stays(t, noticePull, map[string]string{"pull-2": v1.ReasonMemberUnknown})
	if again := workOf(t, f, p.app, "pull-2"); again.UID == work.UID || again.Spec.State != v1.WorkPresent {
		t.Errorf("the Work is %s, %s; want another, Present", again.UID, again.Spec.State)
	}
	repair()
	p.returns(t)
	p.remove(t)
}

func workOf(t *testing.T, f *fleet.Fleet, app types.NamespacedName, member string) *v1.Work {
	t.Helper()
	work := &v1.Work{}
	name := v1.WorkName(app.Namespace, app.Name, expect.Get(t, f, app).UID)
	if err := f.Cluster(fleet.HubName).Client().Get(t.Context(), key(v1.MailboxNamespace(member), name), work); err != nil {
		t.Fatal(err)
	}
	return work
}

func messageOf(app *v1.MyApp, kind string) string {
	for _, c := range app.Status.Conditions {
		if c.Type == kind {
			return c.Message
		}
	}
	return ""
}

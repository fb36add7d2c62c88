package trust

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/cli"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// joinNewcomer makes the newcomer a member with an agent, and returns what ends the agent.
func joinNewcomer(t *testing.T, f *fleet.Fleet, name string) (stop func()) {
	t.Helper()
	leave(t, f, name)
	command, _ := newToken(t, f, name, "--accept", "--labels", expect.NameLabel+"="+name)
	mustMyapp(t, f, newcomer, append(command, "--skip-agent")...)
	if err := f.RunAgent(t.Context(), newcomer, name, fleet.AgentRun{}); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		if err := f.Agent(name).Kill(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	isMember(t, f, name, v1.ConditionReady, metav1.ConditionTrue, v1.ReasonConnected)
	return stop
}

// isGone waits until none of the objects is there.
func isGone(t *testing.T, c *fleet.Cluster, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		fleet.Eventually(t, soon, fmt.Sprintf("%T %s is gone from %s", o, client.ObjectKeyFromObject(o), c.Name()), func(ctx context.Context) error {
			err := c.Client().Get(ctx, client.ObjectKeyFromObject(o), o)
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("it is there: %w", err)
		})
	}
}

func named(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// onHub is everything that a hub has of a member.
func onHub(name string) []client.Object {
	return []client.Object{
		&v1.MemberCluster{ObjectMeta: named("", name)}, &corev1.Namespace{ObjectMeta: named("", v1.MailboxNamespace(name))},
		&corev1.Secret{ObjectMeta: named(fleet.HubNamespace, name+"-kubeconfig")},
	}
}

// A member that leaves takes its apps off the cluster, and leaves nothing behind on the
// hub or the cluster.
func TestLeave(t *testing.T) {
	f := sharedFleet(t)
	stop := joinNewcomer(t, f, "leaving")
	expect.Namespace(t, f, "leave")
	alone, both := expect.App("leave", "alone", expect.On("leaving")), expect.App("leave", "both", expect.On("leaving", push))
	for _, app := range []*v1.MyApp{alone, both} {
		expect.Create(t, f, app)
		expect.That(t, f, soon, client.ObjectKeyFromObject(app), "it is on the newcomer", func(*v1.MyApp) error {
			return f.Cluster(newcomer).Client().Get(t.Context(), client.ObjectKeyFromObject(app), &appsv1.Deployment{})
		})
	}
	shown := mustMyapp(t, f, fleet.HubName, "leave", "leaving", "--dry-run")
	for _, want := range []string{"leave/alone", "IT IS ON NO OTHER MEMBER", "leave/both", "2 apps leave leaving"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the preview does not say %q:\n%s", want, shown)
		}
	}
	if _, err := myapp(t, f, fleet.HubName, "leave", "leaving"); err == nil {
		t.Error("nobody said yes")
	}
	isMember(t, f, "leaving", v1.ConditionReady, metav1.ConditionTrue, v1.ReasonConnected)

	token := agentToken(t, f, newcomer)
	mustMyapp(t, f, fleet.HubName, "leave", "leaving", "--yes", "--member-kubeconfig", f.Cluster(newcomer).Kubeconfig())
	left := time.Now()
	isGone(t, f.Cluster(fleet.HubName), onHub("leaving")...)
	ends(t, f, "the token of a member that has left", token, left)
	stop()
	isGone(t, f.Cluster(newcomer),
		&appsv1.Deployment{ObjectMeta: named("leave", "alone")}, &appsv1.Deployment{ObjectMeta: named("leave", "both")},
		&rbacv1.ClusterRole{ObjectMeta: named("", "myapp-agent")}, &rbacv1.ClusterRoleBinding{ObjectMeta: named("", "myapp-agent")},
		&corev1.Namespace{ObjectMeta: named("", fleet.HubNamespace)},
	)
	expect.That(t, f, soon, client.ObjectKeyFromObject(both), "it goes on elsewhere", func(a *v1.MyApp) error {
		if len(a.Status.Placements) != 1 || a.Status.Placements[0].Cluster != push {
			return fmt.Errorf("rows: %s", expect.Summary(a))
		}
		return nil
	})
	for _, app := range []*v1.MyApp{alone, both} {
		expect.Delete(t, f, client.ObjectKeyFromObject(app))
		expect.Gone(t, f, soon, client.ObjectKeyFromObject(app))
	}
}

// With --orphan apps stay as they are, and belong to nobody.
func TestLeaveOrphan(t *testing.T) {
	f := sharedFleet(t)
	joinNewcomer(t, f, "orphaning")
	expect.Namespace(t, f, "orphan")
	app := expect.App("orphan", "web", expect.On("orphaning"))
	expect.Create(t, f, app)
	key := client.ObjectKeyFromObject(app)
	applied(t, f, key, "orphaning", "registry.example.com/web:1")
	before := expect.Deployment(t, f, newcomer, key)
	mustMyapp(t, f, fleet.HubName, "leave", "orphaning", "--orphan", "--yes")
	after := expect.Deployment(t, f, newcomer, key)
	if diff := cmp.Diff(before.Spec, after.Spec); diff != "" || after.UID != before.UID || after.Labels[v1.LabelHubID] != "" {
		t.Errorf("it is %s with labels %v, and was %s (-before +after):\n%s", after.UID, after.Labels, before.UID, diff)
	}
	isGone(t, f.Cluster(fleet.HubName), onHub("orphaning")...)
	expect.Delete(t, f, key)
	expect.Gone(t, f, soon, key)
	if err := f.Cluster(newcomer).Client().Delete(t.Context(), after); err != nil {
		t.Fatal(err)
	}
}

// A cluster that is gone for good is forgotten, also by apps that are paused, and by none
// that would wait for it.
func TestLeaveForce(t *testing.T) {
	f := sharedFleet(t)
	stop := joinNewcomer(t, f, "lost")
	expect.Namespace(t, f, "lost")
	app := expect.App("lost", "web", expect.On("lost"))
	expect.Create(t, f, app)
	key := client.ObjectKeyFromObject(app)
	applied(t, f, key, "lost", "registry.example.com/web:1")
	token := agentToken(t, f, newcomer)
	stop() // for ever
	expect.Edit(t, f, key, func(a *v1.MyApp) { a.Spec.Paused = true })
	if _, err := myapp(t, f, fleet.HubName, "leave", "lost", "--yes", "--timeout=3s"); err == nil || !strings.Contains(err.Error(), "paused") || !strings.Contains(err.Error(), "--force") {
		t.Errorf("it cannot leave by itself: %v", err)
	}
	mustMyapp(t, f, fleet.HubName, "leave", "lost", "--force", "--yes")
	left := time.Now()
	isGone(t, f.Cluster(fleet.HubName), onHub("lost")...)
	ends(t, f, "the token of a member that was forgotten", token, left)
	expect.That(t, f, soon, key, "it has no row and no stray", func(a *v1.MyApp) error {
		if len(a.Status.Placements) != 0 {
			return fmt.Errorf("rows: %s", expect.Summary(a))
		}
		return nil
	})
	if got := expect.Deployment(t, f, newcomer, key); got.Labels[v1.LabelHubID] == "" {
		t.Error("what runs on a cluster that is forgotten was touched")
	}
	expect.Delete(t, f, key)
	expect.Gone(t, f, soon, key)
	if err := f.Cluster(newcomer).Client().Delete(t.Context(), &appsv1.Deployment{ObjectMeta: named("lost", "web")}); err != nil {
		t.Fatal(err)
	}
}

// A Push member joins by one command, and leaves by one.
func TestJoinAndLeaveByPush(t *testing.T) {
	f := sharedFleet(t)
	leave(t, f, "pushed")
	mustMyapp(t, f, newcomer, "join", "--mode", "push", "pushed", "--hub-kubeconfig", f.Cluster(fleet.HubName).Kubeconfig(), "--labels", expect.NameLabel+"=pushed")
	isMember(t, f, "pushed", v1.ConditionReady, metav1.ConditionTrue, v1.ReasonConnected)
	expect.Namespace(t, f, "pushed")
	app := expect.App("pushed", "web", expect.On("pushed"))
	expect.Create(t, f, app)
	key := client.ObjectKeyFromObject(app)
	applied(t, f, key, "pushed", "registry.example.com/web:1")
	derivedRights(t, f, key)
	secret := &corev1.Secret{ObjectMeta: named(fleet.HubNamespace, "myapp-hub-token")}
	if err := f.Cluster(newcomer).Client().Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		t.Fatal(err)
	}
	mustMyapp(t, f, fleet.HubName, "leave", "pushed", "--yes", "--member-kubeconfig", f.Cluster(newcomer).Kubeconfig())
	isGone(t, f.Cluster(fleet.HubName), onHub("pushed")...)
	isGone(t, f.Cluster(newcomer),
		&appsv1.Deployment{ObjectMeta: named("pushed", "web")}, secret,
		&rbacv1.ClusterRole{ObjectMeta: named("", "myapp-hub")}, &corev1.ServiceAccount{ObjectMeta: named(fleet.HubNamespace, "myapp-hub")},
	)
	expect.Delete(t, f, key)
	expect.Gone(t, f, soon, key)
}

// derivedRights gives the hub on the newcomer the rights that its one app needs and no
// others: the app goes on, and one that needs more is not begun and says what to grant.
func derivedRights(t *testing.T, f *fleet.Fleet, app client.ObjectKey) {
	t.Helper()
	member := []string{"--member-kubeconfig", f.Cluster(newcomer).Kubeconfig()}
	diff, err := myapp(t, f, fleet.HubName, append([]string{"rights", "pushed"}, member...)...)
	if !errors.Is(err, cli.ErrDiffers) || !strings.Contains(diff, "- create poddisruptionbudgets.policy") || strings.Contains(diff, "+ ") {
		t.Errorf("what a new member has more than it needs: %v\n%s", err, diff)
	}
	derived := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(mustMyapp(t, f, fleet.HubName, append([]string{"rights", "pushed", "-o", "yaml"}, member...)...)), &derived.Object); err != nil {
		t.Fatal(err)
	}
	there := derived.DeepCopy()
	client := f.Cluster(newcomer).Client()
	if err := client.Get(t.Context(), types.NamespacedName{Name: derived.GetName()}, there); err != nil {
		t.Fatal(err)
	}
	there.Object["rules"] = derived.Object["rules"]
	if err := client.Update(t.Context(), there); err != nil {
		t.Fatal(err)
	}
	mustMyapp(t, f, fleet.HubName, append([]string{"rights", "pushed"}, member...)...)
	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Image = "registry.example.com/web:2" })
	applied(t, f, app, "pushed", "registry.example.com/web:2")

	greedy := expect.App(app.Namespace, "greedy", expect.On("pushed"), func(a *v1.MyApp) {
		a.Spec.Disruption = &v1.Disruption{MinAvailable: ptr.To(intstr.FromInt32(1))}
	})
	expect.Create(t, f, greedy)
	key := types.NamespacedName{Namespace: greedy.Namespace, Name: greedy.Name}
	expect.That(t, f, soon, key, "it says which right is missing", func(a *v1.MyApp) error {
		row := expect.Row(a, "pushed")
		if row == nil || row.Reason != v1.ReasonPermissionMissing || !strings.Contains(row.Message, `resources: [poddisruptionbudgets]`) {
			return fmt.Errorf("the row is %+v", row)
		}
		return nil
	})
	expect.Delete(t, f, key)
	expect.Gone(t, f, soon, key)
}

// Package expect is the vocabulary in which tests say what they expect of apps
// on a fleet: the MyApp on the hub, its objects on the members, and the requests
// that it cost.
package expect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// Fleet is a hub and its members, however they run: what most expectations need of it.
type Fleet interface {
	// Client has all rights on a cluster: fleet.HubName or the name of a member.
	Client(cluster string) client.Client
	// Kubeconfig is the path of a kubeconfig with all rights on a cluster.
	Kubeconfig(cluster string) string
}

// App is a plain MyApp, changed by the edits.
func App(namespace, name string, edits ...func(*v1.MyApp)) *v1.MyApp {
	app := &v1.MyApp{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1.MyAppSpec{Image: "registry.example.com/web:1"},
	}
	for _, edit := range edits {
		edit(app)
	}
	return app
}

// On places an app on the named members, by the label that names them.
func On(members ...string) func(*v1.MyApp) {
	var values []v1.LabelValue
	for _, m := range members {
		values = append(values, v1.LabelValue(m))
	}
	return func(app *v1.MyApp) {
		app.Spec.Placement = &v1.Placement{ClusterSelector: &v1.ClusterSelector{
			MatchExpressions: []v1.ClusterSelectorRequirement{{Key: NameLabel, Operator: metav1.LabelSelectorOpIn, Values: values}},
		}}
	}
}

// NameLabel is the label that On selects by; fleets of tests set it.
const NameLabel = "example.com/name"

// WithService gives an app a port and a Service.
func WithService(app *v1.MyApp) {
	app.Spec.Ports = []v1.Port{{Name: "http", ContainerPort: 8080}}
	app.Spec.Service = &v1.Service{Ports: []v1.ServicePort{{Port: 80}}}
}

// Namespace makes a namespace on the hub.
func Namespace(t testing.TB, f Fleet, name string) {
	t.Helper()
	err := f.Client(fleet.HubName).Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatalf("creating namespace %s: %v", name, err)
	}
}

// OwnNamespace makes a namespace on the hub that is named after the test.
func OwnNamespace(t testing.TB, f Fleet) string {
	t.Helper()
	name := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(t.Name()))
	// The end of the name is what tells subtests apart.
	name = strings.Trim(name[max(0, len(name)-validation.DNS1123LabelMaxLength):], "-")
	Namespace(t, f, name)
	return name
}

// Create creates a MyApp on the hub.
func Create(t testing.TB, f Fleet, app *v1.MyApp) {
	t.Helper()
	if err := f.Client(fleet.HubName).Create(t.Context(), app); err != nil {
		t.Fatalf("creating MyApp %s/%s: %v", app.Namespace, app.Name, err)
	}
}

// Edit changes a MyApp on the hub, and tries again on a conflict.
func Edit(t testing.TB, f Fleet, key types.NamespacedName, edit func(*v1.MyApp)) {
	t.Helper()
	c := f.Client(fleet.HubName)
	fleet.Eventually(t, 10*time.Second, "editing MyApp "+key.String(), func(ctx context.Context) error {
		app := &v1.MyApp{}
		if err := c.Get(ctx, key, app); err != nil {
			return err
		}
		edit(app)
		return c.Update(ctx, app)
	})
}

// Delete deletes a MyApp on the hub.
func Delete(t testing.TB, f Fleet, key types.NamespacedName) {
	t.Helper()
	app := &v1.MyApp{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	if err := f.Client(fleet.HubName).Delete(t.Context(), app); client.IgnoreNotFound(err) != nil {
		t.Fatalf("deleting MyApp %s: %v", key, err)
	}
}

// Get reads a MyApp from the hub.
func Get(t testing.TB, f Fleet, key types.NamespacedName) *v1.MyApp {
	t.Helper()
	app := &v1.MyApp{}
	if err := f.Client(fleet.HubName).Get(t.Context(), key, app); err != nil {
		t.Fatalf("reading MyApp %s: %v", key, err)
	}
	return app
}

// That waits until a MyApp is as check says.
func That(t testing.TB, f Fleet, timeout time.Duration, key types.NamespacedName, what string, check func(*v1.MyApp) error) {
	t.Helper()
	c := f.Client(fleet.HubName)
	fleet.Eventually(t, timeout, "MyApp "+key.String()+" "+what, func(ctx context.Context) error {
		app := &v1.MyApp{}
		if err := c.Get(ctx, key, app); err != nil {
			return err
		}
		if err := check(app); err != nil {
			return fmt.Errorf("%w; %s", err, Summary(app))
		}
		return nil
	})
}

// Member waits until what the hub knows of a member is as check says.
func Member(t testing.TB, f Fleet, timeout time.Duration, name, what string, check func(v1.MemberClusterStatus) error) {
	t.Helper()
	c := f.Client(fleet.HubName)
	fleet.Eventually(t, timeout, "member "+name+" "+what, func(ctx context.Context) error {
		member := &v1.MemberCluster{}
		if err := c.Get(ctx, types.NamespacedName{Name: name}, member); err != nil {
			return err
		}
		return check(member.Status)
	})
}

// Measured has a cluster that answers and whose capacity is known: placement knows of it
// what it ever will.
func Measured(s v1.MemberClusterStatus) error {
	for _, is := range []string{v1.ConditionReady, v1.ConditionCapacityKnown} {
		if c := meta.FindStatusCondition(s.Conditions, is); c == nil || c.Status != metav1.ConditionTrue {
			return fmt.Errorf("%s is %+v", is, c)
		}
	}
	return nil
}

// Ready waits until a MyApp is Ready on exactly these members with its current spec.
func Ready(t testing.TB, f Fleet, timeout time.Duration, key types.NamespacedName, members ...string) {
	t.Helper()
	That(t, f, timeout, key, "is Ready on "+strings.Join(members, ", "), func(app *v1.MyApp) error {
		return IsReady(app, members...)
	})
}

// IsReady says why a MyApp is not Ready on exactly these members.
func IsReady(app *v1.MyApp, members ...string) error {
	if app.Status.ObservedGeneration != app.Generation {
		return fmt.Errorf("generation %d is not observed", app.Generation)
	}
	if !meta.IsStatusConditionTrue(app.Status.Conditions, v1.ConditionReady) {
		return fmt.Errorf("not Ready")
	}
	var have []string
	for _, row := range app.Status.Placements {
		have = append(have, row.Cluster)
		if row.State != v1.PlacementReady || !row.Updated || row.Revision != app.Status.Revision {
			return fmt.Errorf("%s is %s", row.Cluster, row.State)
		}
	}
	if !slices.Equal(have, slices.Sorted(slices.Values(members))) {
		return fmt.Errorf("it is on %v, not on %v", have, members)
	}
	return nil
}

// Row is the row of a member, nil if there is none.
func Row(app *v1.MyApp, member string) *v1.PlacementRow {
	for i := range app.Status.Placements {
		if app.Status.Placements[i].Cluster == member {
			return &app.Status.Placements[i]
		}
	}
	return nil
}

// Condition says why a condition of a MyApp is not as wanted.
func Condition(app *v1.MyApp, kind string, status metav1.ConditionStatus, reason string) error {
	c := meta.FindStatusCondition(app.Status.Conditions, kind)
	if c == nil {
		return fmt.Errorf("there is no condition %s", kind)
	}
	if c.Status != status || c.Reason != reason {
		return fmt.Errorf("%s is %s (%s), not %s (%s)", kind, c.Status, c.Reason, status, reason)
	}
	return nil
}

// Gone waits until a MyApp is gone from the hub and its objects from the members.
func Gone(t testing.TB, f Fleet, timeout time.Duration, key types.NamespacedName, members ...string) {
	t.Helper()
	c := f.Client(fleet.HubName)
	fleet.Eventually(t, timeout, "MyApp "+key.String()+" to go", func(ctx context.Context) error {
		app := &v1.MyApp{}
		err := c.Get(ctx, key, app)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is still there (%w); %s", err, Summary(app))
	})
	for _, m := range members {
		if left := Objects(t, f, m, key.Namespace, client.MatchingLabels{v1.LabelApp: key.Name}); len(left) > 0 {
			t.Errorf("%s still has %v", m, left)
		}
	}
}

// Objects names the Deployments and Services on a member in a namespace.
func Objects(t testing.TB, f Fleet, member, namespace string, opts ...client.ListOption) []string {
	t.Helper()
	var names []string
	opts = append(opts, client.InNamespace(namespace))
	var deployments appsv1.DeploymentList
	if err := f.Client(member).List(t.Context(), &deployments, opts...); err != nil {
		t.Fatalf("listing Deployments of %s: %v", member, err)
	}
	for _, d := range deployments.Items {
		names = append(names, "Deployment "+d.Namespace+"/"+d.Name)
	}
	var services corev1.ServiceList
	if err := f.Client(member).List(t.Context(), &services, opts...); err != nil {
		t.Fatalf("listing Services of %s: %v", member, err)
	}
	for _, s := range services.Items {
		names = append(names, "Service "+s.Namespace+"/"+s.Name)
	}
	return names
}

// Deployment reads an app's Deployment from a member.
func Deployment(t testing.TB, f Fleet, member string, key types.NamespacedName) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := f.Client(member).Get(t.Context(), key, d); err != nil {
		t.Fatalf("reading Deployment %s from %s: %v", key, member, err)
	}
	return d
}

// Summary is a MyApp's status in a line.
func Summary(app *v1.MyApp) string {
	var parts []string
	for _, row := range app.Status.Placements {
		parts = append(parts, fmt.Sprintf("%s=%s(%s: %s)", row.Cluster, row.State, row.Reason, row.Message))
	}
	for _, c := range app.Status.Conditions {
		parts = append(parts, fmt.Sprintf("%s=%s(%s)", c.Type, c.Status, c.Reason))
	}
	return strings.Join(parts, " ")
}

// ByProduct keeps the requests that the hub's controllers and the agents made.
func ByProduct(events []fleet.AuditEvent) []fleet.AuditEvent {
	return slices.DeleteFunc(slices.Clone(events), func(e fleet.AuditEvent) bool {
		return !strings.HasPrefix(e.User, "system:serviceaccount:myapp-hub-system:") &&
			!strings.HasPrefix(e.User, "system:serviceaccount:"+v1.MailboxPrefix)
	})
}

// Writes keeps the product's requests that changed something or tried to;
// leases are left out, and so are the tokens by which agents stay known to the hub.
func Writes(events []fleet.AuditEvent) []fleet.AuditEvent {
	return slices.DeleteFunc(ByProduct(events), func(e fleet.AuditEvent) bool {
		identity := e.Subresource == "token" || e.Resource == "secrets" && e.Namespace == fleet.HubNamespace
		return !e.Write() || identity || e.Resource == "leases" || e.Resource == "tokenreviews" || e.Resource == "subjectaccessreviews" || e.Resource == "selfsubjectreviews" || e.Resource == "selfsubjectrulesreviews"
	})
}

// Describe counts requests by what they are, for a failure message.
func Describe(events []fleet.AuditEvent) string {
	counts := map[string]int{}
	for _, e := range events {
		resource := e.Resource
		if e.Subresource != "" {
			resource += "/" + e.Subresource
		}
		counts[fmt.Sprintf("%s %s %s/%s -> %d by %s", e.Verb, resource, e.Namespace, e.Name, e.Code, e.User)]++
	}
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprintf("%d × %s", counts[k], k))
	}
	return strings.Join(lines, "\n")
}

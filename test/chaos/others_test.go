package chaos

import (
	"context"
	"fmt"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// others are objects on the members that are none of the apps'.
type others struct {
	// blocked are apps that want names which others have.
	blocked []*wish
	made    map[thing]client.Object
}

// standBy makes objects of others on every member: without marks, with those of
// another hub, with this hub's for another member, with those of an app that is
// gone, and under names that apps want.
func (w *world) standBy() {
	w.t.Helper()
	hubID := w.hubID()
	w.others = others{
		made: map[thing]client.Object{},
		blocked: []*wish{
			{name: "their-files", replicas: 1, version: 1, has: [parts]bool{account: true, secret: true, config: true, service: true}, blocked: "ConfigMap"},
			{name: "their-pods", replicas: 1, version: 1, has: [parts]bool{service: true}, blocked: "Deployment"},
		},
	}
	for _, m := range w.members {
		if err := w.f.Cluster(m).Client().Create(w.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
			w.t.Fatal(err)
		}
		marks := func(hub, member string) map[string]string {
			return map[string]string{
				v1.LabelManagedBy: v1.ManagedBy, v1.LabelApp: "app-0", v1.LabelHubID: hub, v1.LabelMember: member,
				v1.LabelAppUID: "00000000-0000-4000-8000-000000000000",
			}
		}
		for name, labels := range map[string]map[string]string{
			"unmarked":               {"owner": "somebody"},
			"of-another-hub":         marks("another-hub", m),
			"of-another-member":      marks(hubID, "another-member"),
			"of-an-app-long-gone":    marks(hubID, m),
			w.others.blocked[0].name: {"owner": "somebody"},
		} {
			w.theirs(m, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: map[string]string{"whose": "theirs"}})
			if name == w.others.blocked[0].name {
				continue
			}
			w.theirs(m, theirDeployment(name, labels))
			w.theirs(m, &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
				Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}},
			})
		}
		w.theirs(m, theirDeployment(w.others.blocked[1].name, map[string]string{"owner": "somebody"}))
	}
	for _, app := range w.others.blocked {
		w.create(app)
	}
}

func theirDeployment(name string, labels map[string]string) client.Object {
	pod := map[string]string{"theirs": name}
	replicas := int32(0)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: pod},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: pod},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "theirs"}}},
			},
		},
	}
}

func (w *world) theirs(member string, o client.Object) {
	w.t.Helper()
	o.SetNamespace(namespace)
	c := w.f.Cluster(member).Client()
	if err := c.Create(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
	gvk, err := c.GroupVersionKindFor(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.others.made[thing{member, resources[gvk.Kind], namespace, o.GetName()}] = o
}

// resources of the kinds that others have objects of.
var resources = map[string]string{"ConfigMap": "configmaps", "Deployment": "deployments", "Service": "services"}

func (o others) has(member string, object *unstructured.Unstructured) bool {
	if object.GetKind() == "ConfigMap" && object.GetName() == "kube-root-ca.crt" {
		return true
	}
	_, ok := o.made[thing{member, resources[object.GetKind()], object.GetNamespace(), object.GetName()}]
	return ok
}

// untouched fails the test if the product has written anything of others, or if
// that is not as it was. A Deployment gets a status from the member's own
// controllers; its generation is that of its spec.
func (w *world) untouched(t *testing.T, marks map[string]int64) {
	t.Helper()
	for what, was := range w.others.made {
		c := w.f.Cluster(what.cluster)
		is := was.DeepCopyObject().(client.Object)
		if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(was), is); err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		_, workload := is.(*appsv1.Deployment)
		if is.GetUID() != was.GetUID() || is.GetGeneration() != was.GetGeneration() || !workload && is.GetResourceVersion() != was.GetResourceVersion() {
			t.Errorf("%s was touched: %+v", what, is.GetManagedFields())
		}
		if slices.ContainsFunc(is.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool { return e.Manager == v1.FieldManager }) {
			t.Errorf("%s has fields of the product: %+v", what, is.GetManagedFields())
		}
	}
	for _, m := range w.members {
		events, err := w.f.Cluster(m).AuditSince(marks[m])
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range expect.Writes(events) {
			if _, theirs := w.others.made[thing{m, e.Resource, e.Namespace, e.Name}]; theirs && e.Code < 300 {
				t.Errorf("the product wrote what is not its own: %s", expect.Describe([]fleet.AuditEvent{e}))
			}
		}
	}
}

// hubID is the hub's identity.
func (w *world) hubID() string {
	w.t.Helper()
	var id string
	fleet.Eventually(w.t, soon, "the hub to have an identity", func(ctx context.Context) error {
		var identity corev1.ConfigMap
		err := w.f.Cluster(fleet.HubName).Client().Get(ctx, types.NamespacedName{Namespace: fleet.HubNamespace, Name: "hub-identity"}, &identity)
		if id = identity.Data["hubID"]; id == "" && err == nil {
			err = fmt.Errorf("it has %v", identity.Data)
		}
		return err
	})
	return id
}

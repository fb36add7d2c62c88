package integration

import (
	"context"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// expectField checks a field of an object on a member, or of a MyApp on the hub.
func expectField(t *testing.T, f *fleet.Fleet, cluster, kind string, object types.NamespacedName, path, want string) {
	t.Helper()
	content, err := contentOf(expect.Object(t.Context(), f.Cluster(cluster), kind, object))
	if err != nil {
		t.Fatal(err)
	}
	found, err := expect.Field(content, path)
	if err != nil {
		t.Fatal(err)
	}
	if found != want {
		t.Errorf("%s: %s of %s %s is %s, want %s", cluster, path, kind, object, found, want)
	}
}

// Members may have numbers of pods of their own, which start no revision; kubectl
// scale and an autoscaler see and set those of all the others.
func TestReplicasOfSomeMembers(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName)
	members := []string{"push-1", "push-2", "pull-1"}
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(members...)))
	expect.Ready(t, f, soon, app, members...)
	revision := expect.Get(t, f, app).Status.Revision
	are := func(want map[string]string) {
		t.Helper()
		expect.Ready(t, f, soon, app, members...)
		for _, m := range members {
			expectField(t, f, m, "Deployment", app, ".spec.replicas", want[m])
		}
		if now := expect.Get(t, f, app).Status.Revision; now != revision {
			t.Errorf("replicas %v started revision %s", want, now)
		}
	}
	scale := func(spec, status int32) {
		t.Helper()
		have := &autoscalingv1.Scale{}
		if err := hub.Client().SubResource("scale").Get(t.Context(), expect.App(app.Namespace, app.Name), have); err != nil {
			t.Fatal(err)
		}
		if have.Spec.Replicas != spec || have.Status.Replicas != status {
			t.Errorf("the scale subresource says %d wanted and %d there, want %d and %d", have.Spec.Replicas, have.Status.Replicas, spec, status)
		}
	}
	expect.Edit(t, f, app, func(a *v1.MyApp) {
		a.Spec.Overrides = []v1.Override{{ClusterNames: []v1.ClusterName{"push-1", "pull-1"}, Replicas: ptr.To[int32](3)}, {ClusterNames: []v1.ClusterName{"push-1"}, Replicas: ptr.To[int32](2)}}
	})
	are(map[string]string{"push-1": "2", "push-2": "1", "pull-1": "3"})
	scale(1, 1)
	expectField(t, f, fleet.HubName, "MyApp", app, ".status.summary.totalReplicas", "6")

	mustKubectl(t, hub, "", "scale", "-n", app.Namespace, "myapp/web", "--replicas=4")
	are(map[string]string{"push-1": "2", "push-2": "4", "pull-1": "3"})
	scale(4, 4)

	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Overrides = nil })
	are(map[string]string{"push-1": "4", "push-2": "4", "pull-1": "4"})
	scale(4, 4)
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

// What an override had put on members goes with the override, and costs the
// members that it was not for nothing.
func TestOverridesAreWithdrawn(t *testing.T) {
	f := sharedFleet(t)
	overridden := []string{"push-1", "pull-1"}
	plain := []string{"push-2", "pull-2"}
	members := []string{"push-1", "push-2", "pull-1", "pull-2"}
	clusters := append([]string{fleet.HubName}, members...)
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.WithService, expect.On(members...), func(a *v1.MyApp) {
		a.Spec.Env = []corev1.EnvVar{{Name: "A", Value: "1"}}
	}))
	expect.Ready(t, f, soon, app, members...)

	before := markAll(f, clusters...)
	expect.Edit(t, f, app, func(a *v1.MyApp) {
		a.Spec.Overrides = []v1.Override{{
			ClusterNames: []v1.ClusterName{"push-1", "pull-1"},
			Image:        &v1.ImageOverride{Registry: "mirror.example.com"},
			Env:          []corev1.EnvVar{{Name: "A", Value: "2"}, {Name: "B", Value: "2"}},
			Args:         []string{"--two"},
			Resources:    &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}},
			Patches: []v1.Patch{
				{Target: v1.PatchTarget{Kind: "Service"}, Patch: []v1.PatchOperation{
					{Op: "add", Path: "/metadata/annotations", Value: &apiextensionsv1.JSON{Raw: []byte(`{"example.org/host":"x"}`)}},
					{Op: "add", Path: "/spec/sessionAffinity", Value: &apiextensionsv1.JSON{Raw: []byte(`"ClientIP"`)}},
				}},
				{Target: v1.PatchTarget{Kind: "Deployment"}, Patch: []v1.PatchOperation{
					{Op: "add", Path: "/spec/template/spec/nodeSelector", Value: &apiextensionsv1.JSON{Raw: []byte(`{"kubernetes.io/os":"linux"}`)}},
					{Op: "add", Path: "/spec/template/spec/tolerations", Value: &apiextensionsv1.JSON{Raw: []byte(`[{"operator":"Exists"}]`)}},
				}},
			},
		}}
	})
	fleet.Eventually(t, soon, "the revision to be recorded", func(context.Context) error {
		a := expect.Get(t, f, app)
		if a.Status.ObservedGeneration != a.Generation {
			return context.DeadlineExceeded
		}
		return nil
	})
	for _, m := range overridden {
		fleet.Eventually(t, soon, "the override on "+m, func(ctx context.Context) error {
			r := fieldsRun{f: f, ns: app.Namespace}
			for _, want := range []fact{
				{"Deployment", container + ".image", "mirror.example.com/web:1"},
				{"Deployment", container + ".env[*].value", "2 2"},
				{"Deployment", container + ".args", `["--two"]`},
				{"Deployment", container + ".resources.requests.cpu", "10m"},
				{"Deployment", podSpec + ".nodeSelector", `{"kubernetes.io/os":"linux"}`},
				{"Service", `.metadata.annotations.example\.org/host`, "x"},
				{"Service", ".spec.sessionAffinity", "ClientIP"},
			} {
				if err := r.holds(ctx, app.Name, m, want); err != nil {
					return err
				}
			}
			return nil
		})
	}

	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Overrides = nil })
	expect.Ready(t, f, soon, app, members...)
	settle(t, f, before, clusters)
	for _, m := range plain {
		if writes := expect.Writes(before.since(t, f, m)); len(writes) > 0 {
			t.Errorf("an override for other members cost %s these writes:\n%s", m, expect.Describe(writes))
		}
	}
	for i, m := range overridden {
		want, err := expect.Made(t.Context(), f, plain[i], app)
		if err != nil {
			t.Fatal(err)
		}
		have, err := expect.Made(t.Context(), f, m, app)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("after the override %s is not like %s, which never had it (-want +got):\n%s", m, plain[i], diff)
		}
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

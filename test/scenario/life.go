package scenario

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The plain form of a MyApp, driven with kubectl alone from its creation to its end.
func plainAppWithKubectl(t *testing.T, w World) {
	app := types.NamespacedName{Namespace: expect.OwnNamespace(t, w.Fleet), Name: "plain"}
	kubectl := func(stdin string, args ...string) string {
		return w.kubectl(t, fleet.HubName, stdin, append(args, "-n", app.Namespace)...)
	}
	everywhere := func(pods int, image string) {
		expect.Ready(t, w.Fleet, w.Soon, app, w.Members...)
		for _, m := range w.Members {
			w.expectPods(t, m, app.Namespace, pods, image)
		}
	}
	timeout := "--timeout=" + w.Soon.String()
	manifest := fmt.Sprintf(`{"apiVersion": "example.com/v1", "kind": "MyApp", "metadata": {"name": "plain"}, "spec": {"replicas": 3, "image": %q}}`, w.Images.First)

	started := time.Now()
	kubectl(manifest, "apply", "-f", "-")
	kubectl("", "wait", "--for=condition=Ready", timeout, "myapp/plain")
	t.Logf("Ready on %d members %s after kubectl apply began", len(w.Members), time.Since(started).Round(time.Millisecond))
	if err := expect.IsReady(expect.Get(t, w.Fleet, app), w.Members...); err != nil {
		t.Errorf("kubectl wait sees an app as Ready that is not: %v", err)
	}
	everywhere(3, w.Images.First)

	kubectl("", "scale", "myapp/plain", "--replicas=5")
	everywhere(5, w.Images.First)
	revision := expect.Get(t, w.Fleet, app).Status.Revision

	kubectl("", "patch", "myapp/plain", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"image":%q}}`, w.Images.Second))
	everywhere(5, w.Images.Second)
	if now := expect.Get(t, w.Fleet, app).Status.Revision; now == revision {
		t.Errorf("an image change kept revision %s", revision)
	}

	out := kubectl("", "get", "myapps", "-o", "wide")
	for _, want := range []string{"READY", "UPDATED", "CLUSTERS", "AGE", "REASON", v1.ReasonAllReady} {
		if !strings.Contains(out, want) {
			t.Errorf("kubectl get -o wide does not show %q:\n%s", want, out)
		}
	}

	kubectl("", "delete", "myapp/plain", timeout)
	expect.Gone(t, w.Fleet, w.Soon, app, w.Members...)
}

// A scaled app keeps its revision: scaling is no rollout.
func scaleKeepsRevision(t *testing.T, w World) {
	app := w.web(t)
	expect.Create(t, w.Fleet, w.app(app, expect.On(w.pair()...)))
	expect.Ready(t, w.Fleet, w.Soon, app, w.pair()...)
	before := expect.Get(t, w.Fleet, app).Status.Revision
	expect.Edit(t, w.Fleet, app, func(a *v1.MyApp) { a.Spec.Replicas = ptr.To[int32](4) })
	expect.Ready(t, w.Fleet, w.Soon, app, w.pair()...)
	if after := expect.Get(t, w.Fleet, app); after.Status.Revision != before || after.Status.Replicas != 4 || after.Status.Summary.TotalReplicas != 8 {
		t.Errorf("revision %s → %s, replicas %d, total %d; want the same revision, 4 and 8",
			before, after.Status.Revision, after.Status.Replicas, after.Status.Summary.TotalReplicas)
	}
	w.Remove(t, app)
}

// What is dropped from the spec really goes from the members: a field, and an object.
func droppedFieldsAndObjectsGo(t *testing.T, w World) {
	app := w.web(t)
	expect.Create(t, w.Fleet, w.app(app, expect.WithService, expect.On(w.pair()...), func(a *v1.MyApp) {
		a.Spec.Env = []corev1.EnvVar{{Name: "KEEP", Value: "1"}, {Name: "DROP", Value: "1"}}
		a.Spec.Args = []string{"--verbose"}
	}))
	expect.Ready(t, w.Fleet, w.Soon, app, w.pair()...)
	expect.Edit(t, w.Fleet, app, func(a *v1.MyApp) {
		a.Spec.Env = a.Spec.Env[:1]
		a.Spec.Args = nil
		a.Spec.Service = nil
	})
	expect.Ready(t, w.Fleet, w.Soon, app, w.pair()...)
	for _, m := range w.pair() {
		c := expect.Deployment(t, w.Fleet, m, app).Spec.Template.Spec.Containers[0]
		if len(c.Env) != 1 || c.Env[0].Name != "KEEP" || len(c.Args) != 0 {
			t.Errorf("%s has env %v and args %v; want KEEP alone", m, c.Env, c.Args)
		}
		err := w.Fleet.Client(m).Get(t.Context(), app, &corev1.Service{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("%s still has the Service (%v)", m, err)
		}
	}
	w.Remove(t, app)
}

// An app that is made again under its name right after it was deleted becomes
// Ready: nothing of its predecessor is in its way or taken for its own.
func recreatedApp(t *testing.T, w World) {
	app := w.web(t)
	for i := range 3 {
		expect.Create(t, w.Fleet, w.app(app, expect.WithService, expect.On(w.pair()...)))
		expect.Ready(t, w.Fleet, w.Soon, app, w.pair()...)
		w.Remove(t, app)
		t.Logf("round %d", i)
	}
}

// With deletionPolicy Orphan the objects keep running, without the hub's marks.
func orphan(t *testing.T, w World) {
	app := w.web(t)
	expect.Create(t, w.Fleet, w.app(app, expect.WithService, expect.On(w.pair()...), func(a *v1.MyApp) {
		a.Spec.DeletionPolicy = v1.DeletionOrphan
	}))
	expect.Ready(t, w.Fleet, w.Soon, app, w.pair()...)
	expect.Delete(t, w.Fleet, app)
	expect.Gone(t, w.Fleet, w.Soon, app)
	for _, m := range w.pair() {
		if objects := expect.Objects(t, w.Fleet, m, app.Namespace); len(objects) != 2 {
			t.Errorf("%s has %v; want the Deployment and the Service", m, objects)
		}
		d := expect.Deployment(t, w.Fleet, m, app)
		for _, mark := range []string{v1.LabelHubID, v1.LabelMember, v1.LabelAppUID, v1.LabelManagedBy} {
			if d.Labels[mark] != "" {
				t.Errorf("%s: the orphaned Deployment still has the label %s", m, mark)
			}
		}
		if d.Status.ReadyReplicas != 1 {
			t.Errorf("%s: the orphaned Deployment has %d ready pods, want 1", m, d.Status.ReadyReplicas)
		}
		w.kubectl(t, m, "", "delete", "-n", app.Namespace, "deployment/web", "service/web")
	}
}

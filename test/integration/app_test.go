package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The plain form of a MyApp, driven with kubectl alone from its creation to its end.
func TestPlainAppWithKubectl(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName)
	ns := namespace(t, f)
	app := key(ns, "plain")
	const manifest = `{apiVersion: example.com/v1, kind: MyApp, metadata: {name: plain}, spec: {replicas: 3, image: nginx}}`

	started := time.Now()
	mustKubectl(t, hub, manifest, "apply", "-n", ns, "-f", "-")
	mustKubectl(t, hub, "", "wait", "-n", ns, "--for=condition=Ready", "--timeout=20s", "myapp/plain")
	t.Logf("Ready on %d members %s after kubectl apply began", len(allMembers), time.Since(started).Round(time.Millisecond))
	expect.Ready(t, f, time.Second, app, allMembers...)
	for _, m := range allMembers {
		expectPods(t, f, m, ns, 3, "nginx")
	}

	mustKubectl(t, hub, "", "scale", "-n", ns, "myapp/plain", "--replicas=5")
	expect.Ready(t, f, soon, app, allMembers...)
	for _, m := range allMembers {
		expectPods(t, f, m, ns, 5, "nginx")
	}
	revision := expect.Get(t, f, app).Status.Revision

	mustKubectl(t, hub, "", "patch", "-n", ns, "myapp/plain", "--type=merge", "-p", `{"spec":{"image":"nginx:2"}}`)
	expect.Ready(t, f, soon, app, allMembers...)
	for _, m := range allMembers {
		expectPods(t, f, m, ns, 5, "nginx:2")
	}
	if now := expect.Get(t, f, app).Status.Revision; now == revision {
		t.Errorf("an image change kept revision %s", revision)
	}

	out := mustKubectl(t, hub, "", "get", "-n", ns, "myapps", "-o", "wide")
	for _, want := range []string{"READY", "UPDATED", "CLUSTERS", "AGE", "REASON", v1.ReasonAllReady} {
		if !strings.Contains(out, want) {
			t.Errorf("kubectl get -o wide does not show %q:\n%s", want, out)
		}
	}

	mustKubectl(t, hub, "", "delete", "-n", ns, "myapp/plain", "--timeout=20s")
	expect.Gone(t, f, soon, app, allMembers...)
}

// expectPods waits until a member runs exactly so many pods, all with the image.
func expectPods(t *testing.T, f *fleet.Fleet, member, ns string, count int, image string) {
	t.Helper()
	fleet.Eventually(t, soon, fmt.Sprintf("%d pods with %s on %s", count, image, member), func(ctx context.Context) error {
		var pods corev1.PodList
		if err := f.Cluster(member).Client().List(ctx, &pods, client.InNamespace(ns)); err != nil {
			return err
		}
		running := 0
		for _, p := range pods.Items {
			if p.DeletionTimestamp != nil {
				continue
			}
			if p.Spec.Containers[0].Image != image {
				return fmt.Errorf("pod %s runs %s", p.Name, p.Spec.Containers[0].Image)
			}
			running++
		}
		if running != count {
			return fmt.Errorf("there are %d", running)
		}
		return nil
	})
}

// A scaled app keeps its revision: scaling is no rollout.
func TestScaleKeepsRevision(t *testing.T) {
	f := sharedFleet(t)
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On("push-1", "pull-1")))
	expect.Ready(t, f, soon, app, "push-1", "pull-1")
	before := expect.Get(t, f, app).Status.Revision
	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Replicas = ptr.To[int32](4) })
	expect.Ready(t, f, soon, app, "push-1", "pull-1")
	if after := expect.Get(t, f, app); after.Status.Revision != before || after.Status.Replicas != 4 || after.Status.Summary.TotalReplicas != 8 {
		t.Errorf("revision %s → %s, replicas %d, total %d; want the same revision, 4 and 8",
			before, after.Status.Revision, after.Status.Replicas, after.Status.Summary.TotalReplicas)
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, "push-1", "pull-1")
}

// A member that is no longer chosen loses the app; one that is chosen gets it.
func TestPlacementMoves(t *testing.T) {
	f := sharedFleet(t)
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.WithService, expect.On("push-1", "pull-1")))
	expect.Ready(t, f, soon, app, "push-1", "pull-1")

	expect.Edit(t, f, app, expect.On("push-2", "pull-2"))
	expect.Ready(t, f, soon, app, "push-2", "pull-2")
	for _, m := range []string{"push-1", "pull-1"} {
		if left := expect.Objects(t, f, m, app.Namespace); len(left) > 0 {
			t.Errorf("%s still has %v", m, left)
		}
	}
	expect.Edit(t, f, app, expect.On("nowhere"))
	expect.That(t, f, soon, app, "is nowhere", func(a *v1.MyApp) error {
		if len(a.Status.Placements) > 0 {
			return fmt.Errorf("it has rows")
		}
		return expect.Condition(a, v1.ConditionScheduled, "False", v1.ReasonNoMatch)
	})
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, allMembers...)
}

// What is dropped from the spec really goes from the members: a field, and an object.
func TestDroppedFieldsAndObjectsGo(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.WithService, expect.On(members...), func(a *v1.MyApp) {
		a.Spec.Env = []corev1.EnvVar{{Name: "KEEP", Value: "1"}, {Name: "DROP", Value: "1"}}
		a.Spec.Args = []string{"--verbose"}
	}))
	expect.Ready(t, f, soon, app, members...)
	expect.Edit(t, f, app, func(a *v1.MyApp) {
		a.Spec.Env = a.Spec.Env[:1]
		a.Spec.Args = nil
		a.Spec.Service = nil
	})
	expect.Ready(t, f, soon, app, members...)
	for _, m := range members {
		c := expect.Deployment(t, f, m, app).Spec.Template.Spec.Containers[0]
		if len(c.Env) != 1 || c.Env[0].Name != "KEEP" || len(c.Args) != 0 {
			t.Errorf("%s has env %v and args %v; want KEEP alone", m, c.Env, c.Args)
		}
		err := f.Cluster(m).Client().Get(t.Context(), app, &corev1.Service{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("%s still has the Service (%v)", m, err)
		}
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

// A paused app stays as it is on every member; its status and its deletion go on.
func TestPaused(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(members...)))
	expect.Ready(t, f, soon, app, members...)

	expect.Edit(t, f, app, func(a *v1.MyApp) {
		a.Spec.Paused = true
		a.Spec.Image = "registry.example.com/web:2"
		expect.On("push-2")(a)
	})
	expect.That(t, f, soon, app, "is Paused", func(a *v1.MyApp) error {
		// No member runs the spec as it is now, so it is not Ready with it.
		if err := expect.Condition(a, v1.ConditionReady, "False", v1.ReasonPaused); err != nil {
			return err
		}
		return expect.Condition(a, v1.ConditionProgressing, "False", v1.ReasonPaused)
	})
	fleet.Consistently(t, 2*time.Second, "nothing changes while paused", func(context.Context) error {
		for _, m := range members {
			if image := expect.Deployment(t, f, m, app).Spec.Template.Spec.Containers[0].Image; image != "registry.example.com/web:1" {
				return fmt.Errorf("%s runs %s", m, image)
			}
		}
		if there := expect.Objects(t, f, "push-2", app.Namespace); len(there) > 0 {
			return fmt.Errorf("push-2 has %v", there)
		}
		return nil
	})
	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Paused = false })
	expect.Ready(t, f, soon, app, "push-2")

	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Paused = true })
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, allMembers...)
}

// With deletionPolicy Orphan the objects keep running, without the hub's marks.
func TestOrphan(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.WithService, expect.On(members...), func(a *v1.MyApp) {
		a.Spec.DeletionPolicy = v1.DeletionOrphan
	}))
	expect.Ready(t, f, soon, app, members...)
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app)
	for _, m := range members {
		if objects := expect.Objects(t, f, m, app.Namespace); len(objects) != 2 {
			t.Errorf("%s has %v; want the Deployment and the Service", m, objects)
		}
		d := expect.Deployment(t, f, m, app)
		for _, mark := range []string{v1.LabelHubID, v1.LabelMember, v1.LabelAppUID, v1.LabelManagedBy} {
			if d.Labels[mark] != "" {
				t.Errorf("%s: the orphaned Deployment still has the label %s", m, mark)
			}
		}
		if d.Status.ReadyReplicas != 1 {
			t.Errorf("%s: the orphaned Deployment has %d ready pods, want 1", m, d.Status.ReadyReplicas)
		}
	}
}

// An app that is made again under its name right after it was deleted becomes
// Ready: nothing of its predecessor is in its way or taken for its own.
func TestRecreatedApp(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	app := key(namespace(t, f), "web")
	for i := range 3 {
		expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.WithService, expect.On(members...)))
		expect.Ready(t, f, soon, app, members...)
		expect.Delete(t, f, app)
		expect.Gone(t, f, soon, app, members...)
		t.Logf("round %d", i)
	}
}

// A name that a member uses for something else is refused, said, and not touched.
func TestForeignObjectIsNotSeized(t *testing.T) {
	f := sharedFleet(t)
	for _, member := range []string{"push-1", "pull-1"} {
		t.Run(member, func(t *testing.T) {
			app := key(namespace(t, f), "web")
			c := f.Cluster(member)
			mustKubectl(t, c, "", "create", "namespace", app.Namespace)
			mustKubectl(t, c, "", "create", "deployment", "-n", app.Namespace, "web", "--image=mine")
			expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(member)))
			expect.That(t, f, soon, app, "is refused", func(a *v1.MyApp) error {
				row := expect.Row(a, member)
				if row == nil || row.State != v1.PlacementFailed || row.Reason != v1.ReasonNotOwned {
					return fmt.Errorf("the row is %+v", row)
				}
				return expect.Condition(a, v1.ConditionStalled, "True", v1.ReasonMemberFailed)
			})
			if d := expect.Deployment(t, f, member, app); d.Spec.Template.Spec.Containers[0].Image != "mine" || d.Labels[v1.LabelHubID] != "" {
				t.Errorf("the foreign Deployment was changed: %+v", d.ObjectMeta)
			}
			expect.Delete(t, f, app)
			expect.Gone(t, f, soon, app)
			expect.Deployment(t, f, member, app)
		})
	}
}

// An object that is deleted on a member comes back.
func TestDeletedObjectComesBack(t *testing.T) {
	f := sharedFleet(t)
	for _, member := range []string{"push-1", "pull-1"} {
		t.Run(member, func(t *testing.T) {
			app := key(namespace(t, f), "web")
			expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(member)))
			expect.Ready(t, f, soon, app, member)
			before := expect.Deployment(t, f, member, app).UID
			mustKubectl(t, f.Cluster(member), "", "delete", "deployment", "-n", app.Namespace, "web")
			fleet.Eventually(t, soon, "a new Deployment", func(ctx context.Context) error {
				out, err := kubectl(t, f.Cluster(member), "", "get", "deployment", "-n", app.Namespace, "web", "-o", "jsonpath={.metadata.uid}")
				if err != nil || out == string(before) {
					return fmt.Errorf("it is %s (%w)", out, err)
				}
				return nil
			})
			expect.Ready(t, f, soon, app, member)
			expect.Delete(t, f, app)
			expect.Gone(t, f, soon, app, member)
		})
	}
}

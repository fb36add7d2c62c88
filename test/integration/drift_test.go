package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	// correctedIn is the goal for a correction, correctedBy what a machine that
	// has other things to do must manage.
	correctedIn = time.Second
	correctedBy = 3 * time.Second
)

// imageEdit changes the image of an app on a member.
func imageEdit(app, image string) string {
	return fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":%q,"image":%q}]}}}}`, app, image)
}

// What somebody changes on a member is put back at once.
func TestDriftIsCorrected(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(members...)))
	expect.Ready(t, f, soon, app, members...)
	for _, m := range members {
		c := f.Cluster(m)
		mark, started := c.AuditMark(), time.Now()
		if err := expect.Change(t.Context(), c, "Deployment", app, imageEdit("web", "registry.example.com/theirs:1")); err != nil {
			t.Fatal(err)
		}
		fleet.Eventually(t, correctedBy, "the image to be put back on "+m, func(context.Context) error {
			if image := expect.Deployment(t, f, m, app).Spec.Template.Spec.Containers[0].Image; image != "registry.example.com/web:1" {
				return fmt.Errorf("it is %s", image)
			}
			return nil
		})
		took := time.Since(started).Round(time.Millisecond)
		t.Logf("%s: corrected after %s, the goal is %s", m, took, correctedIn)
		expect.Ready(t, f, soon, app, members...)
		events, err := c.AuditSince(mark)
		if err != nil {
			t.Fatal(err)
		}
		if writes := expect.Writes(events); len(writes) != 1 {
			t.Errorf("%s: the correction cost these writes, want one:\n%s", m, expect.Describe(writes))
		}
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

// Taking off the label that names the app hides no other change.
func TestDriftOfTheAppsName(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(members...)))
	expect.Ready(t, f, soon, app, members...)
	for _, m := range members {
		for _, change := range []string{
			fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, v1.LabelApp),
			imageEdit("web", "registry.example.com/theirs:1"),
		} {
			if err := expect.Change(t.Context(), f.Cluster(m), "Deployment", app, change); err != nil {
				t.Fatal(err)
			}
		}
		fleet.Eventually(t, correctedBy, "label and image to be put back on "+m, func(context.Context) error {
			d := expect.Deployment(t, f, m, app)
			if image := d.Spec.Template.Spec.Containers[0].Image; image != "registry.example.com/web:1" || d.Labels[v1.LabelApp] != app.Name {
				return fmt.Errorf("the image is %s, the labels are %v", image, d.Labels)
			}
			return nil
		})
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

// With drift Report what somebody changes stays, and is said; when it is undone
// all is well again.
func TestDriftIsReported(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(members...), func(a *v1.MyApp) {
		a.Spec.Drift = &v1.Drift{Mode: v1.DriftReport}
	}))
	expect.Ready(t, f, soon, app, members...)
	change := func(image string) {
		t.Helper()
		for _, m := range members {
			if err := expect.Change(t.Context(), f.Cluster(m), "Deployment", app, imageEdit("web", image)); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := markAll(f, members...)
	change("registry.example.com/theirs:1")
	for _, m := range members {
		rowSays(t, f, soon, app, m, v1.ReasonDrifted, "Deployment "+app.String(),
			`/spec/template/spec/containers/web/image is "registry.example.com/theirs:1" (set by `+expect.Somebody+`), wanted "registry.example.com/web:1"`)
	}
	expect.That(t, f, soon, app, "is not Applied", func(a *v1.MyApp) error {
		if err := expect.Condition(a, v1.ConditionReady, "False", v1.ReasonDrifted); err != nil {
			return err
		}
		return expect.Condition(a, v1.ConditionApplied, "False", v1.ReasonDrifted)
	})
	settle(t, f, before, members)
	for _, m := range members {
		if writes := expect.Writes(before.since(t, f, m)); len(writes) > 0 {
			t.Errorf("%s: drift is only to be reported, but this was written:\n%s", m, expect.Describe(writes))
		}
	}
	change("registry.example.com/web:1")
	expect.Ready(t, f, soon, app, members...)

	// A change of mind: what differs is corrected.
	change("registry.example.com/theirs:2")
	rowSays(t, f, soon, app, "pull-1", v1.ReasonDrifted, "theirs:2")
	rowSays(t, f, soon, app, "push-1", v1.ReasonDrifted, "theirs:2")
	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Drift = nil })
	expect.Ready(t, f, soon, app, members...)
	for _, m := range members {
		if image := expect.Deployment(t, f, m, app).Spec.Template.Spec.Containers[0].Image; image != "registry.example.com/web:1" {
			t.Errorf("%s still runs %s", m, image)
		}
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

// Objects that exist before the app are taken over as its policy says.
func TestAdoption(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	ns := namespace(t, f)
	same, other := key(ns, "same"), key(ns, "other")
	for _, m := range members {
		expectNamespace(t, f.Cluster(m), ns)
		mustKubectl(t, f.Cluster(m), `
{apiVersion: v1, kind: ConfigMap, metadata: {name: same, labels: {team: shop}}, data: {a: b}}
---
{apiVersion: v1, kind: Service, metadata: {name: same}, spec: {selector: {example.com/app: same}, ports: [{port: 80, targetPort: 80}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: other}, data: {a: theirs, b: theirs}}
---
{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {selector: {app: old}, ports: [{port: 80, targetPort: 81}]}}`, "apply", "-n", ns, "-f", "-")
	}
	for _, name := range []string{"same", "other"} {
		expect.Create(t, f, expect.App(ns, name, expect.WithService, expect.On(members...), func(a *v1.MyApp) {
			a.Spec.Adoption = v1.AdoptIfIdentical
			a.Spec.Config = map[string]v1.ConfigValue{"a": "b"}
		}))
	}
	expect.Ready(t, f, soon, same, members...)
	for _, m := range members {
		for _, kind := range []string{"ConfigMap", "Service"} {
			expectField(t, f, m, kind, same, `.metadata.labels.example\.com/app`, "same")
		}
		expectField(t, f, m, "ConfigMap", same, ".metadata.labels.team", "shop")
		rowSays(t, f, soon, other, m, v1.ReasonNotOwned, "/data/a differ", "spec.adoption to Always")
		expectField(t, f, m, "ConfigMap", other, ".data", `{"a":"theirs","b":"theirs"}`)
		expectField(t, f, m, "Service", other, ".spec.ports[0].targetPort", "81")
		expectField(t, f, m, "Deployment", other, ".metadata.name", expect.None)
	}

	expect.Edit(t, f, other, func(a *v1.MyApp) { a.Spec.Adoption = v1.AdoptAlways })
	expect.Ready(t, f, soon, other, members...)
	for _, m := range members {
		expectField(t, f, m, "ConfigMap", other, ".data.a", "b")
		expectField(t, f, m, "Service", other, ".spec.selector", `{"example.com/app":"other"}`)
		expectField(t, f, m, "Service", other, ".spec.ports[0].targetPort", "80")
	}
	for _, name := range []string{"same", "other"} {
		expect.Delete(t, f, key(ns, name))
		expect.Gone(t, f, soon, key(ns, name), members...)
		for _, m := range members {
			expectField(t, f, m, "ConfigMap", key(ns, name), ".metadata.name", expect.None)
		}
	}
}

// A row says why pods are not ready, or not even made.
func TestRowsSayWhyPodsAreNotReady(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	ns := namespace(t, f)
	crowded := ns + "-crowded"
	expect.Namespace(t, f, crowded)
	for _, m := range members {
		expectNamespace(t, f.Cluster(m), crowded)
		none := corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
		quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: crowded, Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none}}
		if err := f.Cluster(m).Client().Create(t.Context(), quota); err != nil {
			t.Fatal(err)
		}
		quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
		if err := f.Cluster(m).Client().Status().Update(t.Context(), quota); err != nil {
			t.Fatal(err)
		}
	}
	broken, crowd := key(ns, "web"), key(crowded, "web")
	started := time.Now()
	expect.Create(t, f, expect.App(ns, "web", expect.On(members...), func(a *v1.MyApp) { a.Spec.Image = "registry.example.com/web:broken" }))
	expect.Create(t, f, expect.App(crowded, "web", expect.On(members...)))
	for _, m := range members {
		rowSays(t, f, 20*time.Second, crowd, m, v1.ReasonPodsNotReady, "exceeded quota: none", "0 of 1 pods ready")
	}
	t.Logf("the quota was in the rows after %s", time.Since(started).Round(time.Millisecond))
	for _, m := range members {
		rowSays(t, f, 20*time.Second, broken, m, v1.ReasonPodsNotReady, "1 of 1 pods: ImagePullBackOff: container web", "web:broken")
	}
	t.Logf("the image was in the rows after %s", time.Since(started).Round(time.Millisecond))

	// Both go on by themselves once the cause is gone.
	expect.Edit(t, f, broken, func(a *v1.MyApp) { a.Spec.Image = "registry.example.com/web:1" })
	expect.Ready(t, f, soon, broken, members...)
	for _, app := range []struct{ ns, name string }{{ns, "web"}, {crowded, "web"}} {
		expect.Delete(t, f, key(app.ns, app.name))
		expect.Gone(t, f, soon, key(app.ns, app.name), members...)
	}
}

package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// A namespace's quota is exact however many apps come at once, says what it does not
// allow, and gives what becomes free to those who wait.
func TestQuota(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName)
	ns := namespace(t, f)
	out, err := kubectl(t, hub, `{apiVersion: example.com/v1, kind: PlacementQuota, metadata: {name: wrong}, spec: {hard: {pods: 1}}}`, "apply", "-n", ns, "-f", "-")
	if err == nil || !strings.Contains(out, "clusters, replicas, requests.cpu and requests.memory") {
		t.Errorf("a quota of something else: %v %s", err, out)
	}
	mustKubectl(t, hub, `{apiVersion: example.com/v1, kind: PlacementQuota, metadata: {name: team}, spec: {hard: {replicas: 6, requests.cpu: 3}}}`, "apply", "-n", ns, "-f", "-")

	var apps []types.NamespacedName
	for i := range 8 {
		app := expect.App(ns, fmt.Sprintf("app-%d", i), expect.On("push-1"), func(a *v1.MyApp) {
			a.Spec.Replicas = ptr.To[int32](2)
			a.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}}
		})
		expect.Create(t, f, app)
		apps = append(apps, key(ns, app.Name))
	}
	placed := map[types.NamespacedName]bool{}
	for _, app := range apps {
		expect.That(t, f, soon, app, "is placed or stopped", func(a *v1.MyApp) error {
			stalled := meta.FindStatusCondition(a.Status.Conditions, v1.ConditionStalled)
			switch {
			case len(a.Status.Placements) == 1:
				placed[app] = true
			case stalled == nil || stalled.Reason != v1.ReasonQuotaExceeded || !strings.Contains(stalled.Message, "PlacementQuota team"):
				return fmt.Errorf("Stalled is %+v", stalled)
			}
			return nil
		})
	}
	if len(placed) != 3 {
		t.Fatalf("%d apps of 2 pods were placed with a quota of 6", len(placed))
	}
	usedIs(t, hub, ns, "6 600m")

	// One goes, another comes.
	var first types.NamespacedName
	for app := range placed {
		first = app
		break
	}
	expect.Delete(t, f, first)
	expect.Gone(t, f, soon, first, "push-1")
	fleet.Eventually(t, soon, "another app takes the place", func(context.Context) error {
		n := 0
		for _, app := range apps {
			if app != first && len(expect.Get(t, f, app).Status.Placements) == 1 {
				n++
			}
		}
		if n != 3 {
			return fmt.Errorf("%d apps are placed", n)
		}
		return nil
	})

	// What pods request counts, and an edit that asks for too much changes nothing.
	mustKubectl(t, hub, "", "patch", "-n", ns, "placementquota/team", "--type=merge", "-p", `{"spec":{"hard":{"replicas":null}}}`)
	for _, app := range apps {
		if app != first {
			expect.Ready(t, f, soon, app, "push-1")
		}
	}
	greedy := apps[len(apps)-1]
	if greedy == first {
		greedy = apps[0]
	}
	expect.Edit(t, f, greedy, func(a *v1.MyApp) {
		a.Spec.Resources.Requests[corev1.ResourceCPU] = resource.MustParse("2")
	})
	expect.That(t, f, soon, greedy, "is stopped", func(a *v1.MyApp) error {
		stalled := meta.FindStatusCondition(a.Status.Conditions, v1.ConditionStalled)
		if stalled == nil || stalled.Reason != v1.ReasonQuotaExceeded || stalled.ObservedGeneration != a.Generation || !strings.Contains(stalled.Message, "requests.cpu: with this app 5200m") {
			return fmt.Errorf("Stalled is %+v", stalled)
		}
		return nil
	})
	d := expect.Deployment(t, f, "push-1", greedy)
	if cpu := d.Spec.Template.Spec.Containers[0].Resources.Requests.Cpu(); cpu.String() != "100m" {
		t.Errorf("the pods request %s", cpu)
	}
	mustKubectl(t, hub, "", "delete", "-n", ns, "placementquota/team")
	expect.Ready(t, f, soon, greedy, "push-1")
}

// usedIs waits until a quota shows what is used: replicas and CPU.
func usedIs(t *testing.T, hub *fleet.Cluster, ns, want string) {
	t.Helper()
	fleet.Eventually(t, soon, "the quota shows "+want, func(context.Context) error {
		got := mustKubectl(t, hub, "", "get", "-n", ns, "placementquota/team", "-o", `jsonpath={.status.used.replicas} {.status.used.requests\.cpu}`)
		if got != want {
			return fmt.Errorf("it shows %s", got)
		}
		return nil
	})
}

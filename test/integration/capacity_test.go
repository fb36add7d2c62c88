package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// cpu is an edit of what a pod of an app requests.
func cpu(amount string) func(*v1.MyApp) {
	return func(a *v1.MyApp) {
		a.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(amount)}}
	}
}

// busy has pods on a member that take 40 cores each, until the test ends.
func busy(t *testing.T, f *fleet.Fleet, member string, pods int64) {
	t.Helper()
	c := f.Cluster(member).Client()
	for i := range pods {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: fmt.Sprint("busy-", i)},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.example.com/busy:1", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("40")},
			}}}},
		}
		if err := c.Create(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = client.IgnoreNotFound(c.Delete(context.Background(), pod, client.GracePeriodSeconds(0)))
		})
	}
	expect.Member(t, f, soon, member, "is busy", known(40_000*pods, 40_000*pods+10_000))
}

// scheduled waits for what the condition Scheduled says.
func scheduled(t *testing.T, f *fleet.Fleet, app client.ObjectKey, status metav1.ConditionStatus, says string) {
	t.Helper()
	expect.That(t, f, soon, app, "says "+says, func(a *v1.MyApp) error {
		c := meta.FindStatusCondition(a.Status.Conditions, v1.ConditionScheduled)
		if c == nil || c.Status != status || !strings.Contains(c.Message, says) {
			return fmt.Errorf("Scheduled is %+v", c)
		}
		return nil
	})
}

// An app goes only where its kinds are served and its pods have room, and explain says what
// is missing.
func TestKindsAndRoomAreNeeded(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	for _, m := range allMembers {
		expect.Member(t, f, soon, m, "is measured", known(0, 60_000))
	}
	kinds, large := key(ns, "kinds"), key(ns, "large")
	expect.Create(t, f, expect.App(ns, kinds.Name, func(a *v1.MyApp) {
		a.Spec.Manifests = []runtime.RawExtension{{Raw: []byte(`{"apiVersion":"example.org/v1","kind":"Gadget","metadata":{"name":"g"}}`)}}
	}))
	scheduled(t, f, kinds, metav1.ConditionFalse, "6 do not serve a kind")
	out, err := kubectlMyapp(t, f, "explain", "kinds", "-n", ns, "--cluster", "push-1")
	if err != nil || !strings.Contains(out, v1.ReasonKindMissing) || !strings.Contains(out, "push-1 serves example.org/v1/Gadget") {
		t.Errorf("%v\n%s", err, out)
	}

	// Other members are those of TestDivisionByRoom: what they were just given counts for a while.
	expect.Create(t, f, expect.App(ns, large.Name, cpu("1000"), placedBy(v1.Placement{ClusterNames: []string{"pull-2", "push-4"}})))
	scheduled(t, f, large, metav1.ConditionFalse, "2 are full")
	out, err = kubectlMyapp(t, f, "explain", "large", "-n", ns, "--cluster", "pull-2")
	if err != nil || !strings.Contains(out, v1.ReasonNoCapacity) || !strings.Contains(out, "more CPU") {
		t.Errorf("%v\n%s", err, out)
	}
	busy(t, f, "push-4", 2)
	expect.Edit(t, f, large, cpu("60"))
	scheduled(t, f, large, metav1.ConditionTrue, "1 of 6 members chosen; 4 do not match, 1 are full")
	expect.Ready(t, f, soon, large, "pull-2")
	for _, app := range []client.ObjectKey{kinds, large} {
		expect.Delete(t, f, app)
		expect.Gone(t, f, soon, app, allMembers...)
	}
}

// Pods go where there is room for them, and what fits nowhere at home goes away from it.
func TestDivisionByRoom(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	expect.Member(t, f, soon, "push-1", "is measured", known(0, 10_000))
	busy(t, f, "push-2", 2)
	room, overflow := key(ns, "room"), key(ns, "overflow")
	expect.Create(t, f, expect.App(ns, room.Name, cpu("10"), placedBy(v1.Placement{
		ClusterNames:      []string{"push-1", "push-2"},
		ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided, Divide: v1.DivideFreeCapacity},
	}), func(a *v1.MyApp) { a.Spec.Replicas = ptr.To[int32](8) }))
	has := func(app client.ObjectKey, want map[string]int32) {
		t.Helper()
		expect.That(t, f, soon, app, fmt.Sprint("has ", want), func(a *v1.MyApp) error {
			is := map[string]int32{}
			for _, row := range a.Status.Placements {
				is[row.Cluster] = row.ReadyReplicas
			}
			if fmt.Sprint(is) != fmt.Sprint(want) {
				return fmt.Errorf("it has %v", is)
			}
			return expect.Condition(a, v1.ConditionReady, "True", v1.ReasonAllReady)
		})
	}
	has(room, map[string]int32{"push-1": 6, "push-2": 2})

	expect.Create(t, f, expect.App(ns, overflow.Name, placedBy(v1.Placement{
		Groups:            []v1.ClusterGroup{{Name: "home", ClusterNames: []string{"push-3"}}, {Name: "away", ClusterNames: []string{"pull-1"}}},
		ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided, MaxPerCluster: ptr.To[int32](2)},
	}), func(a *v1.MyApp) { a.Spec.Replicas = ptr.To[int32](2) }))
	has(overflow, map[string]int32{"push-3": 2})
	expect.Edit(t, f, overflow, func(a *v1.MyApp) { a.Spec.Replicas = ptr.To[int32](4) })
	has(overflow, map[string]int32{"push-3": 2, "pull-1": 2})
	expect.Edit(t, f, overflow, func(a *v1.MyApp) { a.Spec.Replicas = ptr.To[int32](1) })
	has(overflow, map[string]int32{"push-3": 1})
	for _, app := range []client.ObjectKey{room, overflow} {
		expect.Delete(t, f, app)
		expect.Gone(t, f, soon, app, allMembers...)
	}
}

// A taint that is tolerated for some seconds makes the app leave after them.
func TestTolerationEnds(t *testing.T) {
	f := sharedFleet(t)
	app := key(namespace(t, f), "web")
	const tolerated = 4 * time.Second
	expect.Create(t, f, expect.App(app.Namespace, app.Name, placedBy(v1.Placement{
		ClusterNames: []string{"push-3", "pull-2"},
		Tolerations:  []v1.Toleration{{Key: v1.TaintDrain, Operator: v1.TolerationExists, Effect: v1.TaintNoExecute, TolerationSeconds: ptr.To(int64(tolerated / time.Second))}},
	})))
	expect.Ready(t, f, soon, app, "push-3", "pull-2")
	drained(t, f, "push-3")
	begun := time.Now()
	fleet.Consistently(t, tolerated-2*time.Second, "it is tolerated", func(context.Context) error {
		if row := expect.Row(expect.Get(t, f, app), "push-3"); row == nil || row.State == v1.PlacementRemoving {
			return errors.New("the app has left push-3")
		}
		return nil
	})
	expect.Ready(t, f, soon, app, "pull-2")
	t.Logf("the app had left %v after the taint", time.Since(begun).Round(time.Millisecond))
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, "push-3", "pull-2")
}

package facts

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

func list(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

func container(cpu, memory string) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{Requests: list(cpu, memory)}}
}

func TestNodeOf(t *testing.T) {
	ready := []corev1.NodeCondition{{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionTrue}, {Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	taint := func(effect corev1.TaintEffect) corev1.NodeSpec {
		return corev1.NodeSpec{Taints: []corev1.Taint{{Key: "x", Effect: effect}}}
	}
	for reason, c := range map[string]struct {
		spec       corev1.NodeSpec
		conditions []corev1.NodeCondition
		want       bool
	}{
		"it is ready":                          {corev1.NodeSpec{}, ready, true},
		"it has not said so":                   {corev1.NodeSpec{}, nil, false},
		"it is not ready":                      {corev1.NodeSpec{}, []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse}}, false},
		"it does not answer":                   {corev1.NodeSpec{}, []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}, false},
		"it is cordoned":                       {corev1.NodeSpec{Unschedulable: true}, ready, false},
		"it is for others, as a control plane": {taint(corev1.TaintEffectNoSchedule), ready, false},
		"pods are driven out":                  {taint(corev1.TaintEffectNoExecute), ready, false},
		"others are only preferred":            {taint(corev1.TaintEffectPreferNoSchedule), ready, true},
	} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: c.spec, Status: corev1.NodeStatus{Conditions: c.conditions, Allocatable: list("3900m", "7Gi")}}
		node.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("110")
		want := Node{Name: "n", Schedulable: c.want, Allocatable: Amounts{3900, 7 << 30, 110}}
		if diff := cmp.Diff(want, NodeOf(node)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", reason, diff)
		}
	}
}

func TestPodOf(t *testing.T) {
	sidecar := container("100m", "10Mi")
	sidecar.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	on := func(edit func(*corev1.Pod)) *corev1.Pod {
		pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{container("250m", "64Mi"), container("1", "1Gi")}}}
		edit(pod)
		return pod
	}
	for reason, c := range map[string]struct {
		pod  *corev1.Pod
		want Amounts // zero: it counts for nothing
	}{
		"containers run together":    {on(func(*corev1.Pod) {}), Amounts{1250, 1088 << 20, 1}},
		"a large init container":     {on(func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{container("2", "1Mi")} }), Amounts{2000, 1088 << 20, 1}},
		"a sidecar runs beside them": {on(func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{sidecar} }), Amounts{1350, 1098 << 20, 1}},
		"the runtime needs some":     {on(func(p *corev1.Pod) { p.Spec.Overhead = list("50m", "32Mi") }), Amounts{1300, 1120 << 20, 1}},
		"the pod as a whole says":    {on(func(p *corev1.Pod) { p.Spec.Resources = &corev1.ResourceRequirements{Requests: list("3", "2Gi")} }), Amounts{3000, 2 << 30, 1}},
		"it asks for nothing":        {on(func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{}} }), Amounts{0, 0, 1}},
		"less than nothing":          {on(func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{container("-5", "-1Gi")} }), Amounts{0, 0, 1}},
		"more than there is":         {on(func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{container("1e30", "1e30")} }), Amounts{maxAmount, math.MaxInt64, 1}},
		"it is being deleted":        {on(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }), Amounts{1250, 1088 << 20, 1}},
		"it has succeeded":           {on(func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), Amounts{}},
		"it has failed":              {on(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), Amounts{}},
		"it has no node yet":         {on(func(p *corev1.Pod) { p.Spec.NodeName = "" }), Amounts{}},
	} {
		got, counts := PodOf(c.pod)
		if got.Requested != c.want || counts != (c.want != Amounts{}) {
			t.Errorf("%s: %+v, %t, want %+v", reason, got, counts, c.want)
		}
	}
}

func TestMeasure(t *testing.T) {
	nodes := []Node{
		{"a", true, Amounts{4000, 8<<30 + 1, 110}},
		{"b", true, Amounts{4000, 8 << 30, 110}},
		{"cordoned", false, Amounts{4000, 8 << 30, 110}},
	}
	pods := []Pod{{"a", Amounts{100, 1, 1}}, {"b", Amounts{200, 1 << 20, 1}}, {"cordoned", Amounts{3000, 1 << 30, 1}}, {"gone", Amounts{3000, 1 << 30, 1}}}
	want := v1.Capacity{Allocatable: v1.Amounts{CPUMillis: 8000, MemoryMiB: 16384, Pods: 220}, Requested: v1.Amounts{CPUMillis: 300, MemoryMiB: 2, Pods: 2}}
	if diff := cmp.Diff(want, Measure(slices.Values(nodes), slices.Values(pods))); diff != "" {
		t.Errorf("what is on nodes that count, memory rounded to the safe side (-want +got):\n%s", diff)
	}
	much := Node{"much", true, Amounts{math.MaxInt64, math.MaxInt64, math.MaxInt64}}
	c := Measure(slices.Values([]Node{much, much}), slices.Values([]Pod{{"much", much.Allocatable}, {"much", much.Allocatable}}))
	if most := (v1.Amounts{CPUMillis: maxAmount, MemoryMiB: maxAmount, Pods: maxAmount}); c.Allocatable != most || c.Requested != most {
		t.Errorf("a liar's sums do not overflow: %+v", c)
	}
}

func TestRound(t *testing.T) {
	cpu := func(allocatable, requested int64) *v1.Capacity {
		return &v1.Capacity{Allocatable: v1.Amounts{CPUMillis: allocatable}, Requested: v1.Amounts{CPUMillis: requested}}
	}
	for _, c := range []struct {
		reason            string
		last, exact, want *v1.Capacity
	}{
		{"the unit of 4 cores is 32m", nil, cpu(4000, 1), cpu(4000, 32)},
		{"down and up", nil, cpu(4001, 33), cpu(4000, 64)},
		{"the smallest unit", nil, cpu(100, 9), cpu(96, 16)},
		{"a multiple stays", nil, cpu(4000, 64), cpu(4000, 64)},
		{"no nodes", nil, cpu(0, 0), cpu(0, 0)},
		{"one pod less, at the edge", cpu(4000, 96), cpu(4000, 64), cpu(4000, 96)},
		{"two units less", cpu(4000, 96), cpu(4000, 32), cpu(4000, 32)},
		{"more than was reported", cpu(4000, 64), cpu(4000, 65), cpu(4000, 96)},
		{"less allocatable, by one", cpu(4000, 0), cpu(3999, 0), cpu(3968, 0)},
		{"more allocatable, by one unit", cpu(3968, 0), cpu(4000, 0), cpu(3968, 0)},
		{"more allocatable, by two", cpu(3968, 0), cpu(4032, 0), cpu(4032, 0)},
		{"a node that came", cpu(4000, 96), cpu(8000, 96), cpu(8000, 96)},
	} {
		if got := Round(c.last, *c.exact); got.Allocatable.CPUMillis != c.want.Allocatable.CPUMillis || got.Requested.CPUMillis != c.want.Requested.CPUMillis {
			t.Errorf("%s: %d, %d, want %d, %d", c.reason, got.Allocatable.CPUMillis, got.Requested.CPUMillis, c.want.Allocatable.CPUMillis, c.want.Requested.CPUMillis)
		}
	}
}

func amountsGen() *rapid.Generator[pair] {
	return rapid.Custom(func(t *rapid.T) pair {
		return pair{rapid.Int64Range(0, 100_000).Draw(t, "allocatable"), rapid.Int64Range(0, 100_000).Draw(t, "requested")}
	})
}

// What is reported is on the safe side, close to the truth, and does not change by itself.
func TestRoundIsSafeAndStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		smallest := rapid.SampledFrom([]int64{smallestCPU, smallestMemory, smallestPods}).Draw(t, "smallest")
		last := pair{-1, -1}
		for _, exact := range rapid.SliceOfN(amountsGen(), 1, 8).Draw(t, "exact") {
			rounded := round(last, exact, smallest)
			most := max(exact.allocatable/(fraction/2), 2*smallest)
			if off := exact.allocatable - rounded.allocatable; off < 0 || off > most {
				t.Fatalf("%+v after %+v: %d are free too much or too little", exact, last, off)
			}
			if off := rounded.requested - exact.requested; off < 0 || off > most {
				t.Fatalf("%+v after %+v: %d are taken too much or too little", exact, last, off)
			}
			if again := round(rounded, exact, smallest); again != rounded {
				t.Fatalf("%+v becomes %+v although nothing changed", rounded, again)
			}
			last = rounded
		}
	})
}

// Pods that come and go and request less than a unit change a report once at the most.
func TestRoundDoesNotChurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		exact := amountsGen().Draw(t, "exact")
		const unit = smallestCPU
		last, changes := round(pair{-1, -1}, exact, unit), 0
		for _, more := range rapid.SliceOfN(rapid.Int64Range(0, unit), 0, 50).Draw(t, "more") {
			next := round(last, pair{exact.allocatable, exact.requested + more}, unit)
			if next != last {
				changes++
			}
			last = next
		}
		if changes > 1 {
			t.Fatalf("%d changes", changes)
		}
	})
}

package facts

import (
	"iter"
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resources "k8s.io/component-helpers/resource"

	v1 "github.com/example/myapp-hub/api/v1"
)

const (
	// fraction is how many units there are at least in an allocatable amount.
	fraction = 64
	mebibyte = 1 << 20

	// The smallest units that amounts are rounded to.
	smallestCPU    = 8  // millicores
	smallestMemory = 16 // MiB
	smallestPods   = 1

	// maxAmount bounds what is reported, as the schema does: a million cores or an exbibyte
	// are no cluster, and sums of it over a fleet do not overflow.
	maxAmount = 1_000_000_000_000
)

// Amounts are exact.
type Amounts struct {
	CPUMillis, MemoryBytes, Pods int64
}

func (a Amounts) plus(b Amounts) Amounts {
	return Amounts{CPUMillis: sum(a.CPUMillis, b.CPUMillis), MemoryBytes: sum(a.MemoryBytes, b.MemoryBytes), Pods: sum(a.Pods, b.Pods)}
}

// sum stays where it would overflow. Both are not negative.
func sum(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// Node is what counts of a node. Equal values count the same.
type Node struct {
	Name string
	// Schedulable is true if a pod without tolerations can be scheduled to it.
	Schedulable bool
	Allocatable Amounts
}

// Pod is what counts of a pod.
type Pod struct {
	Node      string
	Requested Amounts
}

// NodeOf is what counts of a node.
func NodeOf(node *corev1.Node) Node {
	allocatable := amounts(node.Status.Allocatable)
	allocatable.Pods = value(node.Status.Allocatable[corev1.ResourcePods])
	return Node{Name: node.Name, Schedulable: schedulable(node), Allocatable: allocatable}
}

func schedulable(node *corev1.Node) bool {
	if node.Spec.Unschedulable || !node.DeletionTimestamp.IsZero() {
		return false
	}
	for i := range node.Spec.Taints {
		if effect := node.Spec.Taints[i].Effect; effect == corev1.TaintEffectNoSchedule || effect == corev1.TaintEffectNoExecute {
			return false
		}
	}
	for i := range node.Status.Conditions {
		if c := &node.Status.Conditions[i]; c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// PodOf is what counts of a pod, and false if it counts for nothing: it has no node yet,
// or has finished.
func PodOf(pod *corev1.Pod) (Pod, bool) {
	if pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return Pod{}, false
	}
	requested := amounts(resources.PodRequests(pod, resources.PodResourcesOptions{
		UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true,
	}))
	requested.Pods = 1
	return Pod{Node: pod.Spec.NodeName, Requested: requested}, true
}

func amounts(list corev1.ResourceList) Amounts {
	cpu := list[corev1.ResourceCPU]
	millis := int64(maxAmount)
	if cpu.CmpInt64(maxAmount/1000) < 0 {
		millis = max(0, cpu.MilliValue())
	}
	return Amounts{CPUMillis: millis, MemoryBytes: value(list[corev1.ResourceMemory])}
}

// value is not negative.
func value(q resource.Quantity) int64 {
	if q.CmpInt64(math.MaxInt64) >= 0 {
		return math.MaxInt64
	}
	return max(0, q.Value())
}

// Measure adds up what nodes have and pods request, without a fraction of a MiB.
func Measure(nodes iter.Seq[Node], pods iter.Seq[Pod]) v1.Capacity {
	var allocatable, requested Amounts
	counts := map[string]bool{}
	for n := range nodes {
		if n.Schedulable {
			counts[n.Name] = true
			allocatable = allocatable.plus(n.Allocatable)
		}
	}
	for p := range pods {
		if counts[p.Node] {
			requested = requested.plus(p.Requested)
		}
	}
	return v1.Capacity{
		Allocatable: clamped(v1.Amounts{CPUMillis: allocatable.CPUMillis, MemoryMiB: allocatable.MemoryBytes / mebibyte, Pods: allocatable.Pods}),
		Requested:   clamped(v1.Amounts{CPUMillis: requested.CPUMillis, MemoryMiB: up(requested.MemoryBytes, mebibyte) / mebibyte, Pods: requested.Pods}),
	}
}

func clamped(a v1.Amounts) v1.Amounts {
	clamp := func(n int64) int64 { return min(max(n, 0), maxAmount) }
	return v1.Amounts{CPUMillis: clamp(a.CPUMillis), MemoryMiB: clamp(a.MemoryMiB), Pods: clamp(a.Pods)}
}

// Round is what is to be reported of a cluster that has exact, after last was; nil if
// nothing was. The package documentation has the rule.
func Round(last *v1.Capacity, exact v1.Capacity) v1.Capacity {
	nothing := v1.Amounts{CPUMillis: -1, MemoryMiB: -1, Pods: -1}
	was := v1.Capacity{Allocatable: nothing, Requested: nothing}
	if last != nil {
		was = *last
	}
	of := func(smallest int64, take func(v1.Amounts) int64) pair {
		return round(pair{take(was.Allocatable), take(was.Requested)}, pair{take(exact.Allocatable), take(exact.Requested)}, smallest)
	}
	cpu := of(smallestCPU, func(a v1.Amounts) int64 { return a.CPUMillis })
	memory := of(smallestMemory, func(a v1.Amounts) int64 { return a.MemoryMiB })
	pods := of(smallestPods, func(a v1.Amounts) int64 { return a.Pods })
	return v1.Capacity{
		Allocatable: v1.Amounts{CPUMillis: cpu.allocatable, MemoryMiB: memory.allocatable, Pods: pods.allocatable},
		Requested:   v1.Amounts{CPUMillis: cpu.requested, MemoryMiB: memory.requested, Pods: pods.requested},
	}
}

// pair is what there is of one resource. Negative is not known.
type pair struct{ allocatable, requested int64 }

func round(last, exact pair, smallest int64) pair {
	unit := smallest
	for 2*unit*fraction <= exact.allocatable {
		unit *= 2
	}
	rounded := pair{exact.allocatable / unit * unit, min(up(exact.requested, unit), maxAmount)}
	if n := last.allocatable; n >= 0 && n <= exact.allocatable && exact.allocatable-n < 2*unit {
		rounded.allocatable = n
	}
	if n := last.requested; n >= exact.requested && n-exact.requested < 2*unit {
		rounded.requested = n
	}
	return rounded
}

// up is n rounded up to a multiple of unit.
func up(n, unit int64) int64 {
	if rest := n % unit; rest > 0 {
		return sum(n, unit-rest)
	}
	return n
}

package placement

import (
	"fmt"
	"math"
	"slices"
	"strings"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Pod is what one pod of an app requests.
type Pod struct {
	CPUMillis int64
	// MemoryMiB is rounded up.
	MemoryMiB int64
}

// free is what is left on a member; nil if that is not known.
func (in *Input) free(m *Member) *v1.Amounts {
	given, ok := in.Reserved[m.Name]
	if !ok || m.Free == nil {
		return m.Free
	}
	return &v1.Amounts{CPUMillis: m.Free.CPUMillis - given.CPUMillis, MemoryMiB: m.Free.MemoryMiB - given.MemoryMiB, Pods: m.Free.Pods - given.Pods}
}

// room is for how many more pods a member has room; ok is false if that is not known.
func (in *Input) room(m *Member) (pods int64, ok bool) {
	free, pod := in.free(m), in.Pod
	if free == nil {
		return 0, false
	}
	pods = free.Pods
	if pod.CPUMillis > 0 {
		pods = min(pods, free.CPUMillis/pod.CPUMillis)
	}
	if pod.MemoryMiB > 0 {
		pods = min(pods, free.MemoryMiB/pod.MemoryMiB)
	}
	return max(0, min(pods, math.MaxInt32)), true
}

// lacks is what a member has too little of for some pods; empty if it has enough or that
// is not known.
func (in *Input) lacks(m *Member, pods int64) string {
	free, pod := in.free(m), in.Pod
	if free == nil {
		return ""
	}
	if n, _ := in.room(m); n >= pods {
		return ""
	}
	var parts []string
	if n := pod.CPUMillis*pods - free.CPUMillis; pod.CPUMillis > 0 && n > 0 {
		parts = append(parts, fmt.Sprintf("%g more CPU", float64(n)/1000))
	}
	if n := pod.MemoryMiB*pods - free.MemoryMiB; pod.MemoryMiB > 0 && n > 0 {
		parts = append(parts, fmt.Sprintf("%d MiB more memory", n))
	}
	if n := pods - free.Pods; n > 0 {
		parts = append(parts, fmt.Sprintf("room for %d more pods", n))
	}
	return strings.Join(parts, " and ")
}

// freeOf is what a member has left; nil if that is not known.
func freeOf(c *v1.Capacity) *v1.Amounts {
	if c == nil {
		return nil
	}
	return &v1.Amounts{
		CPUMillis: max(0, c.Allocatable.CPUMillis-c.Requested.CPUMillis),
		MemoryMiB: max(0, c.Allocatable.MemoryMiB-c.Requested.MemoryMiB),
		Pods:      max(0, c.Allocatable.Pods-c.Requested.Pods),
	}
}

// missing is the first of some APIs that a member is known not to serve; empty if there
// is none.
func (m *Member) missing(needs []string) string {
	if m.APIs == nil {
		return ""
	}
	for _, api := range needs {
		if _, ok := slices.BinarySearch(m.APIs, api); !ok {
			return api
		}
	}
	return ""
}

// wantsRoom is true where more room on a member could change the plan.
func (p *plan) wantsRoom() bool {
	r := p.in.Rules
	if r.usesCapacity {
		return true
	}
	full, running := false, 0
	for i := range p.candidates {
		v := &p.candidates[i].verdict
		full = full || v.Outcome == Reject && v.Reason == v1.ReasonNoCapacity
		if v.Outcome == Run {
			running++
		}
	}
	return p.unplaced > 0 || full && (r.number == 0 || running < r.number)
}

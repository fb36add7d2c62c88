package placement

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Forecast is what becomes of an app if every member that answers does what it is told at
// once, and nobody changes anything.
type Forecast struct {
	// Steps are what is decided at one time, in their order. Each waits until the one before
	// it is done.
	Steps [][]Change
	// Rows are where the app is in the end.
	Rows []v1.PlacementRow
	// Last is the result that changes nothing any more. Its Question is what the hub asks
	// before it goes on.
	Last Result
}

// Change is a decision that changes something for one member.
type Change struct {
	Verdict
	// From is the number of pods that the member was to run before; 0 if it had not the app.
	From int32
	// New is true if the member had not the app.
	New bool
}

// mostSteps bounds a forecast. Only an app that leaves hundreds of members one by one takes
// more.
const mostSteps = 200

// Foresee decides and carries out until nothing changes. Time stands still: nothing is
// foreseen that only its passing brings.
func Foresee(in Input) Forecast {
	var f Forecast
	for range mostSteps {
		f.Last = Schedule(in)
		in.Lately = slices.Concat(in.Lately, f.Last.Lost)
		changes, moved := in.carryOut(f.Last.Verdicts)
		if len(changes) > 0 {
			f.Steps = append(f.Steps, changes)
		}
		if !moved {
			break
		}
	}
	f.Rows = in.Rows
	return f
}

// carryOut makes rows and members what they are after some verdicts; moved is false if
// that changes nothing.
func (in *Input) carryOut(verdicts []Verdict) (changes []Change, moved bool) {
	rows := ordered(in.Rows, func(a, b *v1.PlacementRow) int { return strings.Compare(a.Cluster, b.Cluster) })
	members := slices.Clone(ordered(in.Members, func(a, b *Member) int { return strings.Compare(a.Name, b.Name) }))
	next := make([]v1.PlacementRow, 0, len(rows))
	for _, v := range verdicts {
		var row v1.PlacementRow
		i, there := slices.BinarySearchFunc(rows, v.Cluster, func(r v1.PlacementRow, name string) int { return strings.Compare(r.Cluster, name) })
		if there {
			row = rows[i]
		}
		var m *Member
		if i, known := slices.BinarySearchFunc(members, v.Cluster, func(m Member, name string) int { return strings.Compare(m.Name, name) }); known {
			m = &members[i]
		}
		after, stays := rowAfter(row, &v, m.answers(), in)
		was := podsOf(&row)
		if m != nil {
			m.Free = take(m.Free, in.Pod, podsOf(&after)-was)
		}
		if change := (Change{Verdict: v, From: int32(was), New: !has(&row)}); change.matters(&row) {
			changes = append(changes, change)
		}
		moved = moved || after != row
		if stays {
			next = append(next, after)
		}
	}
	in.Rows, in.Members = next, members
	return changes, moved
}

// rowAfter is the row of a member that has done as it was told; it does not stay once the
// app is gone.
func rowAfter(row v1.PlacementRow, v *Verdict, answers bool, in *Input) (after v1.PlacementRow, stays bool) {
	switch v.Outcome {
	case Run:
		row.Cluster, row.Replicas, row.State, row.Reason = v.Cluster, v.Replicas, v1.PlacementUnknown, ""
		if answers {
			row.State, row.ReadyReplicas = v1.PlacementReady, v.Replicas
		}
	case Leave:
		if row.State != v1.PlacementLeaving {
			row.State, row.Reason, row.LastTransitionTime = v1.PlacementLeaving, v.Reason, metav1.NewTime(in.Now)
		}
	case Remove:
		if answers {
			return v1.PlacementRow{}, false
		}
		if row.State != v1.PlacementRemoving {
			row.State, row.Reason = v1.PlacementRemoving, v.Reason
		}
	case Reject:
		return row, false
	case Keep:
	}
	return row, true
}

// matters is true for a change that a person would call one.
func (c *Change) matters(row *v1.PlacementRow) bool {
	switch c.Outcome {
	case Run:
		return c.New || c.Replicas != row.Replicas || row.State == v1.PlacementLeaving
	case Leave:
		return row.State != v1.PlacementLeaving
	case Remove:
		return row.State != v1.PlacementRemoving
	case Keep, Reject:
	}
	return false
}

// has is true for the row of a member that has the app, and of which nobody has decided
// that it leaves now.
func has(r *v1.PlacementRow) bool {
	return r.Cluster != "" && r.IsPlaced()
}

func podsOf(r *v1.PlacementRow) int64 {
	if !has(r) {
		return 0
	}
	return int64(r.Replicas)
}

// take is what is free when some more pods run.
func take(free *v1.Amounts, pod Pod, pods int64) *v1.Amounts {
	if free == nil || pods == 0 {
		return free
	}
	return &v1.Amounts{CPUMillis: free.CPUMillis - pod.CPUMillis*pods, MemoryMiB: free.MemoryMiB - pod.MemoryMiB*pods, Pods: free.Pods - pods}
}

package app

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

func TestReserved(t *testing.T) {
	var r reserved
	pod := placement.Pod{CPUMillis: 100, MemoryMiB: 10}
	row := func(name string, state v1.PlacementState, replicas int32) v1.PlacementRow {
		return v1.PlacementRow{Cluster: name, State: state, Replicas: replicas}
	}
	before := []v1.PlacementRow{row("a", v1.PlacementReady, 2), row("b", v1.PlacementRemoving, 5), row("c", v1.PlacementReady, 3)}
	after := []v1.PlacementRow{row("a", v1.PlacementReady, 3), row("b", v1.PlacementPending, 2), row("c", v1.PlacementReady, 1), row("d", v1.PlacementPending, 4)}
	at := noon.Time
	r.add(before, after, pod, at)
	of := func(pods int64) v1.Amounts {
		return v1.Amounts{CPUMillis: 100 * pods, MemoryMiB: 10 * pods, Pods: pods}
	}
	for _, tt := range []struct {
		reason string
		later  time.Duration
		want   map[string]v1.Amounts
	}{
		{"what is new counts, what goes does not", 0, map[string]v1.Amounts{"a": of(1), "b": of(2), "d": of(4)}},
		{"until it must have been reported", reservedFor - time.Second, map[string]v1.Amounts{"a": of(1), "b": of(2), "d": of(4)}},
		{"and no longer", reservedFor + 2*reservedSlot, map[string]v1.Amounts{}},
	} {
		if diff := cmp.Diff(tt.want, r.of(at.Add(tt.later))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
	at = at.Add(time.Hour)
	r.add(nil, after[3:], pod, at)
	r.add(nil, after[3:], pod, at.Add(30*time.Second))
	if got := r.of(at.Add(31 * time.Second))["d"]; got != of(8) {
		t.Errorf("two apps have %+v", got)
	}
	if got := r.of(at.Add(reservedFor + 20*time.Second))["d"]; got != of(4) {
		t.Errorf("of the later one %+v is left", got)
	}
}

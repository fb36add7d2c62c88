package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/flush"
)

func TestAllowed(t *testing.T) {
	for _, tt := range []struct {
		reason string
		during time.Duration
		want   int
	}{
		{"the first change waits", flush.First - time.Millisecond, 0},
		{"and is written", flush.First, 1},
		{"a long churn costs about one write per longest window", time.Minute, 13},
	} {
		if got := allowed(tt.during); got != tt.want {
			t.Errorf("%s: %d writes in %s, want %d", tt.reason, got, tt.during, tt.want)
		}
	}
}

func TestStaleness(t *testing.T) {
	start := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	status := func(ready int32, condition metav1.ConditionStatus) v1.MyAppStatus {
		return v1.MyAppStatus{
			Placements: []v1.PlacementRow{{Cluster: "m-0", ReadyReplicas: ready}},
			Conditions: []metav1.Condition{{Type: v1.ConditionReady, Status: condition}},
		}
	}
	s, c := newStaleness(), cell{"web", member{name: "m-0"}}
	s.shows("web", status(1, metav1.ConditionTrue), at(0))
	s.is(c, true, at(1))
	if s.upToDate() {
		t.Error("a member that is down and shown as ready is stale")
	}
	s.shows("web", status(0, metav1.ConditionFalse), at(3)) // 2 s late
	s.is(c, false, at(4))
	s.is(c, true, at(7)) // undone after 3 s
	s.shows("web", status(0, metav1.ConditionFalse), at(9))
	if diff := cmp.Diff([]float64{2, 3}, s.stale()); diff != "" || !s.upToDate() {
		t.Errorf("what was shown, and what was undone, is not stale any more (-want +got):\n%s", diff)
	}
	if when, ok := s.turned("web", false); !ok || !when.Equal(at(3)) {
		t.Errorf("Ready turned at %v, not when a status repeated it", when)
	}
	if _, ok := s.turned("web", true); ok {
		t.Error("Ready is not what it was before")
	}
}

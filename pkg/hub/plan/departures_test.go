package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

func TestDepartures(t *testing.T) {
	at := func(after time.Duration) metav1.Time { return metav1.NewTime(noon.Add(after)) }
	of := func(cluster string, after time.Duration) v1.Departure {
		return v1.Departure{Cluster: cluster, Time: at(after)}
	}
	for _, tt := range []struct {
		reason   string
		recorded []v1.Departure
		lost     []string
		now      time.Duration
		want     []v1.Departure
		lately   []string
	}{
		{"nothing", nil, nil, 0, nil, nil},
		{"the first", nil, []string{"a"}, 0, []v1.Departure{of("a", 0)}, []string{"a"}},
		{"one more", []v1.Departure{of("a", 0)}, []string{"b"}, time.Minute, []v1.Departure{of("a", 0), of("b", time.Minute)}, []string{"a", "b"}},
		{"once more", []v1.Departure{of("a", 0)}, []string{"a"}, time.Minute, []v1.Departure{of("a", time.Minute)}, []string{"a"}},
		{"that time passes is no reason to write", []v1.Departure{of("a", 0)}, nil, time.Hour, []v1.Departure{of("a", 0)}, nil},
		{"what is old goes with the next", []v1.Departure{of("a", 0)}, []string{"b"}, time.Hour, []v1.Departure{of("b", time.Hour)}, []string{"b"}},
	} {
		before := slices.Clone(tt.recorded)
		got := Departures(tt.recorded, tt.lost, at(tt.now))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
		if diff := cmp.Diff(tt.lately, lately(got, noon.Add(tt.now))); diff != "" {
			t.Errorf("%s, those that count (-want +got):\n%s", tt.reason, diff)
		}
		if diff := cmp.Diff(before, tt.recorded); diff != "" {
			t.Errorf("%s: what was given is changed:\n%s", tt.reason, diff)
		}
	}
}

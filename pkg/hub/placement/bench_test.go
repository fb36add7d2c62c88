package placement

import (
	"fmt"
	"testing"

	v1 "github.com/example/myapp-hub/api/v1"
)

// BenchmarkSchedule is one app on all of 5,000 members, which it has already.
func BenchmarkSchedule(b *testing.B) {
	const members = 5000
	in := Input{Rules: rules(&v1.Placement{ClusterSelector: &v1.ClusterSelector{
		MatchLabels: map[string]v1.LabelValue{"env": "prod"},
	}})}
	for i := range members {
		name := fmt.Sprintf("member-%04d", i)
		in.Members = append(in.Members, Member{Name: name, Accepted: true, Ready: true, Labels: map[string]string{
			"env": "prod", "region": fmt.Sprintf("r%d", i%10), "example.com/name": name,
		}})
		in.Rows = append(in.Rows, v1.PlacementRow{Cluster: name, State: v1.PlacementReady})
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := Schedule(in); len(r.Verdicts) != members || r.Verdicts[0].Outcome != Run {
			b.Fatal("not every member was chosen")
		}
	}
}

package aggregate

import (
	"fmt"
	"testing"

	v1 "github.com/example/myapp-hub/api/v1"
)

// BenchmarkAggregate is what one more report costs an app on 1,000 members: all
// rows are looked at, one changes.
func BenchmarkAggregate(b *testing.B) {
	const members = 1000
	o := Observation{Reports: map[string]Report{}, Members: map[string]Member{}}
	wanted := map[string]int32{}
	for i := range members {
		name := fmt.Sprintf("member-%04d", i)
		o.Persisted = append(o.Persisted, row(v1.PlacementReady, func(r *v1.PlacementRow) {
			r.Cluster, r.Updated, r.AppliedHash, r.CurrentReplicas, r.ReadyReplicas = name, true, "h", 2, 2
		}))
		o.Reports[name] = Report{Decision: 4, Feedback: v1.Feedback{State: v1.FeedbackReady, AppliedHash: "h", Replicas: 2, ReadyReplicas: 2}}
		o.Members[name] = Member{Exists: true, Ready: true}
		wanted[name] = 2
	}
	o.Next = o.Persisted
	o.Reports["member-0500"] = Report{Decision: 4, Feedback: v1.Feedback{State: v1.FeedbackProgressing, AppliedHash: "h", Replicas: 2, ReadyReplicas: 1}}
	in := Input{
		Namespace: "shop", Name: "web", Generation: 4, Revision: "web-1", Replicas: wanted, SpecReplicas: 2,
		PlacementReason: v1.ReasonPlaced, PlacementMessage: "1000 of 1000 members chosen",
		Rows: o.Persisted,
	}
	in.Old = Status(in, before)
	b.ReportAllocs()
	for b.Loop() {
		in.Rows, _ = Rows(o, noon)
		if s := Status(in, noon); s.Summary.Clusters != members || s.Summary.Ready != members-1 {
			b.Fatalf("the report was not noticed: %+v", s.Summary)
		}
	}
}

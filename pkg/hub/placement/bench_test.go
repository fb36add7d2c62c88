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

// BenchmarkScheduleChoice is an app that asks for everything at once, on 100 of 5,000
// members, which it has already.
func BenchmarkScheduleChoice(b *testing.B) {
	const members = 5000
	n := int32(100)
	in := Input{
		App: "shop/web", Replicas: 1000, Now: noon, Pod: Pod{CPUMillis: 100, MemoryMiB: 128}, Needs: []string{"apps/v1/Deployment"},
		Rules: rules(&v1.Placement{
			ClusterSelector:   &v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"env": "prod"}},
			Expression:        `cluster.labels["region"].startsWith("r")`,
			NumberOfClusters:  &n,
			Spread:            []v1.SpreadConstraint{{TopologyKey: "region", MaxSkew: 1}},
			Preferences:       []v1.ClusterPreference{{ClusterSelector: v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"region": "r1"}}, Weight: 10}},
			Groups:            []v1.ClusterGroup{{Name: "home", ClusterSelector: &v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"env": "prod"}}}, {Name: "away"}},
			Tolerations:       []v1.Toleration{{Key: "a", Operator: v1.TolerationExists}},
			ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided, Divide: v1.DivideFreeCapacity},
		}),
	}
	for i := range members {
		in.Members = append(in.Members, Member{
			Name: fmt.Sprintf("member-%04d", i), Accepted: true, Ready: true,
			Labels:      map[string]string{"env": "prod", "region": fmt.Sprintf("r%d", i%10)},
			Taints:      []Taint{{Key: "a", Effect: v1.TaintNoSchedule}},
			APIs:        []string{"apps/v1/Deployment", "v1/Service"},
			Allocatable: &v1.Amounts{CPUMillis: 64_000, MemoryMiB: 256_000, Pods: 440}, Free: &v1.Amounts{CPUMillis: 32_000, MemoryMiB: 128_000, Pods: 220},
		})
	}
	in.Rows = Foresee(in).Rows
	b.ReportAllocs()
	for b.Loop() {
		if r := Schedule(in); len(r.Verdicts) != members || r.Unplaced != 0 {
			b.Fatal("not every member was judged")
		}
	}
}

// BenchmarkDivide divides 10,000 replicas on all of 5,000 members.
func BenchmarkDivide(b *testing.B) {
	const members = 5000
	in := Input{
		App: "shop/web", Replicas: 10_000, Now: noon,
		Rules: rules(&v1.Placement{ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided}}),
	}
	for i := range members {
		in.Members = append(in.Members, Member{Name: fmt.Sprintf("member-%04d", i), Accepted: true, Ready: true})
	}
	in.Rows = Foresee(in).Rows
	b.ReportAllocs()
	for b.Loop() {
		if r := Schedule(in); len(r.Verdicts) != members || r.Unplaced != 0 {
			b.Fatal("not every replica was placed")
		}
	}
}

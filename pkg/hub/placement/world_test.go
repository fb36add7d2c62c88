package placement

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

// mostMembers is how many members random fleets have at the most; `make test-placement`
// asks for more.
var mostMembers = flag.Int("placement.members", 60, "members of random fleets at the most")

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// dice draws from a seed: a fleet of thousands is too much to draw value by value.
type dice struct{ *rand.Rand }

func (d dice) in(n int) bool { return d.IntN(n) == 0 }

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

// world is a random fleet, app and rows.
func world(t *rapid.T) Input {
	seed := rapid.Uint64().Draw(t, "seed")
	size := rapid.IntRange(0, 12).Draw(t, "members")
	if rapid.IntRange(0, 3).Draw(t, "size of the fleet") == 0 {
		size = rapid.IntRange(0, *mostMembers).Draw(t, "many members")
	}
	return worldOf(seed, size)
}

// worldOf is the same world each time.
func worldOf(seed uint64, size int) Input {
	d := dice{rand.New(rand.NewPCG(seed, 1))}
	in := Input{
		App: fmt.Sprintf("shop/%d", seed%7), UID: "uid", Generation: 1, Now: noon, LeaderSince: noon.Add(-time.Hour),
		Pod:      Pod{CPUMillis: pick(d, int64(0), 100, 1000), MemoryMiB: pick(d, int64(0), 256)},
		Replicas: int32(pick(d, 0, 1, 3, 10, 100, 1000)), Numbers: map[string]int32{},
		Needs: pick(d, nil, []string{"apps/v1/Deployment"}, []string{"apps/v1/Deployment", "x/v1/Queue"}),
	}
	in.Rules = RulesOf(&v1.MyAppSpec{Placement: d.placement(size), Failover: d.failover()})
	alike := d.in(2) // half of the fleets have few members that something is wrong with
	for i := range size {
		m := d.member(fmt.Sprintf("m-%04d", i), alike)
		in.Members = append(in.Members, m)
		in.Numbers[m.Name] = in.Replicas
		if d.in(3) {
			in.Rows = append(in.Rows, d.row(m.Name, in.Replicas))
		}
	}
	return in
}

func (d dice) member(name string, alike bool) Member {
	bad := func(n int) bool { return d.in(n) && (!alike || d.in(10)) }
	m := Member{
		Name: name, Accepted: !bad(8), Ready: !bad(5), KubernetesVersion: "v1.36.3",
		Labels: map[string]string{"region": pick(d, "eu", "us", "ap"), "zone": pick(d, "a", "b"), "tier": pick(d, "gold", "iron")},
		APIs:   pick(d, nil, []string{"apps/v1/Deployment"}, []string{"apps/v1/Deployment", "x/v1/Queue"}),
	}
	if bad(6) {
		delete(m.Labels, pick(d, "region", "zone", "tier"))
	}
	if !bad(3) {
		m.Allocatable = &v1.Amounts{CPUMillis: 64_000, MemoryMiB: 256_000, Pods: 440}
		m.Free = &v1.Amounts{CPUMillis: d.Int64N(64_000), MemoryMiB: d.Int64N(256_000), Pods: d.Int64N(440)}
	}
	if bad(20) {
		m.Leaving = v1.LeaveRemove
	}
	for bad(4) {
		m.Taints = append(m.Taints, Taint{
			Key: pick(d, "t1", "t2"), Value: pick(d, "", "x"), Effect: pick(d, v1.TaintNoSchedule, v1.TaintPreferNoSchedule, v1.TaintNoExecute),
			Since: noon.Add(-time.Duration(d.IntN(1000)) * time.Second),
		})
	}
	if !m.Ready {
		m.Taints = append(m.Taints, Taint{Key: v1.TaintUnreachable, Effect: v1.TaintNoExecute, Since: noon.Add(-time.Duration(d.IntN(1000)) * time.Second)})
	}
	return m
}

func (d dice) row(name string, replicas int32) v1.PlacementRow {
	row := v1.PlacementRow{
		Cluster: name, Replicas: d.Int32N(max(1, replicas) + 1), LastTransitionTime: metav1.NewTime(noon.Add(-time.Duration(d.IntN(2000)) * time.Second)),
		State: pick(d, v1.PlacementReady, v1.PlacementReady, v1.PlacementReady, v1.PlacementPending, v1.PlacementProgressing, v1.PlacementFailed,
			v1.PlacementUnknown, v1.PlacementLeaving, v1.PlacementRemoving, v1.PlacementStray),
	}
	row.ReadyReplicas = pick(d, row.Replicas, 0)
	return row
}

func (d dice) selector() *v1.ClusterSelector {
	key := pick(d, "region", "zone", "tier")
	return pick(d, nil, &v1.ClusterSelector{},
		&v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"region": pick(d, v1.LabelValue("eu"), "us")}},
		&v1.ClusterSelector{MatchExpressions: []v1.ClusterSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpExists}}},
		&v1.ClusterSelector{MatchExpressions: []v1.ClusterSelectorRequirement{{Key: key, Operator: metav1.LabelSelectorOpDoesNotExist}}},
		&v1.ClusterSelector{MatchExpressions: []v1.ClusterSelectorRequirement{{Key: key, Operator: pick(d, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn), Values: []v1.LabelValue{"eu", "a", "gold"}}}},
	)
}

func (d dice) placement(size int) *v1.Placement {
	if d.in(12) {
		return nil
	}
	p := &v1.Placement{}
	if d.in(2) {
		p.ClusterSelector = d.selector()
	}
	if d.in(10) {
		for range 1 + d.IntN(size+1) {
			p.ClusterNames = append(p.ClusterNames, fmt.Sprintf("m-%04d", d.IntN(size+2)))
		}
	}
	for d.in(3) {
		t := v1.Toleration{Key: pick(d, "t1", "t2", ""), Operator: v1.TolerationExists, Effect: pick(d, "", v1.TaintNoExecute)}
		if t.Effect != "" && d.in(2) {
			t.TolerationSeconds = ptr.To(d.Int64N(1000))
		}
		p.Tolerations = append(p.Tolerations, t)
	}
	if d.in(2) {
		p.NumberOfClusters = ptr.To(int32(1 + d.IntN(size+2)))
		for _, key := range []string{"region", "zone"} {
			if d.in(3) {
				p.Spread = append(p.Spread, v1.SpreadConstraint{
					TopologyKey: key, MaxSkew: int32(1 + d.IntN(2)), MinDomains: pick(d, nil, nil, ptr.To[int32](2)),
					WhenUnsatisfiable: pick(d, v1.DoNotSchedule, v1.DoNotSchedule, v1.ScheduleAnyway),
				})
			}
		}
		if d.in(2) {
			p.Preferences = []v1.ClusterPreference{{ClusterSelector: v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"tier": "gold"}}, Weight: int32(d.IntN(201) - 100)}}
		}
	}
	if d.in(4) {
		for g := range 1 + d.IntN(3) {
			p.Groups = append(p.Groups, v1.ClusterGroup{Name: fmt.Sprintf("g%d", g), ClusterSelector: d.selector()})
		}
		p.FailBack = pick(d, "", v1.FailBackAlways, v1.FailBackNever)
	}
	if d.in(2) {
		p.ReplicaScheduling = d.division()
	}
	return p
}

func (d dice) division() *v1.ReplicaScheduling {
	s := &v1.ReplicaScheduling{Type: v1.ReplicasDivided, Divide: pick(d, "", v1.DivideEven, v1.DivideWeighted, v1.DivideFreeCapacity)}
	if s.Divide == v1.DivideWeighted {
		s.Weights = []v1.ReplicaWeight{{ClusterSelector: v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"tier": "gold"}}, Weight: int32(d.IntN(5))}}
	}
	if d.in(3) {
		s.MinPerCluster = ptr.To(int32(d.IntN(4)))
	}
	if d.in(3) {
		s.MaxPerCluster = ptr.To(int32(4 + d.IntN(30)))
	}
	return s
}

func (d dice) failover() *v1.Failover {
	if d.in(2) {
		return nil
	}
	return &v1.Failover{
		TolerationSeconds: ptr.To(d.Int64N(1000)), GracePeriodSeconds: pick(d, ptr.To[int64](0), ptr.To[int64](600)),
		BudgetPercent: ptr.To(int32(1 + d.IntN(100))),
	}
}

// settle carries out what is decided, and acknowledges what is asked, until nothing
// changes; time goes on.
func settle(t *rapid.T, in Input) (Input, Result) {
	for range 60 + 4*len(in.Members) {
		r := Schedule(in)
		_, changed := in.carryOut(r.Verdicts)
		if r.Question.Plan != "" && r.Question.Plan != in.Acknowledged {
			in.Acknowledged, changed = r.Question.Plan, true
		}
		if r.Wake.After(in.Now) {
			in.Now, changed = r.Wake, true
		}
		if !changed {
			return in, r
		}
	}
	t.Fatalf("it never settles: %v", Schedule(in).Verdicts)
	return in, Result{}
}

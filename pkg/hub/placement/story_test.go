package placement

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
)

// story is a fleet in which one app is placed; members are named region-number and are
// well until something is said of them.
type story struct {
	t    *testing.T
	spec v1.MyAppSpec
	in   Input
	last Result
}

func tell(t *testing.T, p *v1.Placement, members ...string) *story {
	t.Helper()
	s := &story{t: t, spec: v1.MyAppSpec{Placement: p}}
	s.in = Input{App: "shop/web", UID: "uid", Generation: 1, Now: noon, LeaderSince: noon.Add(-time.Hour), Replicas: 12, Numbers: map[string]int32{}}
	for _, name := range members {
		region, _, _ := strings.Cut(name, "-")
		s.in.Members = append(s.in.Members, Member{Name: name, Labels: map[string]string{"region": region}, Accepted: true, Ready: true})
		s.in.Numbers[name] = 2
	}
	return s
}

func (s *story) member(name string) *Member { return memberOf(s.in, name) }

func (s *story) row(name string) *v1.PlacementRow { return rowOf(s.in, name) }

// silent makes members silent, or has them answer again.
func (s *story) silent(is bool, names ...string) {
	for _, name := range names {
		answer(s.member(name))
		if is {
			s.member(name).Ready = false
			s.member(name).Taints = append(s.member(name).Taints, Taint{Key: v1.TaintUnreachable, Effect: v1.TaintNoExecute, Since: s.in.Now})
		}
	}
}

func (s *story) taint(effect v1.TaintEffect, names ...string) {
	for _, name := range names {
		s.member(name).Taints = append(s.member(name).Taints, Taint{Key: "t", Effect: effect, Since: s.in.Now})
	}
}

func (s *story) later(d time.Duration) { s.in.Now = s.in.Now.Add(d) }

// once decides and carries out, new members becoming ready only if they are told to.
func (s *story) once(ready bool) {
	s.in.Rules = RulesOf(&s.spec)
	if s.in.Rules.err != nil {
		s.t.Fatal(s.in.Rules.err)
	}
	before := slices.Clone(s.in.Rows)
	s.last = Schedule(s.in)
	s.in.carryOut(s.last.Verdicts)
	for i := range s.in.Rows {
		row := &s.in.Rows[i]
		was := rowOf(Input{Rows: before}, row.Cluster)
		if grew := was == nil || was.State == v1.PlacementRemoving || was.Replicas < row.Replicas || was.State == v1.PlacementPending; !ready && grew && row.State == v1.PlacementReady {
			row.State, row.ReadyReplicas, row.LastTransitionTime = v1.PlacementPending, 0, metav1.NewTime(s.in.Now)
			if was != nil {
				row.ReadyReplicas = was.ReadyReplicas
			}
		}
	}
}

// settled decides until nothing changes, and gives where the app is: "eu-1 eu-2:Leaving".
func (s *story) settled() string {
	for range 50 {
		before := s.is()
		s.once(true)
		if s.is() == before {
			break
		}
	}
	return s.is()
}

func (s *story) is() string {
	var list []string
	for _, row := range s.in.Rows {
		is := row.Cluster
		if s.in.Rules != nil && s.in.Rules.divided {
			is += fmt.Sprint("=", row.Replicas)
		}
		if row.State != v1.PlacementReady {
			is += ":" + string(row.State)
		}
		list = append(list, is)
	}
	return strings.Join(list, " ")
}

func (s *story) want(reason, want string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.settled()); diff != "" {
		s.t.Errorf("%s (-want +is):\n%s\n%v", reason, diff, s.last.Verdicts)
	}
}

func (s *story) wantOnce(ready bool, reason, want string) {
	s.t.Helper()
	s.once(ready)
	if diff := cmp.Diff(want, s.is()); diff != "" {
		s.t.Errorf("%s (-want +is):\n%s\n%v", reason, diff, s.last.Verdicts)
	}
}

func number(n int32) *v1.Placement { return &v1.Placement{NumberOfClusters: ptr.To(n)} }

func region(r string) *v1.ClusterSelector {
	return &v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"region": v1.LabelValue(r)}}
}

func TestNumberOfClusters(t *testing.T) {
	s := tell(t, number(2), "eu-1", "eu-2", "eu-3", "eu-4")
	first := s.settled()
	if len(strings.Fields(first)) != 2 || len(s.last.Next) != 2 {
		t.Fatalf("it is on %q, next are %v", first, s.last.Next)
	}
	chosen, next := strings.Fields(first), s.last.Next[0]
	s.spec.Placement = number(3)
	s.want("one more is the one that was said to be next", strings.Join(slices.Sorted(slices.Values(append(slices.Clone(chosen), next))), " "))
	s.spec.Placement = number(2)
	s.settled()
	s.spec.Placement = number(9)
	s.want("all of them, although more are asked for", "eu-1 eu-2 eu-3 eu-4")
	if !strings.Contains(s.last.Message, "9 are asked for") {
		t.Errorf("the summary is %q", s.last.Message)
	}
	other := tell(t, number(2), "eu-1", "eu-2", "eu-3", "eu-4")
	places := map[string]bool{}
	for i := range 20 {
		other.in.App, other.in.Rows = fmt.Sprint(i), nil
		places[other.settled()] = true
	}
	if len(places) < 4 {
		t.Errorf("20 apps are all on %v: ties must break differently for each app", places)
	}
}

func TestSpread(t *testing.T) {
	p := number(3)
	p.Spread = []v1.SpreadConstraint{{TopologyKey: "region", MaxSkew: 1}}
	s := tell(t, p, "ap-1", "eu-1", "eu-2", "eu-3", "us-1")
	regions := func() string {
		var list []string
		for _, name := range strings.Fields(s.settled()) {
			list = append(list, name[:2])
		}
		return strings.Join(list, " ")
	}
	if got := regions(); got != "ap eu us" {
		t.Errorf("one in each region, but %s", got)
	}
	before := s.is()
	s.in.Members = append(s.in.Members, Member{Name: "us-2", Labels: map[string]string{"region": "us"}, Accepted: true, Ready: true})
	s.want("a constraint that holds moves nothing", before)
	s.spec.Placement.NumberOfClusters = ptr.To[int32](5)
	if got := regions(); got != "ap eu eu us us" {
		t.Errorf("two more where there are any, but %s", got)
	}
	s.spec.Placement.NumberOfClusters = ptr.To[int32](4)
	s.spec.Placement.Spread[0].MinDomains = ptr.To[int32](4)
	if got := regions(); got != "ap eu us" {
		t.Errorf("with fewer domains than asked for none has more than the skew, but %s", got)
	}
	s.spec.Placement.Spread[0].WhenUnsatisfiable = v1.ScheduleAnyway
	if got := len(strings.Fields(regions())); got != 4 {
		t.Errorf("as near as can be, with all four, but %s", s.is())
	}
}

func TestPreferences(t *testing.T) {
	p := number(1)
	p.Preferences = []v1.ClusterPreference{{ClusterSelector: *region("us"), Weight: 10}}
	s := tell(t, p, "ap-1", "eu-1", "us-1")
	s.want("the preferred one", "us-1")
	p.Preferences[0].Weight = -10
	s.want("nobody is left for one that is only better", "us-1")
	s.in.Rows = nil
	if s.settled() == "us-1" {
		t.Error("a negative weight makes a member worse")
	}
	s.in.Rows = nil
	p.Preferences = nil
	s.taint(v1.TaintPreferNoSchedule, "ap-1", "eu-1")
	s.want("PreferNoSchedule is only a score", "us-1")
	p.NumberOfClusters = ptr.To[int32](3)
	s.want("they do if there is no better one", "ap-1 eu-1 us-1")
}

func TestGroups(t *testing.T) {
	home := &v1.Placement{Groups: []v1.ClusterGroup{{Name: "home", ClusterSelector: region("eu")}, {Name: "away", ClusterSelector: region("us")}}}
	s := tell(t, home, "eu-1", "eu-2", "us-1", "us-2", "xx-1")
	s.want("the first group that has a member", "eu-1 eu-2")
	s.silent(true, "eu-1")
	s.want("home still holds it", "eu-1:Unknown eu-2")
	s.silent(true, "eu-2")
	s.later(301 * time.Second)
	s.want("the next group takes over, and home is left as fast as the budget allows",
		"eu-1:Removing eu-2:Unknown us-1 us-2")
	s.in.Acknowledged = s.last.Question.Plan
	s.want("a person says that the rest may follow", "eu-1:Removing eu-2:Removing us-1 us-2")
	s.silent(false, "eu-1", "eu-2")
	s.want("it goes back", "eu-1 eu-2")

	home.FailBack = v1.FailBackNever
	s.silent(true, "eu-1", "eu-2")
	s.later(301 * time.Second)
	s.settled()
	s.in.Acknowledged = s.last.Question.Plan
	s.want("as before", "eu-1:Removing eu-2:Removing us-1 us-2")
	s.silent(false, "eu-1", "eu-2")
	s.want("it stays, and what is left at home goes", "us-1 us-2")
	s.silent(true, "us-1", "us-2")
	s.later(301 * time.Second)
	s.settled()
	s.in.Acknowledged = s.last.Question.Plan
	s.want("until that does not work any more", "eu-1 eu-2 us-1:Removing us-2:Removing")
}

func TestGroupsOverflow(t *testing.T) {
	p := &v1.Placement{
		Groups:            []v1.ClusterGroup{{Name: "home", ClusterSelector: region("eu")}, {Name: "away", ClusterSelector: region("us")}},
		ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided, MaxPerCluster: ptr.To[int32](4)},
	}
	s := tell(t, p, "eu-1", "eu-2", "us-1")
	s.in.Replicas = 8
	s.want("home has room for all", "eu-1=4 eu-2=4")
	s.in.Replicas = 10
	s.settled()
	if got := s.is(); !strings.Contains(got, "us-1=") || s.last.Unplaced != 0 {
		t.Errorf("what does not fit goes to the next group, but %s", got)
	}
	s.in.Replicas = 14
	s.want("as much as fits", "eu-1=4 eu-2=4 us-1=4")
	if s.last.Unplaced != 2 || !strings.Contains(s.last.Message, "2 of 14 replicas fit on no member") {
		t.Errorf("two fit nowhere: %+v", s.last.Message)
	}
	s.in.Replicas = 6
	s.want("and back, when home can hold it again", "eu-1=3 eu-2=3")

	n := number(3)
	n.Groups = p.Groups
	s = tell(t, n, "eu-1", "eu-2", "us-1", "us-2")
	if got := s.settled(); !strings.HasPrefix(got, "eu-1 eu-2 us-") || len(strings.Fields(got)) != 3 {
		t.Errorf("the second group fills up the first, but %s", got)
	}
}

func TestDivision(t *testing.T) {
	divided := func(change func(*v1.ReplicaScheduling)) *v1.Placement {
		p := &v1.Placement{ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided}}
		change(p.ReplicaScheduling)
		return p
	}
	room := func(free ...int64) func(*story) {
		return func(s *story) {
			for i, pods := range free {
				s.in.Members[i].Free = &v1.Amounts{CPUMillis: 100 * pods, MemoryMiB: 1 << 30, Pods: 1000}
			}
			s.in.Pod = Pod{CPUMillis: 100}
		}
	}
	same := func(*story) {}
	for _, tt := range []struct {
		reason   string
		p        *v1.Placement
		replicas int32
		also     func(*story)
		want     string
	}{
		{"evenly", divided(func(*v1.ReplicaScheduling) {}), 12, same, "eu-1=4 eu-2=4 us-1=4"},
		{"by weights", divided(func(r *v1.ReplicaScheduling) {
			r.Divide, r.Weights = v1.DivideWeighted, []v1.ReplicaWeight{{ClusterSelector: *region("us"), Weight: 2}}
		}), 12, same, "eu-1=3 eu-2=3 us-1=6"},
		{"weight 0 gets the fewest", divided(func(r *v1.ReplicaScheduling) {
			r.Divide, r.Weights, r.MinPerCluster = v1.DivideWeighted, []v1.ReplicaWeight{{ClusterSelector: *region("us")}}, ptr.To[int32](1)
		}), 11, same, "eu-1=5 eu-2=5 us-1=1"},
		{"no more than the most", divided(func(r *v1.ReplicaScheduling) {
			r.Divide, r.Weights, r.MaxPerCluster = v1.DivideWeighted, []v1.ReplicaWeight{{ClusterSelector: *region("us"), Weight: 10}}, ptr.To[int32](6)
		}), 12, same, "eu-1=3 eu-2=3 us-1=6"},
		{"by what is free", divided(func(r *v1.ReplicaScheduling) { r.Divide = v1.DivideFreeCapacity }), 12, room(10, 10, 20), "eu-1=3 eu-2=3 us-1=6"},
		{"and no more than that", divided(func(r *v1.ReplicaScheduling) { r.Divide = v1.DivideFreeCapacity }), 12, room(2, 0, 20), "eu-1=1 us-1=11"},
	} {
		s := tell(t, tt.p, "eu-1", "eu-2", "us-1")
		s.in.Replicas = tt.replicas
		tt.also(s)
		s.want(tt.reason, tt.want)
	}

	s := tell(t, divided(func(r *v1.ReplicaScheduling) { r.MinPerCluster = ptr.To[int32](4) }), "eu-1", "eu-2", "us-1")
	s.in.Replicas = 9
	if got := s.settled(); len(strings.Fields(got)) != 2 {
		t.Errorf("nine are enough for two members with four each, but %s", got)
	}
	s = tell(t, divided(func(*v1.ReplicaScheduling) {}), "eu-1", "eu-2", "us-1")
	s.want("evenly", "eu-1=4 eu-2=4 us-1=4")
	s.in.Replicas = 1
	s.settled()
	if got := s.is(); len(strings.Fields(got)) != 3 || !strings.Contains(got, "=1") {
		t.Errorf("scaling takes the app off no member, but %s", got)
	}
	s.in.Replicas = 0
	s.want("nor does scaling to nothing", "eu-1=0 eu-2=0 us-1=0")
}

// TestFreeCapacityDoesNotChurn: what is divided stays, however capacity changes.
func TestFreeCapacityDoesNotChurn(t *testing.T) {
	p := &v1.Placement{ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided, Divide: v1.DivideFreeCapacity}}
	s := tell(t, p, "eu-1", "us-1")
	s.in.Pod = Pod{CPUMillis: 100}
	free := func(eu, us int64) {
		s.member("eu-1").Free = &v1.Amounts{CPUMillis: 100 * eu, MemoryMiB: 1000, Pods: 100}
		s.member("us-1").Free = &v1.Amounts{CPUMillis: 100 * us, MemoryMiB: 1000, Pods: 100}
	}
	free(20, 20)
	s.want("by halves", "eu-1=6 us-1=6")
	free(1, 90)
	s.want("nothing moves", "eu-1=6 us-1=6")
	s.in.Replicas = 18
	free(1, 90)
	s.want("what comes goes where there is room", "eu-1=6 us-1=12")
	s.in.Replicas = 9
	s.settled()
	if e, u := s.row("eu-1").Replicas, s.row("us-1").Replicas; e > 6 || u > 12 || e+u != 9 {
		t.Errorf("what goes makes nobody grow: %d and %d", e, u)
	}
}

func TestExplainSaysIt(t *testing.T) {
	p := number(1)
	p.ClusterSelector = region("eu")
	s := tell(t, p, "eu-1", "us-1")
	s.taint(v1.TaintNoSchedule, "us-1")
	s.in.Pod = Pod{CPUMillis: 1000}
	s.member("us-1").Free = &v1.Amounts{CPUMillis: 500, MemoryMiB: 1, Pods: 10}
	s.settled()
	e, ok := Explain(s.in, "us-1")
	want := []string{
		"label region of us-1 is us, wanted eu", "tolerate t:NoSchedule for ever", "us-1 has 1.5 more CPU",
		"raise spec.placement.numberOfClusters from 1 to 2",
	}
	if diff := cmp.Diff(want, e.Changes); !ok || diff != "" {
		t.Errorf("(-want +said):\n%s%+v", diff, e)
	}
	if _, ok := Explain(s.in, "nobody"); ok {
		t.Error("there is nobody of that name")
	}
	s.spec.Placement = &v1.Placement{ReplicaScheduling: &v1.ReplicaScheduling{
		Type: v1.ReplicasDivided, Divide: v1.DivideWeighted, MinPerCluster: ptr.To[int32](1), MaxPerCluster: ptr.To[int32](8),
		Weights: []v1.ReplicaWeight{{ClusterSelector: *region("eu"), Weight: 3}},
	}}
	s.member("us-1").Taints, s.member("us-1").Free = nil, nil
	s.settled()
	e, _ = Explain(s.in, "eu-1")
	if e.Share != "8 of 12 replicas on 2 members, weight 3 of 4, at least 1, at most 8" {
		t.Errorf("the share is %q", e.Share)
	}
}

// An app does not leave a member because of the room that it takes there itself.
func TestExpressionOverWhatIsFree(t *testing.T) {
	s := tell(t, &v1.Placement{Expression: `quantity(cluster.free["memory"]).isGreaterThan(quantity("1Gi"))`}, "eu-1", "us-1")
	for _, name := range []string{"eu-1", "us-1"} {
		s.member(name).Free = &v1.Amounts{CPUMillis: 1000, MemoryMiB: 1500, Pods: 10}
	}
	s.in.Pod = Pod{MemoryMiB: 500}
	s.want("there is room, and then there is less", "eu-1 us-1")
}

// Members that lack a label say nothing of others.
func TestManyMembersLackALabel(t *testing.T) {
	var names []string
	for i := range 150 {
		names = append(names, fmt.Sprintf("a-%03d", i))
	}
	s := tell(t, &v1.Placement{Expression: `cluster.labels["gpu"] == "yes"`}, append(names, "z-1")...)
	s.member("z-1").Labels["gpu"] = "yes"
	s.want("one has it", "z-1")
}

package placement

import (
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Stories of apps that leave members, or must not.

func TestTaints(t *testing.T) {
	s := tell(t, &v1.Placement{}, "eu-1", "eu-2")
	s.in.Rows = rows(v1.PlacementReady, "eu-1")
	s.in.Rows[0].ReadyReplicas, s.in.Rows[0].Replicas = 2, 2
	s.taint(v1.TaintNoSchedule, "eu-1", "eu-2")
	s.want("who has it keeps it, and nobody else gets it", "eu-1")
	s.spec.Placement.Tolerations = []v1.Toleration{{Key: "t", Operator: v1.TolerationExists}}
	s.want("it is tolerated", "eu-1 eu-2")
	s.spec.Placement.Tolerations[0].Effect = v1.TaintNoSchedule
	s.taint(v1.TaintNoExecute, "eu-2")
	s.want("this one is not", "eu-1")
	s.member("eu-1").Taints = append(s.member("eu-1").Taints, Taint{Key: "new", Effect: v1.TaintNoExecute})
	s.want("a taint whose time is not on record yet makes nobody leave", "eu-1")
	s.member("eu-1").Taints = []Taint{{Key: "t", Effect: v1.TaintNoExecute, Since: s.in.Now}}
	s.spec.Placement.Tolerations = []v1.Toleration{
		{Key: "t", Operator: v1.TolerationExists, Effect: v1.TaintNoExecute, TolerationSeconds: ptr.To[int64](100)},
		{Operator: v1.TolerationExists, Effect: v1.TaintNoExecute, TolerationSeconds: ptr.To[int64](60)},
	}
	s.want("not yet", "eu-1")
	if got := s.last.Wake.Sub(s.in.Now); got != time.Minute {
		t.Errorf("it is looked at again after %s, not when the shorter time is over", got)
	}
	s.later(time.Minute)
	s.want("now it leaves", "")
}

func TestFailover(t *testing.T) {
	s := tell(t, number(2), "eu-1", "eu-2", "us-1", "us-2")
	s.spec.Placement.Preferences = []v1.ClusterPreference{{ClusterSelector: *region("eu"), Weight: 10}}
	s.want("at home", "eu-1 eu-2")
	s.silent(true, "eu-1")
	s.want("for five minutes it is waited for", "eu-1:Unknown eu-2")
	if got := s.last.Wake.Sub(s.in.Now); got != 300*time.Second {
		t.Errorf("it is looked at again after %s", got)
	}
	s.later(300 * time.Second)
	if got := s.settled(); !strings.HasPrefix(got, "eu-1:Removing eu-2 us-") {
		t.Errorf("another takes over, but %s", got)
	}
	s.silent(true, "eu-2")
	s.later(300 * time.Second)
	if got := s.settled(); !strings.Contains(got, "eu-2:Unknown") || s.last.Question.Reason != v1.ReasonEvictionBudget {
		t.Errorf("one that is left and silent is one that the budget allows, but %s (%+v)", got, s.last.Question)
	}
	s.silent(false, "eu-1", "eu-2")
	s.later(time.Hour)
	s.settled()
	if got := len(strings.Fields(s.is())); got != 2 {
		t.Errorf("all is well again: two members, but %s", s.is())
	}
}

func TestNobodyTakesOver(t *testing.T) {
	s := tell(t, &v1.Placement{}, "eu-1", "eu-2", "us-1", "us-2")
	s.settled()
	s.silent(true, "eu-1")
	s.later(24 * time.Hour)
	s.want("where every member has its own copy, leaving one helps nobody", "eu-1:Unknown eu-2 us-1 us-2")
	s = tell(t, number(3), "eu-1", "eu-2", "us-1")
	s.settled()
	s.silent(true, "eu-1")
	s.later(24 * time.Hour)
	s.want("nor does it without another to go to", "eu-1:Unknown eu-2 us-1")
}

// TestCutOff: when most of the fleet is silent, it is the hub that is cut off.
func TestCutOff(t *testing.T) {
	for _, tt := range []struct {
		reason string
		silent []string
		want   bool
	}{
		{"one is one", []string{"eu-1"}, false},
		{"two of five", []string{"eu-1", "eu-2"}, false},
		{"three of five", []string{"eu-1", "eu-2", "eu-3"}, true},
		{"all", []string{"eu-1", "eu-2", "eu-3", "us-1", "us-2"}, true},
	} {
		s := tell(t, number(3), "eu-1", "eu-2", "eu-3", "us-1", "us-2")
		s.spec.Placement.Preferences = []v1.ClusterPreference{{ClusterSelector: *region("eu"), Weight: 100}}
		s.want("at home", "eu-1 eu-2 eu-3")
		s.silent(true, tt.silent...)
		s.later(24 * time.Hour)
		s.settled()
		if left := strings.Contains(s.is(), "Removing"); left == tt.want || s.last.CutOff != tt.want {
			t.Errorf("%s are silent: %s; cut off: %v", tt.reason, s.is(), s.last.CutOff)
		}
	}
	s := tell(t, number(1), "eu-1")
	s.want("alone", "eu-1")
	s.silent(true, "eu-1")
	s.later(24 * time.Hour)
	s.want("the only one is all", "eu-1:Unknown")
}

// TestANewLeaderListensFirst: what members did not say to somebody else is not held
// against them.
func TestANewLeaderListensFirst(t *testing.T) {
	s := tell(t, number(1), "eu-1", "us-1", "us-2")
	s.spec.Placement.Preferences = []v1.ClusterPreference{{ClusterSelector: *region("eu"), Weight: 10}}
	s.want("at home", "eu-1")
	s.silent(true, "eu-1")
	s.later(time.Hour)
	s.in.LeaderSince = s.in.Now
	s.want("the hub has just begun", "eu-1:Unknown")
	s.later(300 * time.Second)
	if got := s.settled(); !strings.HasPrefix(got, "eu-1:Removing us-") {
		t.Errorf("now it knows itself, but %s", got)
	}
}

func TestDrainIsPacedAndGentle(t *testing.T) {
	s := tell(t, number(5), "a-1", "a-2", "a-3", "a-4", "a-5", "b-1", "b-2", "b-3", "b-4", "b-5")
	s.spec.Placement.Preferences = []v1.ClusterPreference{{ClusterSelector: *region("a"), Weight: 10}}
	s.want("all on a", "a-1 a-2 a-3 a-4 a-5")
	s.taint(v1.TaintNoExecute, "a-1", "a-2", "a-3", "a-4", "a-5")
	s.once(false)
	if n := strings.Count(s.is(), "Leaving"); n != 1 || strings.Count(s.is(), "Pending") != 1 || s.last.Waiting != 4 {
		t.Errorf("one in five at a time, and not before another is ready: %s", s.is())
	}
	s.once(false)
	if n := strings.Count(s.is(), "Leaving"); n != 1 {
		t.Errorf("still not ready: %s", s.is())
	}
	s.settled()
	if got := s.is(); got != "b-1 b-2 b-3 b-4 b-5" {
		t.Errorf("one after the other: %s", got)
	}
}

func TestGraceEnds(t *testing.T) {
	s := tell(t, number(1), "eu-1", "us-1")
	s.spec.Placement.Preferences = []v1.ClusterPreference{{ClusterSelector: *region("eu"), Weight: 10}}
	s.want("at home", "eu-1")
	s.taint(v1.TaintNoExecute, "eu-1")
	s.wantOnce(false, "it stays until the other is ready", "eu-1:Leaving us-1:Pending")
	if got := s.last.Wake.Sub(s.in.Now); got != 600*time.Second {
		t.Errorf("it is looked at again after %s", got)
	}
	s.later(599 * time.Second)
	s.wantOnce(false, "still", "eu-1:Leaving us-1:Pending")
	s.later(time.Second)
	s.wantOnce(false, "but not for ever", "us-1:Pending")
}

func TestDividedPodsMoveGently(t *testing.T) {
	p := &v1.Placement{ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided}}
	s := tell(t, p, "eu-1")
	s.want("all on one", "eu-1=12")
	s.in.Members = append(s.in.Members, Member{Name: "us-1", Labels: map[string]string{"region": "us"}, Accepted: true, Ready: true})
	s.wantOnce(false, "nothing goes before the other is ready", "eu-1=12 us-1=6:Pending")
	s.wantOnce(false, "still", "eu-1=12 us-1=6:Pending")
	s.want("now", "eu-1=6 us-1=6")
	s.in.Replicas = 6
	s.wantOnce(false, "scaling down waits for nobody", "eu-1=3 us-1=3")
}

func TestLimit(t *testing.T) {
	five := []string{"a-1", "a-2", "a-3", "b-1", "b-2"}
	s := tell(t, &v1.Placement{}, five...)
	s.want("everywhere", "a-1 a-2 a-3 b-1 b-2")
	s.spec.Placement.ClusterSelector, s.in.Generation = region("b"), 2
	s.want("three of five is more than half: nothing happens", "a-1 a-2 a-3 b-1 b-2")
	asked := s.last.Question
	if asked.Reason != v1.ReasonAwaitingAck || len(asked.Clusters) != 3 || !strings.Contains(asked.Message, asked.Plan) {
		t.Fatalf("it asks %+v", asked)
	}
	s.in.Acknowledged, s.in.Generation = asked.Plan, 3
	s.want("an acknowledgement is for one edit", "a-1 a-2 a-3 b-1 b-2")
	s.in.Acknowledged = s.last.Question.Plan
	s.want("this is the one", "b-1 b-2")

	s = tell(t, &v1.Placement{}, five...)
	s.settled()
	s.spec.Placement.ClusterSelector = region("a")
	s.want("two of five are fewer than half", "a-1 a-2 a-3")
	s = tell(t, &v1.Placement{}, five[1:]...)
	s.settled()
	s.spec.Placement.ClusterSelector = region("none")
	s.want("with four a person sees what an edit does", "")
	s = tell(t, &v1.Placement{}, five...)
	s.settled()
	for i := range s.in.Members {
		s.in.Members[i].Leaving = v1.LeaveRemove
	}
	s.want("that members leave is said of each of them", "")
	s = tell(t, &v1.Placement{}, five...)
	s.settled()
	s.in.Deleting = true
	s.want("a deletion is its own acknowledgement", "")
}

// TestFlaps: of a member that comes and goes the app is taken off once at the most.
func TestFlaps(t *testing.T) {
	s := tell(t, number(2), "eu-1", "eu-2", "us-1", "us-2")
	s.settled()
	flapping := s.in.Rows[0].Cluster
	left := 0
	for i := range 200 {
		s.silent(true, flapping)
		s.later(time.Duration(i) * 7 % 400 * time.Second)
		s.settled()
		if row := s.row(flapping); row != nil && row.State == v1.PlacementRemoving {
			left++
		}
		s.silent(false, flapping)
		s.later(10 * time.Second)
		s.settled()
	}
	if left > 1 {
		t.Errorf("it was left %d times", left)
	}
}

// What a review found: each was an app that ended for no good reason.
func TestNobodyIsLeftForNothing(t *testing.T) {
	groups := &v1.Placement{Groups: []v1.ClusterGroup{{Name: "home", ClusterSelector: region("eu")}, {Name: "away", ClusterSelector: region("us")}}}
	s := tell(t, groups, "eu-1", "us-1", "us-2", "xx-1")
	s.want("at home", "eu-1")
	for _, full := range []string{"us-1", "us-2"} {
		s.member(full).Free = &v1.Amounts{}
	}
	s.silent(true, "eu-1")
	s.later(400 * time.Second)
	s.want("the next group is full", "eu-1:Unknown")

	p := &v1.Placement{ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided}}
	s = tell(t, p, "eu-1", "us-1", "us-2")
	s.in.Replicas = 1
	s.in.Rows = append(rows(v1.PlacementReady, "eu-1"), rows(v1.PlacementStray, "us-1", "us-2")...)
	s.in.Rows[0].Replicas, s.in.Rows[0].ReadyReplicas = 1, 1
	s.want("strays for which no pod is left are left alone", "eu-1=1 us-1=0:Stray us-2=0:Stray")

	s = tell(t, &v1.Placement{ClusterNames: []string{"eu-1"}}, "eu-1", "us-1")
	s.want("in one place", "eu-1")
	s.spec.Placement.ClusterNames = []string{"us-1"}
	s.in.Exceeded = "one cluster is all that the quota allows"
	s.want("what may not come elsewhere does not leave here", "eu-1")

	s = tell(t, &v1.Placement{}, "a-1", "a-2", "a-3", "b-1", "b-2")
	s.settled()
	s.spec.Placement.ClusterSelector = region("b")
	s.settled()
	s.taint(v1.TaintNoExecute, "a-1")
	s.want("while an edit is held nobody is left for a taint either", "a-1 a-2 a-3 b-1 b-2")
}

// A member that falls silent while it is left keeps the app until others are ready.
func TestFlapDuringAMove(t *testing.T) {
	s := tell(t, number(1), "eu-1", "us-1")
	s.spec.Placement.Preferences = []v1.ClusterPreference{{ClusterSelector: *region("eu"), Weight: 10}}
	s.want("at home", "eu-1")
	s.taint(v1.TaintNoExecute, "eu-1")
	s.wantOnce(false, "us-1 takes over", "eu-1:Leaving us-1:Pending")
	s.member("eu-1").Ready = false
	s.wantOnce(false, "a moment's silence", "eu-1:Leaving us-1:Pending")
	s.member("eu-1").Ready = true
	s.wantOnce(false, "nothing was lost", "eu-1:Leaving us-1:Pending")
	s.want("and now it goes", "us-1")
}

func TestDividedFailsOver(t *testing.T) {
	p := &v1.Placement{ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided}}
	s := tell(t, p, "eu-1", "eu-2", "us-1")
	s.want("evenly", "eu-1=4 eu-2=4 us-1=4")
	s.silent(true, "eu-1")
	s.want("it is waited for", "eu-1=4:Unknown eu-2=4 us-1=4")
	s.later(301 * time.Second)
	s.want("the others run what it had", "eu-1=4:Removing eu-2=6 us-1=6")
}

// A growing share that is long Ready is no reason to give up pods at once.
func TestPodsMoveGentlyBetweenOldMembers(t *testing.T) {
	p := &v1.Placement{ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided}}
	s := tell(t, p, "eu-1", "us-1")
	s.in.Rows = []v1.PlacementRow{
		{Cluster: "eu-1", State: v1.PlacementReady, Replicas: 10, ReadyReplicas: 10, LastTransitionTime: metav1.NewTime(noon.Add(-24 * time.Hour))},
		{Cluster: "us-1", State: v1.PlacementReady, Replicas: 2, ReadyReplicas: 2, LastTransitionTime: metav1.NewTime(noon.Add(-24 * time.Hour))},
	}
	s.wantOnce(false, "us-1 grows first", "eu-1=10 us-1=6:Pending")
	s.want("then eu-1 gives up what is too much", "eu-1=6 us-1=6")
}

func TestDrainOfASilentMember(t *testing.T) {
	s := tell(t, &v1.Placement{}, "eu-1", "us-1")
	s.want("everywhere", "eu-1 us-1")
	s.silent(true, "eu-1")
	s.later(time.Hour)
	s.taint(v1.TaintNoExecute, "eu-1")
	s.want("that it is silent does not hide that it is drained", "eu-1:Removing us-1")
}

// A slip that comes in small steps is a slip: labels that are wiped one after the other, or
// a taint that is set on one member after the other.
func TestLimitRemembers(t *testing.T) {
	for _, slip := range []struct {
		reason string
		on     func(*Member)
	}{
		{"labels are wiped", func(m *Member) { m.Labels = nil }},
		{"a taint is set", func(m *Member) { m.Taints = []Taint{{Key: "t", Effect: v1.TaintNoExecute, Since: noon}} }},
	} {
		s := tell(t, &v1.Placement{ClusterSelector: region("a")}, "a-1", "a-2", "a-3", "a-4", "a-5", "a-6")
		s.want("everywhere", "a-1 a-2 a-3 a-4 a-5 a-6")
		for i := range s.in.Members {
			s.in.Members = slices.Clone(s.in.Members)
			slip.on(&s.in.Members[i])
			for range 3 {
				s.once(true)
				s.in.Lately = append(s.in.Lately, s.last.Lost...)
			}
		}
		if left := len(s.in.Rows); left != 3 || s.last.Question.Reason != v1.ReasonAwaitingAck {
			t.Errorf("%s on one of six after the other: %d are left, and it asks %+v", slip.reason, left, s.last.Question)
		}
	}
}

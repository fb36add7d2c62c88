package rollout

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
)

var (
	update = flag.Bool("update", false, "write the golden files of the stories anew")
	seeds  = flag.Int("seeds", 50, "in how many orders each story is told")
)

// Conditions of events.
func phase(is v1.RolloutPhase) func(*world) bool {
	return func(w *world) bool { return w.status != nil && w.status.Phase == is }
}

func waits(reason string) func(*world) bool {
	return func(w *world) bool { return w.status != nil && w.status.Reason == reason }
}

func has(member, revision string) func(*world) bool {
	return func(w *world) bool { r := w.row(member); return r != nil && r.Revision == revision }
}

func works(member, revision string) func(*world) bool {
	return func(w *world) bool {
		r := w.row(member)
		return r != nil && r.Revision == revision && r.State == v1.PlacementReady && r.Updated
	}
}

func allReady(w *world) bool {
	for _, name := range w.names() {
		if r := w.row(name); r == nil || r.State != v1.PlacementReady {
			return false
		}
	}
	return true
}

func both(a, b func(*world) bool) func(*world) bool {
	return func(w *world) bool { return a(w) && b(w) }
}

// What happens.
func spec(revision string) func(*world) { return func(w *world) { w.edit(revision) } }

func falls(name string) func(*world) { return func(w *world) { w.silence(name, true) } }

func comes(name string) func(*world) { return func(w *world) { w.silence(name, false) } }

func answers(w *world) { w.answer(w.status.Asks) }

func and(all ...func(*world)) func(*world) {
	return func(w *world) {
		for _, then := range all {
			then(w)
		}
	}
}

func change(what string, edit func(*world)) func(*world) {
	return func(w *world) { w.say("%s", what); edit(w); w.dirty = true }
}

func breaks(revision string, where ...string) func(*world) {
	return func(w *world) { w.bad[revision] = where }
}

// Steps of the stories: a canary, and the others.
var (
	canary  = stepOf("canary", func(s *v1.RolloutStep) { s.ClusterNames = []string{"a"} })
	soaking = stepOf("canary", func(s *v1.RolloutStep) { s.ClusterNames, s.SoakSeconds = []string{"a"}, ptr.To[int32](30) })
	asking  = stepOf("canary", func(s *v1.RolloutStep) { s.ClusterNames, s.Approval = []string{"a"}, v1.ApprovalRequired })
	half    = stepOf("half", func(s *v1.RolloutStep) { s.Share = ptr.To(intstr.FromString("50%")) })
)

func with(r v1.Rollout, edits ...func(*v1.Rollout)) v1.Rollout {
	for _, edit := range edits {
		edit(&r)
	}
	return r
}

func rollback(r *v1.Rollout)  { r.OnFailure = v1.RolloutRollback }
func goesOn(r *v1.Rollout)    { r.OnFailure = v1.RolloutContinue }
func twoAtOnce(r *v1.Rollout) { r.MaxUnavailable = ptr.To(intstr.FromInt32(2)) }

// stories are all that may happen, by name: each begins with revision A ready on all members.
var stories = []struct {
	name    string
	members string
	rollout v1.Rollout
	events  []event
	end     string
}{
	{"all at once", "a b c", v1.Rollout{}, []event{{allReady, spec("B")}}, "-: a=B b=B c=B"},
	{"canary then the rest", "a b c d", progressive(canary), []event{{allReady, spec("B")}}, "Completed: a=B b=B c=B d=B"},
	{"without steps, one after the other", "a b c d", progressive(), []event{{allReady, spec("B")}}, "Completed: a=B b=B c=B d=B"},
	{"three steps with soak and approval", "a b c d e f", progressive(soaking, stepOf("half", func(s *v1.RolloutStep) {
		s.Share, s.Approval = ptr.To(intstr.FromString("50%")), v1.ApprovalRequired
	})), []event{
		{allReady, spec("B")},
		{waits(v1.ReasonAwaitingApproval), answers},
	}, "Completed: a=B b=B c=B d=B e=B f=B"},
	{"an empty step still asks", "a b c", progressive(stepOf("none", func(s *v1.RolloutStep) {
		s.ClusterNames, s.SoakSeconds, s.Approval = []string{"x"}, ptr.To[int32](600), v1.ApprovalRequired
	})), []event{{allReady, spec("B")}}, "Progressing AwaitingApproval: a=A b=A c=A"},
	{"approval", "a b c", progressive(asking), []event{
		{allReady, spec("B")},
		{waits(v1.ReasonAwaitingApproval), answers},
	}, "Completed: a=B b=B c=B"},
	{"nobody approves", "a b c", progressive(asking), []event{{allReady, spec("B")}}, "Progressing AwaitingApproval: a=B b=A c=A"},
	{"approval before the first step", "a b c", progressive(stepOf("canary", func(s *v1.RolloutStep) {
		s.ClusterNames, s.Approval = []string{"a"}, v1.ApprovalRequiredBefore
	})), []event{
		{allReady, spec("B")},
		{waits(v1.ReasonAwaitingApproval), answers},
	}, "Completed: a=B b=B c=B"},
	{"an approval is good once", "a b c", progressive(asking), []event{
		{allReady, spec("B")},
		{waits(v1.ReasonAwaitingApproval), answers},
		{phase(v1.RolloutCompleted), spec("C")},
		{both(has("a", "C"), waits(v1.ReasonAwaitingApproval)), answers},
		{phase(v1.RolloutCompleted), spec("B")},
	}, "Progressing AwaitingApproval: a=B b=C c=C"},
	{"promoted out of the soak", "a b c", progressive(soaking), []event{
		{allReady, spec("B")},
		{waits(v1.ReasonSoaking), func(w *world) { w.answer(AnswerPromote + w.status.CurrentStep.Hash) }},
	}, "Completed: a=B b=B c=B"},
	{"the canary never becomes ready, and goes back", "a b c d", with(progressive(soaking), rollback), []event{
		{allReady, and(breaks("B"), spec("B"))},
	}, "RolledBack: a=A b=A c=A d=A"},
	{"the canary never becomes ready, and waits for a person", "a b c d", progressive(soaking), []event{
		{allReady, and(breaks("B"), spec("B"))},
	}, "Paused: a=B b=A c=A d=A"},
	{"a person accepts the failure", "a b c d", progressive(canary), []event{
		{allReady, and(breaks("B", "a"), spec("B"))},
		{phase(v1.RolloutPaused), answers},
	}, "Completed: a=B b=B c=B d=B"},
	{"it fails, and goes on", "a b c d", with(progressive(canary), goesOn), []event{
		{allReady, and(breaks("B", "a"), spec("B"))},
	}, "Completed: a=B b=B c=B d=B"},
	{"one failure is allowed", "a b c d", with(progressive(canary), rollback, func(r *v1.Rollout) { r.MaxFailures = ptr.To[int32](1) }), []event{
		{allReady, and(breaks("B", "b"), spec("B"))},
	}, "Completed: a=B b=B c=B d=B"},
	{"two failures are one too many", "a b c d", with(progressive(canary), rollback, func(r *v1.Rollout) { r.MaxFailures = ptr.To[int32](1) }), []event{
		{allReady, and(breaks("B", "b", "d"), spec("B"))},
	}, "RolledBack: a=A b=A c=A d=A"},
	{"it fails late, and only those that got it go back", "a b c d e f", with(progressive(canary, half), rollback), []event{
		{allReady, and(breaks("B", "d"), spec("B"))},
	}, "RolledBack: a=A b=A c=A d=A e=A f=A"},
	{"after a rollback the next revision is tried", "a b c", with(progressive(canary), rollback), []event{
		{allReady, and(breaks("B"), spec("B"))},
		{phase(v1.RolloutRolledBack), spec("C")},
	}, "Completed: a=C b=C c=C"},
	{"what has failed is tried again once the spec has said something else", "a b c", with(progressive(canary), rollback), []event{
		{allReady, and(breaks("B"), spec("B"))},
		{phase(v1.RolloutRolledBack), spec("A")},
		{phase(v1.RolloutCompleted), and(func(w *world) { delete(w.bad, "B") }, spec("B"))},
	}, "Completed: a=B b=B c=B"},
	{"an edit in the middle begins at the first step", "a b c d", progressive(canary, half), []event{
		{allReady, spec("B")},
		{works("b", "B"), spec("C")},
	}, "Completed: a=C b=C c=C d=C"},
	{"an edit while the canary fails", "a b c d", with(progressive(canary), rollback), []event{
		{allReady, and(breaks("B"), spec("B"))},
		{has("a", "B"), spec("C")},
	}, "Completed: a=C b=C c=C d=C"},
	{"the second revision fails, and each goes back to what worked there", "a b c d", with(progressive(canary, half), rollback), []event{
		{allReady, and(breaks("C"), spec("B"))},
		{works("a", "B"), spec("C")},
	}, ""},
	{"back to what was before is no trial", "a b c", progressive(soaking), []event{
		{allReady, spec("B")},
		{works("a", "B"), spec("A")},
	}, "Completed: a=A b=A c=A"},
	{"a member that does not answer is not waited for", "a b c d", with(progressive(canary), twoAtOnce), []event{
		{allReady, spec("B")},
		{has("a", "B"), falls("c")},
	}, "Completed: a=B b=B c=A d=B"},
	{"it catches up when it answers again", "a b c d", with(progressive(canary), twoAtOnce), []event{
		{allReady, spec("B")},
		{has("a", "B"), falls("c")},
		{phase(v1.RolloutCompleted), comes("c")},
	}, "Completed: a=B b=B c=B d=B"},
	{"a silent member uses up the budget", "a b c", progressive(), []event{
		{allReady, and(falls("c"), spec("B"))},
	}, "Progressing MaxUnavailable: a=A b=A c=A"},
	{"the budget is free again", "a b c", progressive(), []event{
		{allReady, and(falls("c"), spec("B"))},
		{waits(v1.ReasonMaxUnavailable), comes("c")},
	}, "Completed: a=B b=B c=B"},
	{"the canary does not answer", "a b c d", with(progressive(canary), twoAtOnce), []event{
		{allReady, and(falls("a"), spec("B"))},
	}, "Progressing AwaitingMembers: a=A b=A c=A d=A"},
	{"the canary falls silent after it was told", "a b c d", with(progressive(canary), twoAtOnce, rollback), []event{
		{allReady, and(breaks("B", "a"), spec("B"))},
		{has("a", "B"), falls("a")},
	}, "Progressing AwaitingMembers: a=B b=A c=A d=A"},
	{"who joins before its step gets what was before", "a b c", progressive(asking), []event{
		{allReady, spec("B")},
		{waits(v1.ReasonAwaitingApproval), change("d joins", func(w *world) { w.members["d"] = &cluster{name: "d", placed: true} })},
	}, "Progressing AwaitingApproval: a=B b=A c=A d=A"},
	{"who joins after its step gets the new one", "a b c", progressive(stepOf("eu", func(s *v1.RolloutStep) {
		s.ClusterNames, s.Approval = []string{"a", "d"}, v1.ApprovalRequired
	})), []event{
		{allReady, spec("B")},
		{waits(v1.ReasonAwaitingApproval), change("d joins", func(w *world) { w.members["d"] = &cluster{name: "d", placed: true} })},
	}, "Progressing AwaitingApproval: a=B b=A c=A d=B"},
	{"who leaves is not waited for", "a b c", progressive(canary), []event{
		{allReady, and(breaks("B", "a"), spec("B"))},
		{has("a", "B"), change("a is no longer chosen", func(w *world) { w.members["a"].placed = false })},
	}, "Completed: b=B c=B"},
	{"a member that may not be changed is not waited for", "a b c", progressive(canary), []event{
		{allReady, and(change("b may not be changed", func(w *world) { w.members["b"].frozen = true }), spec("B"))},
		{phase(v1.RolloutCompleted), change("b may be changed", func(w *world) { w.members["b"].frozen = false })},
	}, "Completed: a=B b=B c=B"},
	{"scaled in the middle", "a b c", progressive(soaking), []event{
		{allReady, spec("B")},
		{waits(v1.ReasonSoaking), change("3 replicas", func(w *world) { w.replicas = 3 })},
	}, "Completed: a=B b=B c=B"},
	{"paused in the middle", "a b c", with(progressive(canary), rollback), []event{
		{allReady, spec("B")},
		{has("a", "B"), change("paused", func(w *world) { w.paused = true })},
		{waits(v1.ReasonPaused), change("an hour later it goes on", func(w *world) { w.paused, w.now = false, w.now.Add(3600e9) })},
	}, "Completed: a=B b=B c=B"},
	{"a gate does not hold in time", "a b c", with(progressive(stepOf("canary", func(s *v1.RolloutStep) {
		s.ClusterNames = []string{"a"}
		s.Gates = []v1.RolloutGate{{Name: "all", Expression: "status.summary.unknown > 0"}}
	})), rollback), []event{{allReady, spec("B")}}, "RolledBack: a=A b=A c=A"},
	{"a gate holds", "a b c", progressive(stepOf("canary", func(s *v1.RolloutStep) {
		s.ClusterNames = []string{"a"}
		s.Gates = []v1.RolloutGate{{Name: "pods", Expression: "step.readyReplicas == step.totalReplicas && step.updated == 1"}}
	})), []event{{allReady, spec("B")}}, "Completed: a=B b=B c=B"},
	{"a window opens", "a b c", with(progressive(canary), func(r *v1.Rollout) {
		r.Windows = []v1.ChangeWindow{{Schedule: "0 22 * * *", DurationSeconds: 3600, TimeZone: "Europe/Berlin"}}
	}), []event{{allReady, spec("B")}}, "Completed: a=B b=B c=B"},
	{"who catches up waits for a window, too", "a b c d", with(progressive(canary), twoAtOnce, func(r *v1.Rollout) {
		r.Windows = []v1.ChangeWindow{{Schedule: "0 12 * * *", DurationSeconds: 60}}
	}), []event{
		{allReady, spec("B")},
		{has("a", "B"), falls("c")},
		{phase(v1.RolloutCompleted), change("an hour later c answers again", func(w *world) { w.now = w.now.Add(3600e9); w.silence("c", false) })},
	}, "Completed: a=B b=B c=B d=B"},
	{"one at a time, by rank", "a b c d", with(progressive(stepOf("all", func(s *v1.RolloutStep) {
		s.SortBy, s.MaxConcurrent = "rank", ptr.To(intstr.FromInt32(1))
	})), func(r *v1.Rollout) { r.MaxUnavailable = ptr.To(intstr.FromString("100%")) }), []event{{allReady, spec("B")}}, "Completed: a=B b=B c=B d=B"},
}

// TestStories tells every story in many orders: those who act do so as chance will have it,
// and the hub is killed now and then. Every pass keeps the rules, and the end is the same.
// The golden files are the stories as they go without a kill, to be read.
func TestStories(t *testing.T) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			for seed := range *seeds {
				w := newWorld(t, uint64(seed), s.rollout, strings.Fields(s.members)...) //nolint:gosec // seeds are small
				if seed > 0 {
					w.kills = seed % 4 * 3
				}
				w.run(s.events)
				if end := w.end(); s.end != "" && end != s.end {
					t.Fatalf("seed %d ends with %s and not with %s:\n%s", seed, end, s.end, w.story())
				}
				if seed == 0 {
					golden(t, s.name, w.story())
				}
			}
		})
	}
}

func golden(t *testing.T, name, story string) {
	t.Helper()
	file := filepath.Join("testdata", strings.NewReplacer(" ", "-", ",", "").Replace(name)+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(story), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), story); diff != "" {
		t.Errorf("the story is another one (-want +got); go test ./pkg/hub/rollout -update writes it anew:\n%s", diff)
	}
}

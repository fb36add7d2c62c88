package rollout

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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

// tells is so once a report is there, and before the hub has recorded it.
func tells(member, revision string) func(*world) bool {
	return func(w *world) bool {
		r := w.reports[member]
		return r.AppliedHash == revision && r.State == v1.FeedbackReady
	}
}

// steady is so once a member is ready, and that is on record.
func steady(member, revision string) func(*world) bool {
	return func(w *world) bool { return works(member, revision)(w) && w.members[member].state == v1.FeedbackReady }
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

func either(a, b func(*world) bool) func(*world) bool {
	return func(w *world) bool { return a(w) || b(w) }
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

// down is a member on which nothing becomes ready any more.
func down(name string) func(*world) {
	return func(w *world) {
		for _, revision := range []string{"A", "C"} {
			w.bad[revision] = append(w.bad[revision], name)
		}
		breaksFor(name, "B")(w)
	}
}

// breaksFor is a member on which a revision does not become ready any more.
func breaksFor(name, revision string) func(*world) {
	return change(name+" breaks down", func(w *world) {
		w.bad[revision] = append(w.bad[revision], name)
		m := w.members[name]
		m.state, m.ready, m.changes, m.reported = v1.FeedbackProgressing, 0, time.Time{}, false
	})
}

// flaps makes a member unready for twenty seconds.
func flaps(name string) func(*world) {
	return change(name+" breaks down for a moment", func(w *world) {
		m := w.members[name]
		m.state, m.ready, m.reported, m.changes = v1.FeedbackProgressing, 0, false, w.now.Add(20e9)
	})
}

// one is a step of one member.
func one(name string) v1.RolloutStep {
	return stepOf("only-"+name, func(s *v1.RolloutStep) { s.ClusterNames = []string{name} })
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
func allAtOnce(r *v1.Rollout) { r.MaxUnavailable = ptr.To(intstr.FromString("100%")) }

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
		{func(w *world) bool { return w.status.PausedTime != nil }, change("an hour later it goes on", func(w *world) { w.paused, w.now = false, w.now.Add(3600e9) })},
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
	{"a canary that does not stay ready", "a b c", with(progressive(soaking), rollback), []event{
		{allReady, spec("B")},
		{steady("a", "B"), flaps("a")}, {steady("a", "B"), flaps("a")}, {steady("a", "B"), flaps("a")},
		{steady("a", "B"), flaps("a")}, {steady("a", "B"), breaksFor("a", "B")},
	}, "RolledBack: a=A b=A c=A"},
	{"a silent member does not keep what has failed", "a b c d", with(progressive(canary), rollback, func(r *v1.Rollout) { r.MaxUnavailable = ptr.To(intstr.FromInt32(3)) }), []event{
		{allReady, and(breaks("B", "c"), spec("B"))},
		{works("b", "B"), falls("b")},
		{phase(v1.RolloutRolledBack), comes("b")},
	}, "RolledBack: a=A b=A c=A d=A"},
	{"a member that may not be changed and is down counts", "a b c d", progressive(canary), []event{
		{allReady, and(change("d may not be changed", func(w *world) { w.members["d"].frozen = true }), down("d"))},
		{func(w *world) bool { return w.row("d").State != v1.PlacementReady }, spec("B")},
	}, "Progressing MaxUnavailable: a=A b=A c=A d=A"},
	{"four steps", "a b c d", progressive(canary, one("b"), one("c"), one("d")), []event{{allReady, spec("B")}}, "Completed: a=B b=B c=B d=B"},
	{"another failure is asked about anew", "a b c d", with(progressive(canary), twoAtOnce), []event{
		{allReady, and(breaks("B", "a", "c"), spec("B"))},
		{phase(v1.RolloutPaused), answers},
		{both(phase(v1.RolloutPaused), has("c", "B")), func(*world) {}},
	}, ""},
	{"who joined with what never worked goes back to what is stable", "a b c", with(progressive(stepOf("canary", func(s *v1.RolloutStep) {
		s.ClusterNames = []string{"a", "d"}
	})), rollback, func(r *v1.Rollout) { r.MaxUnavailable = ptr.To(intstr.FromInt32(4)) }), []event{
		{allReady, and(breaks("B", "d"), breaks("C", "a"), spec("B"))},
		{has("a", "B"), change("d joins", func(w *world) { w.members["d"] = &cluster{name: "d", placed: true} })},
		{has("d", "B"), spec("C")},
	}, ""},
	{"the last step goes back first", "a b c d", with(progressive(canary, stepOf("two", func(s *v1.RolloutStep) {
		s.ClusterNames, s.MaxConcurrent = []string{"b", "c"}, ptr.To(intstr.FromInt32(1))
	})), allAtOnce, rollback), []event{
		{allReady, and(breaks("B", "d"), spec("B"))},
	}, "RolledBack: a=A b=A c=A d=A"},
	{"one at a time, also on the way back", "a b c d", with(progressive(stepOf("most", func(s *v1.RolloutStep) {
		s.ClusterNames, s.MaxConcurrent = []string{"a", "b", "c"}, ptr.To(intstr.FromInt32(1))
	})), allAtOnce, rollback), []event{
		{allReady, and(breaks("B", "d"), spec("B"))},
	}, "RolledBack: a=A b=A c=A d=A"},
	{"the hub was away for an hour", "a b c", with(progressive(canary), rollback), []event{
		{allReady, spec("B")},
		{has("a", "B"), change("the hub is killed, and an hour passes", func(w *world) {
			w.now = w.now.Add(3600e9)
			w.kill()
		})},
	}, "Completed: a=B b=B c=B"},
	{"scaled while many are still to come", "a b c d e", progressive(canary), []event{
		{allReady, spec("B")},
		{works("a", "B"), change("5 replicas", func(w *world) { w.replicas = 5 })},
	}, "Completed: a=B b=B c=B d=B e=B"},
	{"what is ready nowhere is not gone back to", "a b c", with(progressive(canary), goesOn), []event{
		{allReady, and(breaks("B"), breaks("C"), spec("B"))},
		{both(phase(v1.RolloutCompleted), has("c", "B")), and(change("onFailure is Rollback", func(w *world) {
			w.spec.OnFailure = v1.RolloutRollback
			w.rules = RulesOf(&v1.MyAppSpec{Rollout: &w.spec})
		}), spec("C"))},
	}, "RolledBack: a=A b=B c=B"},
	{"what has failed is remembered after an undo", "a b c", with(progressive(canary), rollback), []event{
		{allReady, and(breaks("B"), spec("B"))},
		{phase(v1.RolloutRolledBack), spec("A")},
		{both(phase(v1.RolloutCompleted), func(w *world) bool { return len(w.status.FailedRevisions) == 1 }), func(*world) {}},
	}, "Completed: a=A b=A c=A"},
	{"undone in the middle", "a b c d", progressive(canary), []event{
		{allReady, and(breaks("B", "b", "c", "d"), spec("B"))},
		{both(works("a", "B"), either(has("b", "B"), either(has("c", "B"), has("d", "B")))), spec("A")},
	}, "Completed: a=A b=A c=A d=A"},
	{"a member that never says what became of it", "a b c d", with(progressive(canary), rollback), []event{
		{allReady, spec("B")},
		{has("a", "B"), change("a says nothing any more", func(w *world) { w.members["a"].mute = true })},
	}, "RolledBack: a=A b=A c=A d=A"},
	{"paused on the way back", "a b c d", with(progressive(canary), rollback), []event{
		{allReady, and(breaks("B"), spec("B"))},
		{phase(v1.RolloutRollingBack), change("paused", func(w *world) { w.paused = true })},
		{func(w *world) bool { return w.status.PausedTime != nil }, change("it goes on", func(w *world) { w.paused = false })},
	}, "RolledBack: a=A b=A c=A d=A"},
	{"gates are asked at once", "a b c", progressive(stepOf("canary", func(s *v1.RolloutStep) {
		s.ClusterNames = []string{"a"}
		s.Gates = []v1.RolloutGate{
			{Name: "slow", Expression: "value < 1.0", Prometheus: &v1.PrometheusQuery{Address: "p", Query: "slow"}, Count: ptr.To[int32](5)},
			{Name: "short", Expression: "value < 1.0", Prometheus: &v1.PrometheusQuery{Address: "p", Query: "short"}, TimeoutSeconds: ptr.To[int32](60)},
		}
	})), []event{{allReady, spec("B")}}, "Completed: a=B b=B c=B"},
	{"a gate that has passed is not asked while a person is waited for", "a b c", with(progressive(stepOf("canary", func(s *v1.RolloutStep) {
		s.ClusterNames, s.Approval = []string{"a"}, v1.ApprovalRequired
		s.Gates = []v1.RolloutGate{{Name: "all", Expression: "status.summary.unknown == 0", TimeoutSeconds: ptr.To[int32](10)}}
	})), twoAtOnce, rollback), []event{
		{allReady, spec("B")},
		{both(waits(v1.ReasonAwaitingApproval), func(w *world) bool { return len(w.reports) == 3 }), and(change("an hour passes", func(w *world) { w.now = w.now.Add(3600e9) }), falls("c"))},
		{func(w *world) bool { return w.row("c").State == v1.PlacementUnknown }, answers},
	}, "Completed: a=B b=B c=A"},
	{"a person accepts what a gate says, and is still asked", "a b c", progressive(stepOf("canary", func(s *v1.RolloutStep) {
		s.ClusterNames, s.Approval = []string{"a"}, v1.ApprovalRequired
		s.Gates = []v1.RolloutGate{{Name: "never", Expression: "false", TimeoutSeconds: ptr.To[int32](10)}}
	})), []event{
		{allReady, spec("B")},
		{phase(v1.RolloutPaused), answers},
	}, "Progressing AwaitingApproval: a=B b=A c=A"},
	{"half a canary does not soak", "a b c", progressive(soaking), []event{
		{allReady, spec("B")},
		{waits(v1.ReasonSoaking), change("one pod of a breaks down", func(w *world) {
			m := w.members["a"]
			m.state, m.ready, m.reported, m.changes = v1.FeedbackProgressing, 1, false, w.now.Add(50e9)
		})},
	}, "Completed: a=B b=B c=B"},
	{"a long message of a member", "a b c", with(progressive(canary), rollback), []event{
		{allReady, and(change("a has much to say", func(w *world) { w.members["a"].says = strings.Repeat("ä", 1024) }), breaks("B"), spec("B"))},
	}, "RolledBack: a=A b=A c=A"},
	{"who joins while it has stopped does not get what has failed", "a b c", progressive(stepOf("eu", func(s *v1.RolloutStep) {
		s.ClusterNames = []string{"a", "d"}
	}), stepOf("us", func(s *v1.RolloutStep) { s.ClusterNames = []string{"b"} })), []event{
		{allReady, and(breaks("B", "b"), spec("B"))},
		{phase(v1.RolloutPaused), change("d joins", func(w *world) { w.members["d"] = &cluster{name: "d", placed: true} })},
	}, "Paused: a=B b=B c=A d=A"},
	{"one at a time, by rank", "a b c d", with(progressive(stepOf("all", func(s *v1.RolloutStep) {
		s.SortBy, s.MaxConcurrent = "rank", ptr.To(intstr.FromInt32(1))
	})), func(r *v1.Rollout) { r.MaxUnavailable = ptr.To(intstr.FromString("100%")) }), []event{{allReady, spec("B")}}, "Completed: a=B b=B c=B d=B"},
	{"an edit comes with the report that the canary is ready", "a b c", with(progressive(canary), rollback), []event{
		{allReady, and(breaks("C"), spec("B"))},
		{tells("a", "B"), spec("C")},
	}, "RolledBack: a=B b=A c=A"},
	{"an edit replaces what does not become ready", "a b c", with(progressive(canary), rollback), []event{
		{allReady, and(breaks("B", "b", "c"), spec("B"))},
		{either(has("b", "B"), has("c", "B")), spec("C")},
	}, "Completed: a=C b=C c=C"},
	{"what has failed is given up within the budget", "a b c d e", progressive(canary), []event{
		{allReady, and(breaks("B", "e"), spec("B"))},
		{phase(v1.RolloutPaused), spec("C")},
	}, "Completed: a=C b=C c=C d=C e=C"},
	{"who does not get well on the way back holds up nobody", "a b c", with(progressive(canary, stepOf("others", func(s *v1.RolloutStep) { s.SoakSeconds = ptr.To[int32](600) })), rollback), []event{
		{allReady, spec("B")},
		{both(works("b", "B"), waits(v1.ReasonSoaking)), down("a")},
	}, "RolledBack: a=A b=A c=A"},
	{"those that catch up do so one at a time", "a b c d e", with(progressive(canary, stepOf("others", func(s *v1.RolloutStep) {
		s.MaxConcurrent = ptr.To(intstr.FromInt32(1))
	})), func(r *v1.Rollout) { r.MaxUnavailable = ptr.To(intstr.FromInt32(3)) }), []event{
		{allReady, spec("B")},
		{has("a", "B"), and(falls("c"), falls("d"))},
		{phase(v1.RolloutCompleted), and(comes("c"), comes("d"))},
	}, "Completed: a=B b=B c=B d=B e=B"},
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

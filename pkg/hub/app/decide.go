package app

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/placement"
	"github.com/example/myapp-hub/pkg/hub/plan"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// decision is what a pass wants to be so.
type decision struct {
	// revision is that of the spec; it has no name while the spec is not valid.
	revision render.Revision
	status   v1.MyAppStatus
	// changed is true when the status differs from the stored one, urgent when
	// the difference must not wait.
	changed, urgent bool
	// forced are the members that are no longer waited for because a person said
	// so, although they have not confirmed the removal.
	forced []string
	// exceeded is true while a quota does not allow what the spec asks for.
	exceeded bool
	// questions are what the gates of the rollout want to know.
	questions []rollout.Question
	// wake is when time alone can change the decision; zero for never.
	wake time.Time
	// gone is true when the app is deleted and no member has it any more.
	gone bool
}

// decide is a function of its arguments.
func decide(s *snapshot, now metav1.Time) (decision, error) {
	revision, err := currentRevision(s)
	if err != nil {
		return decision{}, err
	}
	old, spec := s.app.Status, &s.app.Spec
	in := s.input(now)
	steps := s.rollout(now)
	nextOf := func() (placement.Result, rollout.Result) {
		placed := placement.Schedule(in)
		return placed, rollout.Next(rollout.State{
			Rows: old.Placements, Verdicts: placed.Verdicts, Revision: revision.Name, Rollout: steps,
			Waits: rollout.Waits(spec.DependsOn, s.others, s.cycle),
		}, now)
	}
	placed, next := nextOf()
	if in.Exceeded = s.bounds.exceeded(next.Rows); in.Exceeded != "" {
		placed, next = nextOf()
	}
	rows, forced := aggregate.Rows(aggregate.Observation{
		Persisted: old.Placements, Next: next.Rows, Reports: s.reports, Members: s.reach,
		Autoscaled: othersScale(s.app), Held: s.held != "", ForceRemoved: forceRemoved(s),
	}, now)

	d := decision{revision: revision, forced: forced, exceeded: in.Exceeded != "", questions: next.Questions, wake: sooner(placed.Wake, next.Wake)}
	if placed.WantsRoom {
		d.wake = sooner(d.wake, now.Add(roomRecheck))
	}
	d.status = aggregate.Status(aggregate.Input{
		Old: old, Rows: rows,
		Namespace: s.app.Namespace, Name: s.app.Name, Generation: s.app.Generation,
		Deleting: s.deleting(), Paused: spec.Paused, Invalid: s.invalid, Exceeded: in.Exceeded, Held: s.hold(placed.Question),
		Revision: revision.Name, Selector: render.PodSelector(s.app.Name),
		Replicas: wants(in, placed.Verdicts), SpecReplicas: plan.Replicas(spec), Divided: in.Rules.Divided(), Autoscaled: spec.Autoscaling != nil,
		PlacementReason: placed.Reason, PlacementMessage: placed.Message, Rollout: next.Status, Waits: s.waits(next),
	}, now)
	d.status.Departures = plan.Departures(old.Departures, placed.Lost, now)
	d.changed = !sameStatus(&s.app.Status, &d.status)
	d.urgent = d.changed && urgent(&s.app.Status, &d.status)
	d.gone = s.deleting() && s.held == "" && len(rows) == 0
	return d, nil
}

// sooner is the earlier of two times, of which the zero one is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// rollout is what a rollout in steps is decided from; nil if the app has none.
func (s *snapshot) rollout(now metav1.Time) *rollout.Rollout {
	rules := s.known().Rollout
	if rules == nil || !rules.Progressive() {
		return nil
	}
	old := s.app.Status.Placements
	observed, _ := aggregate.Rows(aggregate.Observation{
		Persisted: old, Next: old, Reports: s.reports, Members: s.reach, Autoscaled: othersScale(s.app), Held: true,
	}, now)
	decisions := make(map[string]int64, len(old))
	for i := range old {
		decisions[old[i].Cluster] = old[i].Decision
	}
	return &rollout.Rollout{
		Rules: rules, Generation: s.app.Generation, Status: s.app.Status.Rollout, Observed: observed, Since: s.leaderSince,
		Answers: strings.FieldsFunc(s.app.Annotations[v1.AnnotationRolloutAnswers], func(r rune) bool { return r == ',' || r == ' ' }),
		Heard: func(member string) bool {
			report, ok := s.reports[member]
			return ok && report.Decision == decisions[member]
		},
		Measured: s.measured, Same: s.sameRevisions(),
		Labels: func(member string) labels.Set {
			i, ok := slices.BinarySearchFunc(s.members, member, func(m placement.Member, name string) int { return strings.Compare(m.Name, name) })
			if !ok {
				return nil
			}
			return s.members[i].Labels
		},
	}
}

// sameRevisions says whether a stored revision means the same for a member as the spec: it
// differs in overrides that are for others.
func (s *snapshot) sameRevisions() func(member, revision string) bool {
	var current v1.MyAppSpec
	known := map[string]*v1.MyAppSpec{} // nil for one that differs for everybody, or is not known
	return func(member, revision string) bool {
		if len(known) == 0 {
			current = render.Template(&s.app.Spec)
		}
		old, ok := known[revision]
		if !ok {
			if i := slices.IndexFunc(s.revisions, named(revision)); i >= 0 {
				if template, err := render.ParseTemplate(s.revisions[i].Data.Raw); err == nil && render.SameBut(&template, &current) {
					old = &template
				}
			}
			known[revision] = old
		}
		return old != nil && render.SameOverrides(old, &current, s.clusters[member])
	}
}

// input is what a placement is made of.
func (s *snapshot) input(now metav1.Time) placement.Input {
	known := s.known()
	in := plan.Input(s.app, known.Spec, plan.Fleet{
		Members: s.members, Numbers: known.numbers, Namespace: s.namespace, Now: now.Time, LeaderSince: s.leaderSince, Held: s.held, Reserved: s.reserved,
	})
	in.Invalid = s.invalid
	return in
}

// wants are the numbers of pods that the members that run the app are to have.
func wants(in placement.Input, verdicts []placement.Verdict) map[string]int32 {
	if !in.Rules.Divided() {
		return in.Numbers
	}
	numbers := map[string]int32{}
	for i := range verdicts {
		if v := &verdicts[i]; v.Outcome == placement.Run {
			numbers[v.Cluster] = v.Replicas
		}
	}
	return numbers
}

// hold is why nothing changes, or not all that should; nil if nothing stops the hub.
func (s *snapshot) hold(asks placement.Question) *aggregate.Hold {
	switch {
	case s.held != "":
		return &aggregate.Hold{Reason: v1.ReasonHubRestored, Message: s.held}
	case asks.Plan != "":
		return &aggregate.Hold{Reason: asks.Reason, Message: asks.Message}
	}
	return nil
}

// waits is why members have to wait for other apps; nil if none has.
func (s *snapshot) waits(next rollout.Result) *aggregate.Hold {
	switch {
	case len(next.Waiting) == 0:
	case len(s.cycle) > 0:
		return &aggregate.Hold{Reason: v1.ReasonDependencyCycle, Message: rollout.CycleMessage(s.cycle)}
	default:
		return &aggregate.Hold{Reason: v1.ReasonAwaitingDependency, Message: fmt.Sprintf("%d of its members wait for other apps; %s: %s", len(next.Waiting), next.Waiting[0], next.Waits)}
	}
	return nil
}

// currentRevision is the revision of the spec. A stored revision of that name
// with other content is a collision of hashes, and the next name is tried. A spec
// that is not valid has none: no row may take it for its own.
func currentRevision(s *snapshot) (render.Revision, error) {
	if s.invalid != "" {
		return render.Revision{}, nil
	}
	for collision := 0; ; collision++ {
		revision, err := s.revision(collision)
		if err != nil {
			return revision, err
		}
		i := slices.IndexFunc(s.revisions, named(revision.Name))
		if i < 0 || bytes.Equal(s.revisions[i].Data.Raw, revision.Data) {
			return revision, nil
		}
	}
}

func (s *snapshot) revision(collision int) (render.Revision, error) {
	if plain := s.known().plain; collision == 0 && plain.Name != "" {
		return plain, nil
	}
	return render.RevisionOf(s.app.Name, s.app.UID, &s.app.Spec, collision)
}

// replicas are the numbers of pods that the members are to run.
func replicas(spec *v1.MyAppSpec, clusters map[string]render.Cluster) map[string]int32 {
	numbers := make(map[string]int32, len(clusters))
	for name, cluster := range clusters {
		numbers[name] = render.Replicas(spec, cluster)
	}
	return numbers
}

// forceRemoved are the members that a person no longer wants to wait for. They
// are named one by one: a word for all would also give up those that are about
// to answer. By an app only a deletion can be hurried so, and not before mailboxes say
// that the app is to leave: afterwards nobody would take back the order to have it. Of a
// member that is forgotten nothing is waited for.
func forceRemoved(s *snapshot) map[string]bool {
	members := map[string]bool{}
	for _, name := range v1.GivenUp(s.app) {
		members[name] = !s.ordered[name]
	}
	for i := range s.members {
		// Its mailbox is not asked: who joins as it next gets another one.
		if m := &s.members[i]; m.Leaving == v1.LeaveForget {
			members[m.Name] = true
		}
	}
	return members
}

// urgent is true for a change that is written at once: a decision, Ready or Held
// turning, or the last member having reported. A removal that is confirmed may
// wait for others.
func urgent(before, after *v1.MyAppStatus) bool {
	if before.ObservedGeneration != after.ObservedGeneration || before.Revision != after.Revision || turned(before.Rollout, after.Rollout) {
		return true
	}
	was := before.Placements // ordered by name, as those after
	for i := range after.Placements {
		r := &after.Placements[i]
		for len(was) > 0 && was[0].Cluster < r.Cluster {
			was = was[1:]
		}
		if len(was) == 0 || was[0].Cluster != r.Cluster || was[0].Decision != r.Decision ||
			(was[0].State == v1.PlacementLeaving) != (r.State == v1.PlacementLeaving) {
			return true
		}
	}
	for _, condition := range []string{v1.ConditionReady, v1.ConditionHeld} {
		if statusOf(before, condition) != statusOf(after, condition) {
			return true
		}
	}
	return aggregate.Settled(after.Placements) && !aggregate.Settled(before.Placements)
}

// turned is true if a rollout has come to another phase, or has something to ask.
func turned(before, after *v1.RolloutStatus) bool {
	if before == nil || after == nil {
		return before != after
	}
	return before.Phase != after.Phase || before.Asks != after.Asks
}

func statusOf(s *v1.MyAppStatus, condition string) metav1.ConditionStatus {
	if c := meta.FindStatusCondition(s.Conditions, condition); c != nil {
		return c.Status
	}
	return metav1.ConditionUnknown
}

// othersScale is true if the number of pods on a member is not the hub's business: the
// app has an autoscaler, or leaves the number to whoever changes it.
func othersScale(app *v1.MyApp) bool {
	if app.Spec.Autoscaling != nil || app.Spec.Drift == nil {
		return app.Spec.Autoscaling != nil
	}
	return slices.ContainsFunc(app.Spec.Drift.Ignore, func(i v1.IgnoredFields) bool {
		return i.Kind == "Deployment" && (i.Group == "" || i.Group == appsv1.GroupName) && (i.Name == "" || i.Name == app.Name) &&
			slices.Contains(i.Fields, "/spec/replicas")
	})
}

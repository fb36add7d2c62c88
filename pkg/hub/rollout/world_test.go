package rollout

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

// world is a hub with an app and its members, each of which acts when chance says so.
type world struct {
	t       testing.TB
	chance  *rand.Rand
	now     time.Time
	members map[string]*cluster

	// What is on the hub's API server.
	spec       v1.Rollout
	rules      *Rules
	revision   string
	generation int64
	replicas   int32
	paused     bool
	answers    []string
	rows       []v1.PlacementRow
	status     *v1.RolloutStatus

	// What only the hub's process knows.
	reports map[string]aggregate.Report
	since   time.Time
	dirty   bool
	wake    time.Time
	// asked is when a question was first asked, nextAnswer when the next answer comes.
	asked      map[Question]time.Time
	nextAnswer time.Time

	// kills is how often the hub is killed, in percent of its passes.
	kills int
	// bad are the revisions that do not work, and where; nil for everywhere.
	bad map[string][]string

	// told is the story, begun when it began.
	told  []string
	begun time.Time

	// got are the members that were ever told a revision, worked the last revision that was
	// ready on a member, for the rules that every pass is held to.
	got    map[string][]string
	worked map[string]string
}

// cluster is a member.
type cluster struct {
	name   string
	labels labels.Set
	placed bool
	silent bool
	mute   bool // it answers, and never says what became of what it was told
	says   string
	frozen bool // what it has is not changed by anybody: the verdict is Keep
	// told is the last decision it knows, has is the revision it runs.
	told     int64
	has      string
	pods     int32
	state    v1.FeedbackState
	ready    int32
	changes  time.Time // when it becomes ready, zero for never
	reported bool
}

func newWorld(t testing.TB, seed uint64, spec v1.Rollout, names ...string) *world {
	w := &world{
		t: t, chance: rand.New(rand.NewPCG(seed, 7)), //nolint:gosec // chance, not secrets
		now: noon.Time, begun: noon.Time, since: noon.Time.Add(-time.Hour),
		spec: spec, revision: "A", generation: 1, replicas: 2, members: map[string]*cluster{},
		reports: map[string]aggregate.Report{}, dirty: true, asked: map[Question]time.Time{}, bad: map[string][]string{}, got: map[string][]string{}, worked: map[string]string{},
	}
	for i, name := range names {
		w.members[name] = &cluster{name: name, placed: true, labels: labels.Set{"tier": []string{"canary", "prod"}[min(i, 1)], "rank": fmt.Sprint(len(names) - i)}}
	}
	w.rules = RulesOf(&v1.MyAppSpec{Rollout: &w.spec})
	if err := w.rules.Err(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) names() []string { return slices.Sorted(maps.Keys(w.members)) }

func (w *world) say(format string, args ...any) {
	w.told = append(w.told, fmt.Sprintf("%6s  %s", w.now.Sub(w.begun).Truncate(time.Second), fmt.Sprintf(format, args...)))
}

// edit makes another revision current.
func (w *world) edit(revision string) {
	w.say("the spec says %s", revision)
	w.revision, w.dirty = revision, true
	w.generation++
}

// answer gives the answer that the rollout asks for.
func (w *world) answer(what string) {
	w.say("a person answers %s", strings.TrimRight(strings.SplitAfter(what, "-")[0], "-"))
	w.answers = append(w.answers, what)
	w.dirty = true
}

func (w *world) silence(name string, silent bool) {
	w.say("%s %s", name, map[bool]string{true: "falls silent", false: "answers again"}[silent])
	w.members[name].silent, w.members[name].reported = silent, false
	w.dirty = true
}

// kill begins the hub's process anew.
func (w *world) kill() {
	w.asked, w.nextAnswer = map[Question]time.Time{}, time.Time{}
	w.reports, w.since, w.dirty, w.wake = map[string]aggregate.Report{}, w.now, true, time.Time{}
	for _, m := range w.members {
		m.reported = false
	}
}

// row is what is on record of a member; nil if nothing is.
func (w *world) row(name string) *v1.PlacementRow {
	i := slices.IndexFunc(w.rows, func(r v1.PlacementRow) bool { return r.Cluster == name })
	if i < 0 {
		return nil
	}
	return &w.rows[i]
}

func (w *world) verdicts() (all []placement.Verdict) {
	for _, name := range w.names() {
		m, row := w.members[name], w.row(name)
		v := placement.Verdict{Cluster: name, Outcome: placement.Run, Replicas: w.replicas}
		switch {
		case (w.paused || m.frozen) && row != nil:
			v.Outcome = placement.Keep
		case w.paused || m.frozen || !m.placed && row == nil || m.silent && row == nil:
			v.Outcome, v.Reason = placement.Reject, v1.ReasonNoneReady
		case !m.placed:
			v.Outcome, v.Reason = placement.Remove, v1.ReasonNotChosen
		}
		all = append(all, v)
	}
	return all
}

func (w *world) reach() map[string]aggregate.Member {
	reach := map[string]aggregate.Member{}
	for name, m := range w.members {
		reach[name] = aggregate.Member{Exists: true, Ready: !m.silent}
	}
	return reach
}

func (w *world) state() State {
	observed, _ := aggregate.Rows(aggregate.Observation{Persisted: w.rows, Next: w.rows, Reports: w.reports, Members: w.reach(), Held: true}, metav1.NewTime(w.now))
	rules := w.rules
	s := State{Rows: w.rows, Verdicts: w.verdicts(), Revision: w.revision}
	if rules.Progressive() {
		s.Rollout = &Rollout{
			Rules: rules, Generation: w.generation, Status: w.status, Observed: observed, Answers: w.answers, Since: w.since,
			Heard: func(name string) bool {
				report, ok := w.reports[name]
				row := w.row(name)
				return ok && row != nil && report.Decision == row.Decision
			},
			Labels:   func(name string) labels.Set { return w.members[name].labels },
			Measured: w.measured,
		}
	}
	return s
}

// measured has an answer of a Prometheus every 30 seconds, from when a question was first
// asked; a hub that is killed asks anew.
func (w *world) measured(q Question) Measured {
	if w.asked[q].IsZero() {
		w.asked[q] = w.now
	}
	n := min(1+int(w.now.Sub(w.asked[q])/q.Interval), q.Count)
	w.nextAnswer = w.now.Add(q.Interval)
	return Measured{Values: make([]float64, n)}
}

// pass is one of the hub, which may be killed before or after it has written.
func (w *world) pass() {
	w.dirty, w.nextAnswer = false, time.Time{}
	s := w.state()
	now := metav1.NewTime(w.now)
	next := Next(s, now)
	rows, _ := aggregate.Rows(aggregate.Observation{Persisted: w.rows, Next: next.Rows, Reports: w.reports, Members: w.reach()}, now)
	if w.chance.IntN(100) < w.kills {
		w.kill()
		return
	}
	if s.Rollout != nil {
		for _, r := range s.Rollout.Observed {
			if r.State == v1.PlacementReady && r.Updated {
				w.worked[r.Cluster+"/"+r.Revision] = "yes"
			}
		}
	}
	w.hold(s, next)
	changed := !slices.EqualFunc(w.rows, rows, sameRow) || !SameStatus(w.status, next.Status)
	w.tell(next.Status, rows)
	w.rows, w.status, w.wake = stored(rows), next.Status.DeepCopy(), next.Wake
	w.dirty = w.dirty || changed
	if w.chance.IntN(100) < w.kills {
		w.kill()
	}
}

// stored are rows as an API server gives them back.
func stored(rows []v1.PlacementRow) []v1.PlacementRow {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].LastTransitionTime = rows[i].LastTransitionTime.Rfc3339Copy()
	}
	return rows
}

func sameRow(a, b v1.PlacementRow) bool {
	times := func(r *v1.PlacementRow) [3]string {
		all := [3]string{fmt.Sprint(r.LastTransitionTime.Unix()), fmt.Sprint(r.RevisionTime), fmt.Sprint(r.LastReportTime)}
		r.LastTransitionTime, r.RevisionTime, r.LastReportTime = metav1.Time{}, nil, nil
		return all
	}
	ta, tb := times(&a), times(&b)
	return ta == tb && a == b
}

func (w *world) tell(status *v1.RolloutStatus, rows []v1.PlacementRow) {
	if status != nil && (w.status == nil || w.status.Phase != status.Phase || w.status.Message != status.Message) {
		w.say("%s: %s", status.Phase, status.Message)
	}
	for i := range rows {
		r, was := &rows[i], w.row(rows[i].Cluster)
		switch {
		case was == nil || was.State == v1.PlacementRemoving && r.State != v1.PlacementRemoving:
			w.say("  %s gets %s", r.Cluster, r.Revision)
		case was.Revision != r.Revision:
			w.say("  %s goes from %s to %s", r.Cluster, was.Revision, r.Revision)
		}
		if was == nil || was.Revision != r.Revision {
			w.got[r.Revision] = append(w.got[r.Revision], r.Cluster)
		}
		if r.State == v1.PlacementReady && r.Updated {
			if was != nil && was.State != v1.PlacementReady {
				w.say("  %s is ready with %s", r.Cluster, r.Revision)
			}
			w.worked[r.Cluster+"/"+r.Revision] = "yes"
		}
	}
}

// act lets a member do what it was told, and report.
func (w *world) act(m *cluster) {
	row := w.row(m.name)
	if m.silent {
		return
	}
	if row != nil && row.Decision != m.told {
		m.told = row.Decision
		switch {
		case row.State == v1.PlacementRemoving:
			m.state, m.has, m.pods, m.ready = v1.FeedbackRemoved, "", 0, 0
		case row.Revision != m.has:
			m.state, m.has, m.pods = v1.FeedbackProgressing, row.Revision, row.Replicas
			m.changes = w.now.Add(time.Duration(1+w.chance.IntN(5)) * time.Second)
			if where, ok := w.bad[m.has]; ok && (where == nil || slices.Contains(where, m.name)) {
				m.changes = time.Time{}
			}
		case row.Replicas != m.pods:
			m.state, m.pods = v1.FeedbackProgressing, row.Replicas
			m.changes = w.now.Add(time.Second)
		}
		m.reported = false
	}
	if m.state == v1.FeedbackProgressing && !m.changes.IsZero() && !m.changes.After(w.now) {
		m.state, m.ready, m.reported = v1.FeedbackReady, m.pods, false
	}
	if !m.reported && m.told > 0 {
		m.reported = true
		if m.mute {
			return
		}
		message := "0 of 2 pods are ready"
		if m.says != "" {
			message = m.says
		}
		w.reports[m.name] = aggregate.Report{Decision: m.told, Feedback: v1.Feedback{
			State: m.state, AppliedHash: m.has, Replicas: m.pods, ReadyReplicas: m.ready, Reason: v1.ReasonPodsNotReady, Message: message,
		}}
		w.dirty = true
	}
}

// busy is true for a member that has something to do.
func (w *world) busy(m *cluster) bool {
	row := w.row(m.name)
	return !m.silent && (row != nil && row.Decision != m.told || !m.reported && m.told > 0 || m.due(w.now))
}

func due(t, now time.Time) bool { return !t.IsZero() && !t.After(now) }

func (m *cluster) due(now time.Time) bool {
	return m.state == v1.FeedbackProgressing && !m.changes.IsZero() && !m.changes.After(now)
}

// run lets everybody act in any order until nothing happens any more. What a story has in
// store happens as soon as it may.
func (w *world) run(events []event) {
	for range 20_000 {
		if len(events) > 0 && events[0].when(w) {
			events[0].then(w)
			events = events[1:]
			continue
		}
		var actors []func()
		if w.dirty || due(w.wake, w.now) || due(w.nextAnswer, w.now) {
			actors = append(actors, w.pass)
		}
		for _, name := range w.names() {
			if m := w.members[name]; w.busy(m) {
				actors = append(actors, func() { w.act(m) })
			}
		}
		if len(actors) > 0 {
			actors[w.chance.IntN(len(actors))]()
			continue
		}
		next := w.wake
		if next.IsZero() || !w.nextAnswer.IsZero() && w.nextAnswer.Before(next) {
			next = w.nextAnswer
		}
		for _, m := range w.members {
			if m.state == v1.FeedbackProgressing && !m.silent && !m.changes.IsZero() && (next.IsZero() || m.changes.Before(next)) {
				next = m.changes
			}
		}
		if next.IsZero() {
			if len(events) > 0 {
				w.t.Fatalf("nothing happens any more, and there is more to come\n%s", w.story())
			}
			return
		}
		w.now = next
	}
	w.t.Fatalf("it does not come to an end\n%s", w.story())
}

func (w *world) story() string {
	return strings.Join(w.told, "\n") + "\n" + w.end() + "\n"
}

// end is who has what.
func (w *world) end() string {
	var all []string
	for _, r := range w.rows {
		all = append(all, fmt.Sprintf("%s=%s", r.Cluster, r.Revision))
	}
	phase := v1.RolloutPhase("-")
	if w.status != nil {
		phase = w.status.Phase
		if phase == v1.RolloutProgressing {
			phase += v1.RolloutPhase(" " + w.status.Reason)
		}
	}
	return fmt.Sprintf("%s: %s", phase, strings.Join(all, " "))
}

// event is what happens in a story once something is so.
type event struct {
	when func(*world) bool
	then func(*world)
}

func stepOf(name string, edits ...func(*v1.RolloutStep)) v1.RolloutStep {
	s := v1.RolloutStep{Name: name}
	for _, edit := range edits {
		edit(&s)
	}
	return s
}

func progressive(steps ...v1.RolloutStep) v1.Rollout {
	return v1.Rollout{Type: v1.RolloutProgressive, Steps: steps, ProgressDeadlineSeconds: ptr.To[int32](60)}
}

package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
)

// setting is a rollout that the small world is searched through with.
type setting struct {
	onFailure        v1.RolloutFailurePolicy
	most, concurrent int32 // maxUnavailable, and maxConcurrent of the rest; 0 for unset
	soak             int32 // of the canary, in seconds
}

func (s setting) String() string {
	return fmt.Sprintf("%s most=%d soak=%d concurrent=%d", s.onFailure, s.most, s.soak, s.concurrent)
}

const lasts = 60 // the deadline of the small world in seconds

func (s setting) rollout() v1.Rollout {
	first := stepOf("canary", func(r *v1.RolloutStep) {
		r.ClusterNames = []string{"a", "z"}
		if s.soak > 0 {
			r.SoakSeconds = &s.soak
		}
	})
	rest := stepOf("others", func(r *v1.RolloutStep) {
		if s.concurrent > 0 {
			r.MaxConcurrent = ptr.To(intstr.FromInt32(s.concurrent))
		}
	})
	return with(progressive(first, rest), func(r *v1.Rollout) {
		r.OnFailure, r.MaxUnavailable, r.ProgressDeadlineSeconds = s.onFailure, ptr.To(intstr.FromInt32(s.most)), ptr.To[int32](lasts)
	})
}

// small is one state of the small world: its clock always stands still, and what is on
// record gets older instead, so that states come again.
type small struct {
	*world
	setting setting
	// fault is what has gone wrong; empty for nothing yet.
	fault string
	// been has for each member the revisions that the hub knew to be ready there, in order.
	been map[string]string
}

// act is what somebody can do in a state.
type act struct {
	name string
	kind kind
	do   func(*small)
}

type kind int

const (
	work  kind = iota // of the hub and of members
	clock             // passes
	kills             // the hub
	fault
)

// begins are the states that the search begins in: A is ready everywhere, and B is wanted.
func begins(t *testing.T, set setting) (all []*small) {
	w := newWorld(t, 1, set.rollout(), "a", "b", "c")
	w.run(nil)
	w.told, w.since = nil, w.now
	w.revision, w.generation = "B", 2
	s := &small{world: w, setting: set, been: map[string]string{"a": "A", "b": "A", "c": "A"}}
	for _, m := range w.members {
		m.changes = w.now
	}
	s.age(time.Hour)
	all = append(all, s)
	for _, name := range w.names() {
		bad := s.clone()
		bad.fault, bad.bad = "B is bad on "+name, map[string][]string{"B": {name}}
		all = append(all, bad)
	}
	return all
}

func (s *small) clone() *small {
	c, w := *s, *s.world
	c.world = &w
	w.members = make(map[string]*cluster, len(s.members))
	for name, m := range s.members {
		is := *m
		w.members[name] = &is
	}
	w.reports, c.been = maps.Clone(s.reports), maps.Clone(s.been)
	return &c
}

// age makes all that is on record older, to an age that is late for everything.
func (s *small) age(by time.Duration) {
	oldest := s.now.Add(-time.Duration(s.setting.soak+lasts) * time.Second)
	older := func(t time.Time) time.Time { return latest(t.Add(-by), oldest) }
	at := func(t *metav1.Time) *metav1.Time {
		if t == nil {
			return nil
		}
		return &metav1.Time{Time: older(t.Time)}
	}
	s.since, s.rows = older(s.since), slices.Clone(s.rows)
	for i := range s.rows {
		r := &s.rows[i]
		r.LastTransitionTime.Time, r.RevisionTime = older(r.LastTransitionTime.Time), at(r.RevisionTime)
	}
	for _, m := range s.members {
		m.changes = older(m.changes)
	}
	if s.status == nil {
		return
	}
	s.status = s.status.DeepCopy()
	s.status.ResumedTime = at(s.status.ResumedTime)
	if is := s.status.CurrentStep; is != nil {
		is.ReadyTime, is.FirstReadyTime = at(is.ReadyTime), at(is.FirstReadyTime)
	}
}

// key is the same for two states if the same can follow. What is only said is left out, as
// is what happened at a time that nothing is counted from.
func (s *small) key() string {
	b := make([]byte, 0, 400)
	put := func(texts ...string) {
		for _, text := range texts {
			b = append(append(b, text...), ',')
		}
	}
	flag := func(all ...bool) {
		for _, is := range all {
			if is {
				b = append(b, 'y')
			} else {
				b = append(b, 'n')
			}
		}
	}
	at := func(t *metav1.Time) {
		if t == nil {
			b = append(b, '-')
			return
		}
		b = append(b, '0'+byte(s.now.Sub(t.Time)/(5*time.Second)))
	}
	put(s.fault, s.revision)
	put(s.answers...)
	at(&metav1.Time{Time: s.since})
	for _, name := range s.names() {
		m, row := s.members[name], s.row(name)
		put(name, m.has, string(m.state), s.been[name])
		flag(m.placed, m.silent, m.reported, m.ready > 0, row != nil)
		at(&metav1.Time{Time: m.changes})
		if row == nil {
			continue
		}
		report, ok := s.reports[name]
		heard := ok && report.Decision == row.Decision
		if flag(m.told == row.Decision, row.Updated, row.ReadyReplicas > 0, heard); heard {
			put(string(report.State))
			flag(report.ReadyReplicas > 0)
		}
		put(string(row.State), row.Revision, row.PreviousRevision)
		if row.State == v1.PlacementReady && row.Updated {
			flag(row.RevisionTime != nil)
			continue
		}
		at(row.RevisionTime)
		if row.State != v1.PlacementUnknown {
			at(&row.LastTransitionTime)
		}
	}
	r := s.status
	put(r.Revision, string(r.Phase), r.Reason, r.Asks, r.StableRevision)
	for _, list := range [][]string{r.FailedRevisions, r.FailedClusters, r.AcceptedFailures, r.CompletedSteps} {
		put(list...)
		b = append(b, ';')
	}
	at(r.ResumedTime)
	if is := r.CurrentStep; is != nil {
		put(is.Hash)
		flag(is.Started)
		at(is.ReadyTime)
		at(is.FirstReadyTime)
	}
	return string(b)
}

// fails is true for a member on which what it has does not become ready.
func (s *small) fails(m *cluster) bool {
	return slices.Contains(s.bad[m.has], m.name) || s.fault == m.name+breaksDown
}

const (
	breaksDown  = " breaks down" // whatever it has
	fallsSilent = " falls silent"
	slow        = "all are slow"
)

// acts are what can be done in a state, but for the pass of the hub.
func (s *small) acts() (all []act) {
	for _, name := range s.names() {
		m, row := s.members[name], s.row(name)
		if row != nil && !m.silent && row.Decision != m.told {
			all = append(all, act{name + " does what it is told", work, func(s *small) { s.obey(name) }})
		}
		if m.state == v1.FeedbackProgressing && !s.fails(m) {
			all = append(all, act{name + " becomes ready", work, func(s *small) { s.works(name) }})
		}
		if row != nil && !m.silent && !m.reported && m.told > 0 {
			all = append(all, act{name + " is heard", work, func(s *small) { s.hear(name) }})
		}
	}
	all = append(all, act{"the hub is killed", kills, func(s *small) { s.kill(); s.wake = time.Time{} }})
	return append(all, s.faults()...)
}

func (s *small) obey(name string) {
	m, row := s.members[name], s.row(name)
	m.told, m.reported = row.Decision, false
	switch {
	case row.State == v1.PlacementRemoving:
		m.state, m.has, m.pods, m.ready = v1.FeedbackRemoved, "", 0, 0
	case row.Revision != m.has:
		m.state, m.has, m.pods = v1.FeedbackProgressing, row.Revision, row.Replicas
		if s.fails(m) && name != "b" { // Where there is room, the pods of before stay.
			m.ready = 0
		}
	}
}

func (s *small) works(name string) {
	m := s.members[name]
	m.state, m.ready, m.reported, m.changes = v1.FeedbackReady, m.pods, false, s.now
}

func (s *small) hear(name string) {
	m := s.members[name]
	m.reported = true
	s.reports[name] = aggregate.Report{Decision: m.told, Feedback: v1.Feedback{
		State: m.state, AppliedHash: m.has, Replicas: m.pods, ReadyReplicas: m.ready, Reason: v1.ReasonPodsNotReady, Message: "not ready",
	}}
}

// faults are what may go wrong, once, and how it is mended.
func (s *small) faults() (all []act) {
	add := func(name string, then func(*small)) {
		all = append(all, act{name, fault, func(s *small) { s.fault = name; then(s) }})
	}
	edit := func(revision string, bad ...string) {
		add(strings.Join(append([]string{"edit to", revision, "bad on"}, bad...), " "), func(s *small) {
			s.revision, s.generation, s.bad = revision, 3, maps.Clone(s.bad)
			s.bad[revision] = bad
		})
	}
	if name, silent := strings.CutSuffix(s.fault, fallsSilent); silent {
		add(name+" answers again", func(s *small) {
			for _, name := range strings.Fields(name) {
				s.members[name].silent, s.members[name].reported = false, false
			}
		})
	}
	if name, broken := strings.CutSuffix(s.fault, breaksDown); broken {
		add(name+" is mended", func(*small) {})
	}
	if s.fault == slow || strings.HasPrefix(s.fault, "B is bad") {
		edit("A")
		edit("C")
		if s.status.Phase == v1.RolloutPaused && len(s.answers) == 0 {
			all = append(all, act{"a person accepts it", fault, func(s *small) { s.answers = []string{s.status.Asks} }})
		}
	}
	if s.fault != "" {
		return all
	}
	for _, name := range s.names() {
		add(name+fallsSilent, func(s *small) { s.members[name].silent = true })
		add(name+breaksDown, func(s *small) {
			m := s.members[name]
			m.state, m.ready, m.reported = v1.FeedbackProgressing, 0, false
		})
		add(name+" is no longer chosen", func(s *small) { s.members[name].placed = false })
	}
	if s.setting.concurrent > 0 {
		add("b c"+fallsSilent, func(s *small) { s.members["b"].silent, s.members["c"].silent = true, true })
	}
	for _, name := range []string{"d", "z"} { // of the rest, and of the canary
		add(name+" joins", func(s *small) { s.members[name] = &cluster{name: name, placed: true, changes: s.now} })
	}
	edit("A")
	edit("C")
	edit("C", "a")
	edit("C", "b")
	return all
}

// pass is one of the hub, which is recorded. It says which rule was broken, and when time
// alone brings news.
func (s *small) pass() (wake time.Time, problem string) {
	in, now := s.state(), metav1.NewTime(s.now)
	next := Next(in, now)
	for _, row := range in.Rollout.Observed {
		known := row.State == v1.PlacementReady && row.Updated && in.Rollout.Heard(row.Cluster)
		if known && !strings.HasSuffix(s.been[row.Cluster], row.Revision) {
			s.been[row.Cluster] += row.Revision
		}
	}
	rows, _ := aggregate.Rows(aggregate.Observation{Persisted: s.rows, Next: next.Rows, Reports: s.reports, Members: s.reach()}, now)
	for _, rule := range []func(State, Result) string{s.laws, s.budget, s.goesBack, s.proof, s.joins} {
		if problem = rule(in, next); problem != "" {
			return wake, problem
		}
	}
	s.rows, s.status = stored(rows), next.Status
	return next.Wake, ""
}

// laws are those of all stories.
func (s *small) laws(in State, next Result) string {
	worked := map[string]string{}
	for name, revisions := range s.been {
		for _, r := range revisions {
			worked[name+"/"+string(r)] = "yes"
		}
	}
	return broken(in, next, metav1.NewTime(s.now), worked)
}

// moved are the members that are told another revision than before.
func (s *small) moved(next Result) (names []string) {
	for _, r := range next.Rows {
		if was := s.row(r.Cluster); was != nil && was.IsPlaced() && r.IsPlaced() && was.Revision != r.Revision {
			names = append(names, r.Cluster)
		}
	}
	return names
}

// fine is true for a member whose app is ready and that answers, whatever the hub knows.
func (m *cluster) fine() bool { return m.state == v1.FeedbackReady && !m.silent }

// known is true for a member that has told this hub that it is ready with what it is told.
func (s *small) known(name string) bool {
	row, report := s.row(name), s.reports[name]
	return !s.members[name].silent && row != nil && report.Decision == row.Decision && report.State == v1.FeedbackReady
}

// budget: no member that is known to be ready is told another revision if too few would be
// ready then. What the revision may fail on counts no more. On the way back only those count
// that go back, and are not late.
func (s *small) budget(in State, next Result) string {
	risked, lost, together := 0, 0, 0
	moved := s.moved(next)
	back := next.Status.Phase == v1.RolloutRollingBack || next.Status.Phase == v1.RolloutRolledBack
	for _, r := range next.Rows {
		row, moves := s.row(r.Cluster), slices.Contains(moved, r.Cluster)
		if row == nil || !r.IsPlaced() || s.been[r.Cluster] == "" {
			continue
		}
		silent := unknown(in.Rollout.Observed, r.Cluster)
		switch known := s.known(r.Cluster); {
		case known && moves:
			risked++
		case known || s.tolerates(row, next.Status):
			continue
		case !back || moves && !silent || !silent && row.RevisionTime != nil && row.Revision != s.revision && !s.late(row):
			lost++
		}
		was := row.State == v1.PlacementReady && row.Updated && !moves // to a hub that is gone
		if r.Cluster != "a" && r.Cluster != "z" && r.Revision == s.revision && !silent && !was {
			together++
		}
	}
	switch limit := int(s.setting.concurrent); {
	case risked == 0:
	case risked+lost > int(s.setting.most):
		return fmt.Sprintf("%d are updated and %d are not ready, of %d", risked, lost, s.setting.most)
	case limit > 0 && together > limit && !slices.Equal(moved, []string{"a"}):
		return fmt.Sprintf("%d members of the rest are updated at once", together)
	}
	return ""
}

// tolerates is true for a member on which the revision may fail, and has had time to.
func (s *small) tolerates(row *v1.PlacementRow, status *v1.RolloutStatus) bool {
	may := (s.setting.onFailure == v1.RolloutContinue || status.StableRevision == s.revision) && s.late(row) || slices.Contains(status.AcceptedFailures, row.Cluster)
	return may && row.Revision == s.revision
}

// late is true for a member that has had time enough since it was told what it has.
func (s *small) late(row *v1.PlacementRow) bool {
	return row.RevisionTime != nil && s.now.Sub(latest(row.RevisionTime.Time, s.since)) >= lasts*time.Second
}

// unknown is true for a member that the hub has not heard of since it fell silent.
func unknown(rows []v1.PlacementRow, name string) bool {
	return slices.ContainsFunc(rows, func(r v1.PlacementRow) bool { return r.Cluster == name && r.State == v1.PlacementUnknown })
}

// goesBack: only those go back that have a revision which has failed, or which is no longer
// wanted and has not become ready there in time, each to the last one
// that was ready there, and nobody gets the failed one again.
func (s *small) goesBack(_ State, next Result) string {
	failed := func(revision string) bool { return slices.Contains(next.Status.FailedRevisions, revision) }
	for _, name := range s.moved(next) {
		i := slices.IndexFunc(next.Rows, func(r v1.PlacementRow) bool { return r.Cluster == name })
		was, is := s.row(name).Revision, next.Rows[i].Revision
		if failed(is) {
			return fmt.Sprintf("%s gets %s, which has failed", name, is)
		}
		if is == s.revision {
			continue
		}
		if !failed(was) && (s.known(name) || !s.late(s.row(name))) {
			return fmt.Sprintf("%s loses %s, which has not failed", name, was)
		}
		want := next.Status.StableRevision
		for _, r := range s.been[name] {
			if !failed(string(r)) {
				want = string(r)
			}
		}
		if is != want {
			return fmt.Sprintf("%s goes back to %s and not to %s", name, is, want)
		}
	}
	return ""
}

// proof: the canary ends once it is ready on all its members that answer, and on one at
// least, and after its soak.
func (s *small) proof(in State, next Result) string {
	steps := in.Rollout.Rules.divide([]member{{name: "a"}}, s.revision, s.generation)
	done := func(r *v1.RolloutStatus) bool {
		return r.Revision == s.revision && (r.Phase == v1.RolloutCompleted || slices.Contains(r.CompletedSteps, steps[0].hash))
	}
	if !done(next.Status) || done(s.status) || s.status.StableRevision == s.revision {
		return ""
	}
	all, good := 0, 0
	for _, name := range []string{"a", "z"} {
		m, row := s.members[name], s.row(name)
		if m == nil || row == nil || !m.placed {
			continue
		}
		all++
		broke := strings.HasPrefix(s.fault, "a breaks") || strings.HasPrefix(s.fault, "a is mended")
		switch {
		case unknown(in.Rollout.Observed, name):
			continue
		case m.has != s.revision && s.fault != slow || !s.known(name) && !s.tolerates(row, next.Status) && !slices.Contains(s.status.FailedClusters, name):
			return name + " has proved nothing yet"
		case name == "a" && m.fine() && !broke && !s.tolerates(row, next.Status) && s.now.Sub(m.changes) < time.Duration(s.setting.soak)*time.Second:
			return "the soak is not over"
		}
		good++
	}
	if all > 0 && good == 0 {
		return "nobody has proved anything"
	}
	return ""
}

// joins: who is new gets what its step has reached.
func (s *small) joins(in State, next Result) string {
	for _, r := range next.Rows {
		if s.row(r.Cluster) != nil || !r.IsPlaced() {
			continue
		}
		steps := in.Rollout.Rules.divide([]member{{name: "a"}, {name: "b"}}, s.revision, s.generation)
		st := next.Status
		first := slices.Contains(st.CompletedSteps, steps[0].hash)
		is := st.CurrentStep
		want := st.StableRevision
		switch {
		case st.Phase == v1.RolloutRollingBack || st.Phase == v1.RolloutRolledBack:
		case st.Phase == v1.RolloutPaused && !(first && r.Cluster == "z"):
		case st.Phase == v1.RolloutCompleted, first, r.Cluster == "z" && is != nil && is.Hash == steps[0].hash:
			want = s.revision
		}
		if r.Revision != want {
			return fmt.Sprintf("%s joins with %s and not with %s", r.Cluster, r.Revision, want)
		}
	}
	return ""
}

// ends says what is wrong with a state in which nobody has anything to do.
func (s *small) ends() string {
	somebody, down, failed := false, false, len(s.bad[s.revision]) > 0 || s.fault == slow || strings.HasSuffix(s.fault, breaksDown) || strings.HasSuffix(s.fault, " is mended")
	for _, m := range s.members {
		somebody = somebody || m.silent || s.fault == m.name+breaksDown
		down = down || m.placed && s.fails(m)
	}
	st := s.status
	switch {
	case st.Phase == v1.RolloutCompleted:
		for _, r := range s.rows {
			if m := s.members[r.Cluster]; !m.silent && m.placed && (m.has != s.revision || !m.fine() && !s.fails(m)) {
				return m.name + " is left behind"
			}
		}
	case st.Phase == v1.RolloutRolledBack && s.setting.onFailure == v1.RolloutRollback && failed:
		for _, r := range s.rows {
			if m := s.members[r.Cluster]; !m.silent && (m.has == s.revision || r.Revision == s.revision) {
				return m.name + " keeps what has failed"
			}
		}
	case st.Phase == v1.RolloutPaused && st.Asks != "" && s.setting.onFailure == v1.RolloutPause && failed:
	case st.Phase == v1.RolloutProgressing && somebody && st.Reason == v1.ReasonAwaitingMembers:
	case st.Phase == v1.RolloutProgressing && (somebody || down) && st.Reason == v1.ReasonMaxUnavailable:
	default:
		return "nobody can do anything, and it is no end"
	}
	return ""
}

// node is a state that was reached, and what follows.
type node struct {
	state  *small // nil once all that follows is known
	from   int
	by     string
	next   []int // by work and by time
	killed int
	ends   uint64 // one bit for each way in which it can end
}

// search goes through the small world.
type search struct {
	t     *testing.T
	nodes []node
	known map[string]int
	ways  map[string]int
	steps int
}

func (x *search) add(s *small, from int, by string) int {
	key := s.key()
	i, known := x.known[key]
	if !known {
		i = len(x.nodes)
		x.known[key] = i
		x.nodes = append(x.nodes, node{state: s, from: from, by: by})
	}
	return i
}

// story is how a state was reached.
func (x *search) story(i int) string {
	var all []string
	for ; i >= 0; i = x.nodes[i].from {
		all = append(all, x.nodes[i].by)
	}
	slices.Reverse(all)
	return strings.Join(all, "\n")
}

// expand finds all that can follow a state.
func (x *search) expand(i int) {
	s := x.nodes[i].state
	x.nodes[i].state = nil
	after := s.clone()
	wake, problem := after.pass()
	if problem != "" {
		x.t.Fatalf("%s\n%s\nthe hub makes a pass: %s", problem, x.story(i), after.end())
	}
	x.steps++
	busy := false
	if to := x.add(after, i, "the hub makes a pass: "+after.end()); to != i {
		busy = true
		x.nodes[i].next = append(x.nodes[i].next, to)
	}
	acts := s.acts()
	for _, a := range acts {
		busy = busy || a.kind == work
	}
	switch passes := wake.Sub(s.now); {
	case wake.IsZero():
	case !busy:
		busy = true
		acts = append(acts, act{"time passes: " + passes.String(), clock, func(s *small) { s.age(passes) }})
	case s.fault == "" && s.setting.most == 1:
		acts = append(acts, act{slow + ": " + passes.String(), fault, func(s *small) { s.fault = slow; s.age(passes) }})
	}
	for _, a := range acts {
		c := s.clone()
		a.do(c)
		x.steps++
		switch to := x.add(c, i, a.name); a.kind {
		case kills:
			x.nodes[i].killed = to
		case work, clock:
			x.nodes[i].next = append(x.nodes[i].next, to)
		case fault:
		}
	}
	if busy {
		return
	}
	if problem := s.ends(); problem != "" {
		x.t.Fatalf("%s\n%s\n%s", problem, x.story(i), s.end())
	}
	way := s.end()
	if s.status.Phase == v1.RolloutPaused { // Of two that may be next, the one that is heard first is.
		way = string(s.status.Phase)
	}
	if _, known := x.ways[way]; !known {
		x.ways[way] = len(x.ways)
	}
	x.nodes[i].ends = 1 << x.ways[way]
}

// back finds for each state in which ways it can end if nothing more goes wrong.
func (x *search) back() {
	if len(x.ways) > 64 {
		x.t.Fatalf("%d ways to end", len(x.ways))
	}
	for changed := true; changed; {
		changed = false
		for i := range slices.Backward(x.nodes) {
			n := &x.nodes[i]
			was := n.ends
			for _, to := range n.next {
				n.ends |= x.nodes[to].ends
			}
			changed = changed || n.ends != was
		}
	}
}

// settings are those of the search; the first ones are enough for a short one.
var settings = []setting{
	{onFailure: v1.RolloutRollback, most: 1},
	{onFailure: v1.RolloutRollback, most: 2, concurrent: 1, soak: 30},
	{onFailure: v1.RolloutPause, most: 1, soak: 30},
	{onFailure: v1.RolloutContinue, most: 1},
	{onFailure: v1.RolloutRollback, most: 2},
	{onFailure: v1.RolloutPause, most: 2, concurrent: 1},
	{onFailure: v1.RolloutContinue, most: 2, concurrent: 1, soak: 30},
}

// TestModel searches a small world for all that can happen in it: a canary and two others,
// and one fault. In every state each can act next: the hub, which is also killed, the members,
// and time. Every pass keeps the rules, every state can come to an end, and a kill opens no
// other end.
func TestModel(t *testing.T) {
	for i, set := range settings {
		if testing.Short() && i >= 4 {
			break
		}
		t.Run(set.String(), func(t *testing.T) {
			x := &search{t: t, known: map[string]int{}, ways: map[string]int{}}
			for _, s := range begins(t, set) {
				x.add(s, -1, "B is wanted. "+s.fault)
			}
			for i := 0; i < len(x.nodes); i++ {
				x.expand(i)
			}
			x.back()
			for i := range x.nodes {
				n := &x.nodes[i]
				if n.ends == 0 {
					t.Fatalf("it can come to no end:\n%s", x.story(i))
				}
				if killed := x.nodes[n.killed].ends; killed&^n.ends != 0 {
					t.Fatalf("a kill opens another end:\n%s", x.story(n.killed))
				}
			}
			t.Logf("%d states, %d transitions, %d ends", len(x.nodes), x.steps, len(x.ways))
		})
	}
}

package placement

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

func memberOf(in Input, name string) *Member {
	i := slices.IndexFunc(in.Members, func(m Member) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &in.Members[i]
}

func rowOf(in Input, name string) *v1.PlacementRow {
	i := slices.IndexFunc(in.Rows, func(r v1.PlacementRow) bool { return r.Cluster == name })
	if i < 0 {
		return nil
	}
	return &in.Rows[i]
}

// hasApp is true if the app is on a member and is not being removed.
func hasApp(r *v1.PlacementRow) bool { return r != nil && has(r) }

// TestFleetVerdicts: exactly one verdict for each member, with a reason, whatever the
// order of members and rows.
func TestFleetVerdicts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := world(t)
		r := Schedule(in)
		var got, want []string
		for _, v := range r.Verdicts {
			got = append(got, v.Cluster)
			if v.Outcome == "" || v.Reason == "" || v.Message == "" {
				t.Fatalf("a decision without a reason: %+v", v)
			}
			there := rowOf(in, v.Cluster) != nil
			if there && v.Outcome == Reject || !there && v.Outcome != Run && v.Outcome != Reject {
				t.Fatalf("%+v says nothing about a member with a row: %v", v, there)
			}
		}
		for _, m := range in.Members {
			want = append(want, m.Name)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("verdicts about %v, members are %v", got, want)
		}
		other := in
		other.Members, other.Rows = slices.Clone(in.Members), slices.Clone(in.Rows)
		slices.Reverse(other.Members)
		slices.Reverse(other.Rows)
		if diff := cmp.Diff(r, Schedule(other)); diff != "" {
			t.Fatalf("-one order +another:\n%s", diff)
		}
	})
}

// TestFleetConstraints: who gets the app may have it, no more members than asked for have
// it, and they are spread as asked for.
func TestFleetConstraints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := world(t)
		r := Schedule(in)
		running, keeping := 0, 0
		for _, v := range r.Verdicts {
			row, m := rowOf(in, v.Cluster), memberOf(in, v.Cluster)
			switch {
			case v.Outcome == Keep && hasApp(row) && v.Reason != v1.ReasonAwaitingAck:
				keeping++
			case v.Outcome == Run:
				running++
				mayRun(t, in, m, row)
			}
		}
		n := in.Rules.number
		if r.Question.Reason == v1.ReasonAwaitingAck {
			return // nothing changes
		}
		if n > 0 && running > max(0, n-keeping) {
			t.Fatalf("%d run and %d keep it, %d are asked for", running, keeping, n)
		}
		spreadHolds(t, in, r)
	})
}

// mayRun holds what each filter says against a member that is to run the app.
func mayRun(t *rapid.T, in Input, m *Member, row *v1.PlacementRow) {
	switch {
	case m == nil || !m.Accepted || m.Leaving != "":
		t.Fatalf("nothing may be placed on %+v", m)
	case !in.Rules.selector.Matches(labels.Set(m.Labels)):
		t.Fatalf("%v do not match", m.Labels)
	case in.Rules.names != nil && !slices.Contains(in.Rules.names, m.Name):
		t.Fatalf("%s is not listed", m.Name)
	case len(in.Rules.groups) > 0 && in.Rules.groupOf(m) < 0:
		t.Fatalf("%s is in no group", m.Name)
	}
	if hasApp(row) {
		return
	}
	for _, taint := range m.Taints {
		tolerated := slices.ContainsFunc(in.Rules.tolerations, func(is v1.Toleration) bool {
			return (is.Key == "" || is.Key == taint.Key) && (is.Effect == "" || is.Effect == taint.Effect)
		})
		if taint.Effect != v1.TaintPreferNoSchedule && !tolerated && taint.Key != v1.TaintUnreachable {
			t.Fatalf("%s is new and has %+v", m.Name, taint)
		}
	}
	if row != nil {
		return // objects of it are there already
	}
	if !m.Ready {
		t.Fatalf("%s is new and does not answer", m.Name)
	}
	for _, api := range in.Needs {
		if m.APIs != nil && !slices.Contains(m.APIs, api) {
			t.Fatalf("%s is new and does not serve %s", m.Name, api)
		}
	}
	if pods := in.atLeast(m.Name); m.Free != nil &&
		(m.Free.Pods < pods || m.Free.CPUMillis < pods*in.Pod.CPUMillis || m.Free.MemoryMiB < pods*in.Pod.MemoryMiB) {
		t.Fatalf("%s is new and has no room for %d pods: %+v", m.Name, pods, m.Free)
	}
}

// spreadHolds counts domains anew. Which members are left to choose follows from why they
// were not chosen.
func spreadHolds(t *rapid.T, in Input, r Result) {
	if in.Rules.divided && slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return v.Reason == v1.ReasonStray }) {
		return // a stray that was chosen, and for which no pod is left, is only kept
	}
	for _, s := range in.Rules.spread {
		if s.WhenUnsatisfiable == v1.ScheduleAnyway || len(in.Rules.groups) > 0 {
			continue // what is left to choose in an earlier group is not known here
		}
		chosen, left := map[string]int{}, map[string]bool{}
		for _, v := range r.Verdicts {
			m := memberOf(in, v.Cluster)
			domain := m.Labels[s.TopologyKey]
			switch {
			case v.Outcome == Run || v.Reason == v1.ReasonNoReplicas:
				chosen[domain]++
			case v.Reason == v1.ReasonNotNeeded || v.Reason == v1.ReasonEvicted && !hasApp(rowOf(in, v.Cluster)):
				left[domain] = true
			case v.Reason == v1.ReasonEvicted && !slices.ContainsFunc(m.Taints, func(taint Taint) bool { return taint.Key != v1.TaintUnreachable }):
				left[domain] = true // who does not answer is left only for another
			}
		}
		fewest := math.MaxInt
		for domain := range left {
			fewest = min(fewest, chosen[domain])
		}
		if len(chosen) < int(value(s.MinDomains, 1)) {
			fewest = 0
		}
		if fewest == math.MaxInt {
			continue
		}
		for domain, n := range chosen {
			if n > fewest+int(s.MaxSkew) {
				t.Fatalf("%s has %d, more than %d above %d: %v, left %v", domain, n, s.MaxSkew, fewest, chosen, left)
			}
		}
	}
}

// TestFleetReplicas: divided replicas add up exactly, within the bounds of each member.
func TestFleetReplicas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := world(t)
		in.Rules.failover.graceSeconds = 0 // nobody keeps pods for others
		r := Schedule(in)
		if !in.Rules.divided || r.Question.Reason == v1.ReasonAwaitingAck {
			return
		}
		sum, kept, running := int64(r.Unplaced), int64(0), 0
		for _, v := range r.Verdicts {
			row := rowOf(in, v.Cluster)
			switch {
			case v.Outcome == Keep && hasApp(row):
				kept += int64(row.Replicas)
			case v.Outcome == Run:
				running++
				sum += int64(v.Replicas)
				if v.Replicas > 0 && v.Replicas < in.Rules.min && !hasApp(row) || in.Rules.max > 0 && v.Replicas > in.Rules.max {
					t.Fatalf("%+v: bounds are %d and %d", v, in.Rules.min, in.Rules.max)
				}
				if v.Replicas == 0 && !hasApp(row) && in.Replicas > 0 && int64(in.Replicas) > kept {
					if want := max(0, int64(in.Replicas)-keptIn(in, r)); want > 0 {
						t.Fatalf("%+v is new and runs nothing of %d", v, want)
					}
				}
			}
		}
		if want := max(0, int64(in.Replicas)-kept); running > 0 && sum != want {
			t.Fatalf("%d replicas are divided, of %d, of which %d do not fit", sum, want, r.Unplaced)
		}
	})
}

func keptIn(in Input, r Result) (kept int64) {
	for _, v := range r.Verdicts {
		if row := rowOf(in, v.Cluster); v.Outcome == Keep && hasApp(row) {
			kept += int64(row.Replicas)
		}
	}
	return kept
}

// where are the members that run the app, and with how many pods.
func where(r Result) map[string]int32 {
	is := map[string]int32{}
	for _, v := range r.Verdicts {
		if v.Outcome == Run {
			is[v.Cluster] = v.Replicas
		}
	}
	return is
}

// TestFleetIsStable: what is carried out is decided again.
func TestFleetIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, r := settle(t, world(t))
		again := Schedule(in)
		if diff := cmp.Diff(where(r), where(again)); diff != "" {
			t.Fatalf("-once +again:\n%s", diff)
		}
		for _, v := range again.Verdicts {
			if v.Outcome == Leave && !again.CutOff {
				t.Fatalf("%+v although all is done", v)
			}
		}
	})
}

// TestFleetLosesOne: when one member may not run the app any more, the others keep what
// they have, and what they get more is no more than it had.
func TestFleetLosesOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, r := settle(t, world(t))
		before := where(r)
		if len(before) == 0 || len(in.Rules.spread) > 0 {
			return
		}
		unplaced, cutOff := r.Unplaced, r.CutOff
		lost := slices.Sorted(keys(before))[rapid.IntRange(0, len(before)-1).Draw(t, "which")]
		in.Members = slices.Clone(in.Members)
		memberOf(in, lost).Leaving = v1.LeaveRemove
		_, r = settle(t, in)
		if r.CutOff != cutOff {
			return // without that one most of the others answer: now they may be left, too
		}
		after := where(r)
		more := int32(0)
		for name, had := range before {
			if name == lost {
				continue
			}
			has, still := after[name]
			if !still && len(in.Rules.groups) == 0 {
				t.Fatalf("%s loses the app because %s does: %v, then %v", name, lost, before, after)
			}
			// Who takes over may weigh more.
			if in.Rules.divided && has < had && len(in.Rules.groups) == 0 && len(in.Rules.weights) == 0 {
				t.Fatalf("%s loses %d pods because %s does: %v, then %v", name, had-has, lost, before, after)
			}
			more += max(0, has-had)
		}
		if in.Rules.divided && len(in.Rules.groups) == 0 && len(in.Rules.weights) == 0 && more > before[lost]+unplaced {
			t.Fatalf("%d pods move, and %s had %d: %v, then %v", more, lost, before[lost], before, after)
		}
	})
}

// TestFleetGainsOne: a member that comes takes at most its fair share, and everybody else
// stays.
func TestFleetGainsOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := world(t)
		if len(in.Rules.spread) > 0 || len(in.Rules.groups) > 0 {
			return
		}
		in, r := settle(t, in)
		before := where(r)
		if slices.ContainsFunc(r.Verdicts, func(v Verdict) bool { return v.Outcome == Run && !memberOf(in, v.Cluster).Ready }) {
			return // the new one may take over from one that is silent
		}
		const added = "new"
		in.Members = append(slices.Clone(in.Members), Member{
			Name: added, Accepted: true, Ready: true, Labels: map[string]string{"region": "eu", "zone": "a", "tier": "gold"},
			Allocatable: &v1.Amounts{CPUMillis: 64_000, MemoryMiB: 256_000, Pods: 440}, Free: &v1.Amounts{CPUMillis: 64_000, MemoryMiB: 256_000, Pods: 440},
		})
		in.Numbers[added] = in.Replicas
		_, r = settle(t, in)
		after := where(r)
		moved := int32(0)
		for name, had := range before {
			has, still := after[name]
			if !still {
				t.Fatalf("%s loses the app because %s comes: %v, then %v", name, added, before, after)
			}
			if in.Rules.divided && has > had && r.Unplaced == 0 {
				t.Fatalf("%s gets more because another comes: %v, then %v", name, before, after)
			}
			moved += max(0, had-has)
		}
		if in.Rules.divided && moved > after[added] {
			t.Fatalf("%d pods move, and %s has %d: %v, then %v", moved, added, after[added], before, after)
		}
	})
}

// TestFleetExplains: the changes that are said to make a member run the app do so, and
// none of them can be left out.
func TestFleetExplains(t *testing.T) {
	helped := 0
	rapid.Check(t, func(t *rapid.T) {
		in := world(t)
		if len(in.Members) == 0 {
			return
		}
		name := in.Members[rapid.IntRange(0, len(in.Members)-1).Draw(t, "which")].Name
		e, ok := Explain(in, name)
		if !ok {
			t.Fatalf("%s is not explained", name)
		}
		if e.Outcome != Run && len(e.Changes) == 0 && e.Otherwise == "" {
			t.Fatalf("nothing is said of %+v", e.Verdict)
		}
		if len(e.Changes) == 0 {
			return
		}
		helped++
		what := trial{in: in, cluster: name}
		v := e.Verdict
		for n, said := range e.Changes {
			if v.Outcome == Run {
				t.Fatalf("%q is not needed: %v", said, e.Changes)
			}
			was := v
			got, ok := what.change(&v)
			if !ok || got != said {
				t.Fatalf("change %d is %q, not %q", n, got, said)
			}
			if v = what.verdict(); v.Outcome == was.Outcome && v.Reason == was.Reason && v.Message == was.Message {
				t.Fatalf("%q does not alter %+v", said, was)
			}
		}
		if v.Outcome != Run {
			t.Fatalf("after %v: %+v", e.Changes, v)
		}
	})
	if helped == 0 {
		t.Fatal("nothing was ever suggested")
	}
}

// TestApportion holds the quick division against the slow one: one pod after the other.
func TestApportion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.Int32Range(0, 300).Draw(t, "total")
		var shares []share
		for i := range rapid.IntRange(0, 30).Draw(t, "shares") {
			s := share{
				weight: rapid.Int64Range(0, 5).Draw(t, fmt.Sprint("weight ", i)), hash: uint64(i),
				least: rapid.Int32Range(0, 3).Draw(t, fmt.Sprint("least ", i)),
			}
			s.most = s.least + rapid.Int32Range(0, 40).Draw(t, fmt.Sprint("most ", i))
			shares = append(shares, s)
		}
		slow := slices.Clone(shares)
		left, want := apportion(total, shares), oneByOne(total, slow)
		if left != want {
			t.Fatalf("%d are left over, not %d", left, want)
		}
		for i := range shares {
			if shares[i].is != slow[i].is {
				t.Fatalf("share %d is %d, not %d: %+v", i, shares[i].is, slow[i].is, shares)
			}
		}
	})
}

func oneByOne(total int32, shares []share) int32 {
	for i := range shares {
		shares[i].is = min(shares[i].least, total)
		total -= shares[i].is
	}
	for ; total > 0; total-- {
		best := -1
		for i := range shares {
			s := &shares[i]
			if s.weight == 0 || s.is >= s.most {
				continue
			}
			if best < 0 || s.weight*int64(2*shares[best].is+1) > shares[best].weight*int64(2*s.is+1) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		shares[best].is++
	}
	return total
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

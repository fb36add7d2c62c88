package placement

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

// names are few, so that members and rows meet often.
var names = rapid.SampledFrom([]string{"eu-1", "eu-2", "us-1", "us-2", "ap-1", "ap-2"})

func genMember(t *rapid.T, name string) Member {
	return Member{
		Name:       name,
		Namespaces: rapid.SampledFrom([]labels.Selector{nil, nil, labels.Everything(), labels.SelectorFromSet(labels.Set{"team": "a"})}).Draw(t, name+" namespaces"),
		Leaving:    rapid.SampledFrom([]v1.LeavePolicy{"", "", "", v1.LeaveRemove, v1.LeaveOrphan, v1.LeaveForget}).Draw(t, name+" leaving"),
		Accepted:   rapid.Bool().Draw(t, name+" accepted"),
		Ready:      rapid.Bool().Draw(t, name+" ready"),
		Labels:     rapid.MapOf(rapid.SampledFrom([]string{"env", "region"}), rapid.SampledFrom([]string{"a", "b", ""})).Draw(t, name+" labels"),
	}
}

func genPlacement() *rapid.Generator[*v1.Placement] {
	value := rapid.Custom(func(t *rapid.T) v1.LabelValue {
		return v1.LabelValue(rapid.SampledFrom([]string{"a", "b", "not valid!"}).Draw(t, "value"))
	})
	requirement := rapid.Custom(func(t *rapid.T) v1.ClusterSelectorRequirement {
		return v1.ClusterSelectorRequirement{
			Key:      rapid.SampledFrom([]string{"env", "region"}).Draw(t, "key"),
			Operator: rapid.SampledFrom([]metav1.LabelSelectorOperator{"In", "NotIn", "Exists", "DoesNotExist", "Bad"}).Draw(t, "operator"),
			Values:   rapid.SliceOfN(value, 0, 2).Draw(t, "values"),
		}
	})
	return rapid.Custom(func(t *rapid.T) *v1.Placement {
		if rapid.Bool().Draw(t, "no placement") {
			return nil
		}
		return &v1.Placement{ClusterSelector: &v1.ClusterSelector{
			MatchLabels:      rapid.MapOfN(rapid.Just("env"), value, 0, 1).Draw(t, "matchLabels"),
			MatchExpressions: rapid.SliceOfN(requirement, 0, 2).Draw(t, "matchExpressions"),
		}}
	})
}

func genInput(t *rapid.T) Input {
	in := Input{
		Rules:     rules(genPlacement().Draw(t, "placement")),
		Namespace: rapid.SampledFrom([]labels.Set{nil, {}, {"team": "a"}, {"team": "b"}}).Draw(t, "namespace"),
		Deleting:  rapid.Bool().Draw(t, "deleting"),
		Paused:    rapid.Bool().Draw(t, "paused"),
		Invalid:   rapid.SampledFrom([]string{"", "", "spec.image: bad"}).Draw(t, "invalid"),
		Held:      rapid.SampledFrom([]string{"", "", "", "restored"}).Draw(t, "held"),
	}
	for _, name := range rapid.SliceOfDistinct(names, rapid.ID).Draw(t, "placed") {
		state := rapid.SampledFrom([]v1.PlacementState{v1.PlacementReady, v1.PlacementReady, v1.PlacementPending, v1.PlacementStray, v1.PlacementRemoving}).Draw(t, name+" state")
		in.Rows = append(in.Rows, v1.PlacementRow{Cluster: name, State: state})
	}
	for _, name := range rapid.SliceOfDistinct(names, rapid.ID).Draw(t, "members") {
		in.Members = append(in.Members, genMember(t, name))
	}
	return in
}

func placed(in Input) (names []string) {
	for _, r := range in.Rows {
		names = append(names, r.Cluster)
	}
	return names
}

func outcomes(r Result) map[string]Outcome {
	of := map[string]Outcome{}
	for _, v := range r.Verdicts {
		of[v.Cluster] = v.Outcome
	}
	return of
}

func TestOneVerdictEach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		want := placed(in)
		for _, m := range in.Members {
			want = append(want, m.Name)
		}
		slices.Sort(want)
		want = slices.Compact(want)
		var got []string
		for _, v := range Schedule(in).Verdicts {
			got = append(got, v.Cluster)
			if v.Reason == "" || v.Message == "" {
				t.Fatalf("a decision without a reason: %+v", v)
			}
			is := slices.Contains(placed(in), v.Cluster)
			if is && v.Outcome == Reject || !is && (v.Outcome == Keep || v.Outcome == Leave || v.Outcome == Remove) {
				t.Fatalf("%+v says nothing about a member with placed = %v", v, is)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("verdicts about %v, members and rows are %v", got, want)
		}
	})
}

func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		shuffled := in
		shuffled.Members = rapid.Permutation(in.Members).Draw(t, "members in another order")
		shuffled.Rows = rapid.Permutation(in.Rows).Draw(t, "rows in another order")
		if diff := cmp.Diff(Schedule(in), Schedule(shuffled)); diff != "" {
			t.Fatalf("-one order +another:\n%s", diff)
		}
	})
}

// TestAbsenceNeverRemoves is law 1: taking away knowledge, in any way, never
// adds a Remove.
func TestAbsenceNeverRemoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		in.Deleting = false
		less := in
		if rapid.Bool().Draw(t, "the namespace's labels vanish") {
			less.Namespace = nil
		}
		less.Members = nil
		for _, m := range in.Members {
			if !rapid.Bool().Draw(t, m.Name+" vanishes") {
				m.Ready = m.Ready && rapid.Bool().Draw(t, m.Name+" answers")
				less.Members = append(less.Members, m)
			}
		}
		before := outcomes(Schedule(in))
		for _, v := range Schedule(less).Verdicts {
			if v.Outcome == Remove && before[v.Cluster] != Remove && before[v.Cluster] != Leave {
				t.Fatalf("%s is removed only because something is missing: %+v", v.Cluster, v)
			}
			present := slices.ContainsFunc(less.Members, func(m Member) bool { return m.Name == v.Cluster })
			if v.Outcome == Remove && !present {
				t.Fatalf("%s is removed although its MemberCluster is missing", v.Cluster)
			}
		}
	})
}

// TestRemoveHasAPositiveReason: the only ways to lose the app.
func TestRemoveHasAPositiveReason(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		selector, err := in.Rules.selector, in.Rules.err
		for _, v := range Schedule(in).Verdicts {
			if v.Outcome != Remove || in.Deleting {
				continue
			}
			i := slices.IndexFunc(in.Members, func(m Member) bool { return m.Name == v.Cluster })
			forgotten := i >= 0 && in.Members[i].Leaving == v1.LeaveForget
			if in.Held == "" && forgotten {
				continue
			}
			if in.Held == "" && in.Invalid == "" && !in.Paused && err == nil && i >= 0 && (in.Members[i].Leaving != "" || v.Reason == v1.ReasonNamespaceNotAllowed) {
				if m := in.Members[i]; m.Leaving == "" && (in.Namespace == nil || m.Namespaces.Matches(in.Namespace)) {
					t.Fatalf("%+v: the namespace is %v, and the member allows %v", v, in.Namespace, m.Namespaces)
				}
				continue
			}
			if in.Held != "" || in.Invalid != "" || in.Paused || err != nil || i < 0 || slices.ContainsFunc(in.Rows, func(r v1.PlacementRow) bool { return r.Cluster == v.Cluster && r.State == v1.PlacementStray }) || selector.Matches(labels.Set(in.Members[i].Labels)) {
				t.Fatalf("%+v removes without an order", v)
			}
		}
	})
}

// TestWhatChangesNothing: a hub that holds, a spec that is not valid and a paused
// app leave every member as it is. Only what is forgotten goes all the same: nothing is
// changed on that member.
func TestWhatChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		why := rapid.SampledFrom([]string{"held", "invalid", "paused"}).Draw(t, "why")
		switch why {
		case "held":
			in.Held = "restored" // whether it is deleted or not
		case "invalid":
			in.Invalid, in.Deleting = "spec.image: bad", false
		case "paused":
			in.Paused, in.Deleting = true, false
		}
		for name, outcome := range outcomes(Schedule(in)) {
			if why != "held" && slices.ContainsFunc(in.Members, func(m Member) bool { return m.Name == name && m.Leaving == v1.LeaveForget }) {
				continue
			}
			if slices.Contains(placed(in), name) != (outcome == Keep) {
				t.Fatalf("%s, but %s is to %s", why, name, outcome)
			}
		}
	})
}

func TestDeletingRemovesEveryRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := genInput(t)
		in.Deleting, in.Held = true, ""
		for name, outcome := range outcomes(Schedule(in)) {
			if slices.Contains(placed(in), name) != (outcome == Remove) {
				t.Fatalf("deleted, but %s is to %s", name, outcome)
			}
		}
	})
}

// TestMessagesAreBounded: a summary over many members still fits a condition.
func TestMessagesAreBounded(t *testing.T) {
	in := Input{Rules: rules(nil)}
	for i := range 5000 {
		in.Members = append(in.Members, Member{Name: fmt.Sprintf("%s-%d", strings.Repeat("m", 50), i)})
	}
	if r := Schedule(in); len(r.Message) > 512 {
		t.Errorf("the summary has %d bytes", len(r.Message))
	}
}

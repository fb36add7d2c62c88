package placement

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
)

func byLabel(key, value string) *v1.Placement {
	return &v1.Placement{ClusterSelector: &v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{key: v1.LabelValue(value)}}}
}

// rules are those of a spec with nothing but a placement.
func rules(p *v1.Placement) *Rules { return RulesOf(&v1.MyAppSpec{Placement: p}) }

// schedule is Schedule, with rules that admit everything if the input has none.
func schedule(in Input) Result {
	if in.Rules == nil {
		in.Rules = rules(nil)
	}
	return Schedule(in)
}

// rows are rows in a state.
func rows(state v1.PlacementState, names ...string) []v1.PlacementRow {
	list := make([]v1.PlacementRow, 0, len(names))
	for _, name := range names {
		list = append(list, v1.PlacementRow{Cluster: name, State: state})
	}
	return list
}

var stray = rows(v1.PlacementStray, "m")

var invalid = rules(&v1.Placement{ClusterSelector: &v1.ClusterSelector{
	MatchExpressions: []v1.ClusterSelectorRequirement{{Key: "env", Operator: metav1.LabelSelectorOpIn}},
}})

// TestDecisionTable has a row for each line of Schedule's table, with and without
// a placed row, and for each pair of lines that overlap.
func TestDecisionTable(t *testing.T) {
	match := Member{Name: "m", Labels: map[string]string{"env": "prod"}, Accepted: true, Ready: true}
	other := Member{Name: "m", Labels: map[string]string{"env": "dev"}, Accepted: true, Ready: true}
	silent := match
	silent.Ready = false
	unaccepted, unacceptedOther := silent, other
	unaccepted.Accepted, unacceptedOther.Accepted = false, false
	leaving, forgotten := match, unaccepted
	leaving.Leaving, forgotten.Leaving = v1.LeaveRemove, v1.LeaveForget
	forTeamA := match
	forTeamA.Namespaces = labels.SelectorFromSet(labels.Set{"team": "a"})
	nobodyKnows := match
	nobodyKnows.NamespacesInvalid = "it is broken"
	silentOther := other
	silentOther.Ready = false
	prod := rules(byLabel("env", "prod"))

	for _, tt := range []struct {
		name, reason string
		in           Input
		placed       Outcome // with a row
		free         Outcome // without a row; "" if there is no verdict, "-" if that cannot be
		why          string
	}{
		{"match", "it matches and answers", Input{Rules: prod, Members: []Member{match}}, Run, Run, v1.ReasonPlaced},
		{"no placement", "the plain form goes to every ready member", Input{Members: []Member{other}}, Run, Run, v1.ReasonPlaced},
		{"no match", "known not to match: the one way to lose the app by placement", Input{Rules: prod, Members: []Member{other}}, Remove, Reject, v1.ReasonNotChosen},
		{"silent", "a silent member keeps its place, and gets the current spec once it answers; a new one is not chosen", Input{Rules: prod, Members: []Member{silent}}, Run, Reject, v1.ReasonNoneReady},
		{"silent, no match", "labels are the hub's own knowledge: silence does not matter", Input{Rules: prod, Members: []Member{silentOther}}, Remove, Reject, v1.ReasonNotChosen},
		{"not accepted", "it keeps what it has, and gets nothing", Input{Rules: prod, Members: []Member{unaccepted}}, Keep, Reject, v1.ReasonNotAccepted},
		{"not accepted, no match", "labels are the hub's own knowledge here, too", Input{Rules: prod, Members: []Member{unacceptedOther}}, Remove, Reject, v1.ReasonNotChosen},
		{"namespace allowed", "it is among those that the member allows", Input{Rules: prod, Namespace: labels.Set{"team": "a"}, Members: []Member{forTeamA}}, Run, Run, v1.ReasonPlaced},
		{"namespace not allowed", "known not to be among them", Input{Rules: prod, Namespace: labels.Set{"team": "b"}, Members: []Member{forTeamA}}, Remove, Reject, v1.ReasonNamespaceNotAllowed},
		{"namespace without labels", "it has none of those that are asked for", Input{Rules: prod, Namespace: labels.Set{}, Members: []Member{forTeamA}}, Remove, Reject, v1.ReasonNamespaceNotAllowed},
		{"namespace not known", "absence removes nothing (law 1)", Input{Rules: prod, Members: []Member{forTeamA}}, Keep, Reject, v1.ReasonNamespaceNotAllowed},
		{"leaving", "a person says that apps leave it", Input{Rules: prod, Members: []Member{leaving}}, Remove, Reject, v1.ReasonMemberLeaving},
		{"allowed namespaces invalid", "nobody has said that it is not allowed", Input{Rules: prod, Namespace: labels.Set{"team": "b"}, Members: []Member{nobodyKnows}}, Keep, Reject, v1.ReasonNamespaceNotAllowed},
		{"leaving, stray", "so do objects that nobody decided about", Input{Rules: prod, Members: []Member{leaving}, Rows: stray}, Remove, "-", v1.ReasonMemberLeaving},
		{"leaving, paused", "nothing changes for an app that is paused", Input{Paused: true, Members: []Member{leaving}}, Keep, Reject, v1.ReasonPaused},
		{"leaving, held", "nor while the hub is held", Input{Held: "x", Members: []Member{leaving}}, Keep, Reject, v1.ReasonHubRestored},
		{"forgotten, paused", "nothing is changed on a member that is forgotten", Input{Paused: true, Members: []Member{forgotten}}, Remove, Reject, v1.ReasonMemberLeaving},
		{"forgotten, invalid", "the same", Input{Invalid: "x", Members: []Member{forgotten}}, Remove, Reject, v1.ReasonMemberLeaving},
		{"forgotten, selector invalid", "the same", Input{Rules: invalid, Members: []Member{forgotten}}, Remove, Reject, v1.ReasonMemberLeaving},
		{"forgotten, held", "who holds may be the past of a hub that never forgot", Input{Held: "x", Members: []Member{forgotten}}, Keep, Reject, v1.ReasonHubRestored},
		{"gone", "a missing MemberCluster removes nothing (law 1)", Input{Rules: prod}, Keep, "", v1.ReasonMemberGone},
		{"invalid", "a selector that cannot be understood chooses and removes nothing", Input{Rules: invalid, Members: []Member{match}}, Keep, Reject, v1.ReasonSelectorInvalid},
		{"invalid, gone", "the missing MemberCluster is the nearer trouble", Input{Rules: invalid}, Keep, "", v1.ReasonMemberGone},
		{"stray, no match", "nobody decided to put it there, so nobody decides that it leaves", Input{Rules: prod, Members: []Member{other}, Rows: stray}, Keep, "-", v1.ReasonStray},
		{"stray, match", "a decision takes the objects over", Input{Rules: prod, Members: []Member{match}, Rows: stray}, Run, "-", v1.ReasonPlaced},
		{"stray, deleted", "an explicit deletion removes strays too", Input{Deleting: true, Members: []Member{other}, Rows: stray}, Remove, "-", v1.ReasonDeleting},
		{"paused", "nothing changes", Input{Paused: true, Members: []Member{match}}, Keep, Reject, v1.ReasonPaused},
		{"paused, no match", "not even what should leave", Input{Rules: prod, Paused: true, Members: []Member{other}}, Keep, Reject, v1.ReasonPaused},
		{"spec invalid", "what was admitted by mistake changes nothing", Input{Invalid: "bad", Members: []Member{match}}, Keep, Reject, v1.ReasonSpecInvalid},
		{"spec invalid, no match", "not even what should leave", Input{Rules: prod, Invalid: "bad", Members: []Member{other}}, Keep, Reject, v1.ReasonSpecInvalid},
		{"spec invalid, paused", "the mistake has to be mended first", Input{Invalid: "bad", Paused: true, Members: []Member{match}}, Keep, Reject, v1.ReasonSpecInvalid},
		{"deleted, spec invalid", "deleting works although the spec is not valid", Input{Deleting: true, Invalid: "bad", Members: []Member{match}}, Remove, Reject, v1.ReasonDeleting},
		{"held", "a hub that is older than its members changes nothing", Input{Held: "restored", Members: []Member{match}}, Keep, Reject, v1.ReasonHubRestored},
		{"held, deleted", "not even a deletion counts: it may be older than what members have", Input{Held: "restored", Deleting: true, Members: []Member{match}}, Keep, Reject, v1.ReasonHubRestored},
		{"held, gone", "nor anything else", Input{Held: "restored", Paused: true, Invalid: "bad"}, Keep, "", v1.ReasonHubRestored},
		{"deleted", "a deletion is a positive order", Input{Deleting: true, Members: []Member{match}}, Remove, Reject, v1.ReasonDeleting},
		{"deleted, paused", "deleting works although the app is paused", Input{Deleting: true, Paused: true, Members: []Member{match}}, Remove, Reject, v1.ReasonDeleting},
		{"deleted, gone", "the order stands; the row waits for the member", Input{Deleting: true}, Remove, "", v1.ReasonDeleting},
		{"deleted, invalid", "the selector does not matter any more", Input{Deleting: true, Rules: invalid, Members: []Member{match}}, Remove, Reject, v1.ReasonDeleting},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check := func(placed []string, want Outcome) {
				in := tt.in
				state := v1.PlacementReady
				if len(in.Rows) > 0 {
					state = in.Rows[0].State
				}
				in.Rows = rows(state, placed...)
				got := schedule(in).Verdicts
				if want == "" {
					if len(got) != 0 {
						t.Errorf("%s: verdict %v about a member that is neither there nor placed", tt.reason, got)
					}
					return
				}
				if len(got) != 1 || got[0].Outcome != want || got[0].Reason != tt.why {
					t.Errorf("%s: placed %v: got %+v, want %s because of %s", tt.reason, placed, got, want, tt.why)
				}
				if len(got) == 1 && got[0].Message == "" {
					t.Errorf("a decision needs a message: %+v", got[0])
				}
			}
			check([]string{"m"}, tt.placed)
			if tt.free != "-" {
				check(nil, tt.free)
			}
		})
	}
}

func TestSummary(t *testing.T) {
	prod := rules(byLabel("env", "prod"))
	member := func(name, env string, ready bool) Member {
		return Member{Name: name, Labels: map[string]string{"env": env}, Accepted: true, Ready: ready}
	}
	for _, tt := range []struct {
		name      string
		in        Input
		why, says string
		reason    string
	}{
		{"chosen", Input{Rules: prod, Members: []Member{member("a", "prod", true), member("b", "dev", true), member("c", "prod", false)}},
			v1.ReasonPlaced, "1 of 3 members chosen; 1 do not match, 1 do not answer", "it says why the others are not"},
		{"chosen and gone", Input{Rows: rows(v1.PlacementReady, "gone")}, v1.ReasonPlaced, "1 of 1 members chosen", "a row counts although its MemberCluster is missing"},
		{"only a stray", Input{Rules: prod, Members: []Member{member("b", "dev", true)}, Rows: rows(v1.PlacementStray, "b")}, v1.ReasonNoMatch, "0 of 1 members chosen", "a stray is not chosen"},
		{"no members", Input{}, v1.ReasonNoMembers, "register one", "it says what to do"},
		{"no match", Input{Rules: prod, Members: []Member{member("b", "dev", true)}}, v1.ReasonNoMatch, "--show-labels", "it says where to look"},
		{"none ready", Input{Rules: prod, Members: []Member{member("b", "dev", true), member("c", "prod", false)}}, v1.ReasonNoneReady, "1 do not answer", "a match that is silent is the nearer miss"},
		{"none accepted", Input{Members: []Member{{Name: "a"}, member("b", "prod", false)}}, v1.ReasonNoneReady, "1 are not accepted, 1 do not answer", "a match that waits to be accepted is a near miss, too"},
		{"invalid", Input{Rules: invalid, Rows: rows(v1.PlacementReady, "m"), Members: []Member{member("m", "dev", true)}}, v1.ReasonSelectorInvalid, "spec.placement.clusterSelector", "the user's mistake comes before what is kept"},
		{"paused, none", Input{Paused: true, Members: []Member{member("a", "prod", true)}}, v1.ReasonPaused, "spec.paused", "it says why nothing happens"},
		{"spec invalid, none", Input{Invalid: "spec.image: bad", Members: []Member{member("a", "prod", true)}}, v1.ReasonSpecInvalid, "spec.image: bad", "it says why nothing happens"},
		{"spec invalid, placed", Input{Invalid: "spec.image: bad", Rows: rows(v1.PlacementReady, "a"), Members: []Member{member("a", "prod", true)}}, v1.ReasonPlaced, "1 of 1 members chosen", "what is placed stays"},
		{"held, none", Input{Held: "the hub is older", Rules: invalid, Members: []Member{member("a", "prod", true)}}, v1.ReasonHubRestored, "the hub is older", "so here"},
		{"deleting", Input{Deleting: true, Rows: rows(v1.PlacementReady, "m")}, v1.ReasonDeleting, "deleted", "deletion is all that counts"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := schedule(tt.in)
			if got.Reason != tt.why || !strings.Contains(got.Message, tt.says) {
				t.Errorf("%s: got %s %q, want %s ...%q", tt.reason, got.Reason, got.Message, tt.why, tt.says)
			}
		})
	}
}

func TestSelector(t *testing.T) {
	requirement := func(op metav1.LabelSelectorOperator, values ...v1.LabelValue) *v1.Placement {
		return &v1.Placement{ClusterSelector: &v1.ClusterSelector{
			MatchLabels:      map[string]v1.LabelValue{"env": "prod"},
			MatchExpressions: []v1.ClusterSelectorRequirement{{Key: "region", Operator: op, Values: values}},
		}}
	}
	for _, tt := range []struct {
		reason    string
		placement *v1.Placement
		labels    labels.Set
		want      bool
	}{
		{"no placement chooses all", nil, nil, true},
		{"no selector chooses all", &v1.Placement{}, nil, true},
		{"an empty selector chooses all", &v1.Placement{ClusterSelector: &v1.ClusterSelector{}}, nil, true},
		{"all requirements hold", requirement(metav1.LabelSelectorOpIn, "eu", "us"), labels.Set{"env": "prod", "region": "eu"}, true},
		{"a label is another", requirement(metav1.LabelSelectorOpIn, "eu"), labels.Set{"env": "dev", "region": "eu"}, false},
		{"an expression does not hold", requirement(metav1.LabelSelectorOpNotIn, "eu"), labels.Set{"env": "prod", "region": "eu"}, false},
		{"NotIn holds without the label", requirement(metav1.LabelSelectorOpNotIn, "eu"), labels.Set{"env": "prod"}, true},
		{"Exists needs the label", requirement(metav1.LabelSelectorOpExists), labels.Set{"env": "prod"}, false},
		{"DoesNotExist forbids it", requirement(metav1.LabelSelectorOpDoesNotExist), labels.Set{"env": "prod", "region": ""}, false},
	} {
		r := rules(tt.placement)
		if r.Err() != nil {
			t.Fatalf("%s: %v", tt.reason, r.Err())
		}
		reason, _ := r.mismatch(r.match([]Member{{Labels: tt.labels}}), 0)
		if got := reason == ""; got != tt.want {
			t.Errorf("%s: %v matches: %v", tt.reason, tt.labels, got)
		}
	}
	if err := invalid.Err(); err == nil || !strings.Contains(err.Error(), "spec.placement.clusterSelector") {
		t.Errorf("the error must name the field: %v", err)
	}
}

package delivery

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
)

func TestReports(t *testing.T) {
	r := NewReports()
	web := types.NamespacedName{Namespace: "shop", Name: "web"}
	ready := aggregate.Report{Decision: 1, Feedback: v1.Feedback{State: v1.FeedbackReady}}
	r.put("u", web, "quiet", nil, ready) // nobody listens yet
	var told []types.NamespacedName
	r.OnChange(func(app types.NamespacedName, _ aggregate.News) {
		_ = r.Of("u") // whoever is told may read: no lock is held
		told = append(told, app)
	})
	for _, tt := range []struct {
		reason string
		member string
		report aggregate.Report
		news   bool
	}{
		{"the first word of a member", "m", ready, true},
		{"the same again is no news (law 4)", "m", ready, false},
		{"the same about another decision is", "m", aggregate.Report{Decision: 2, Feedback: ready.Feedback}, true},
		{"another member", "n", ready, true},
		{"other content", "n", aggregate.Report{Decision: 1, Feedback: v1.Feedback{State: v1.FeedbackFailed}}, true},
	} {
		told = nil
		r.put("u", web, tt.member, nil, tt.report)
		if (len(told) == 1 && told[0] == web) != tt.news {
			t.Errorf("%s: told %v", tt.reason, told)
		}
		if got, ok := r.get("u", tt.member); !ok || got != tt.report {
			t.Errorf("%s: stored %+v", tt.reason, got)
		}
	}

	r.put("u", web, "n", nil, aggregate.Report{Decision: 1, Feedback: v1.Feedback{State: v1.FeedbackRemoved}})
	r.put("v", web, "n", nil, ready)
	r.silence("n")
	if _, ok := r.get("u", "n"); !ok {
		t.Error("a removal that was confirmed stays confirmed when the member falls silent")
	}
	if len(r.Of("v")) != 0 || len(r.byApp) != 1 || len(r.Of("u")) != 3 {
		t.Errorf("all else that it said is dropped, and nothing of others: %v", r.byApp)
	}

	mine := r.Of("u")
	delete(mine, "m")
	if _, ok := r.get("u", "m"); !ok {
		t.Error("what Of gives is the caller's own")
	}
	r.ForgetMember("u", "m")
	r.ForgetMember("u", "m")
	r.ForgetMember("nobody", "m")
	var left []string
	for member := range r.Of("u") {
		left = append(left, member)
	}
	if len(left) != 2 || len(r.Of("other")) != 0 {
		t.Errorf("one report was to be forgotten, left are %v", left)
	}
	r.ForgetMember("u", "n")
	r.ForgetMember("u", "quiet")
	if len(r.byApp) != 0 {
		t.Errorf("an app without reports is forgotten: %v", r.byApp)
	}
	r.put("u", web, "m", nil, ready)
	r.Forget("u")
	if len(r.byApp) != 0 {
		t.Error("an app that is gone is forgotten")
	}
}

// What the hub finds after a member has spoken is not taken for something old.
func TestTheHubsOwnWord(t *testing.T) {
	r := &Reconciler{Reports: NewReports()}
	app := &v1.MyApp{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u"}}
	o := order{app: app, member: "m", row: &v1.PlacementRow{Cluster: "m", Decision: 2}}
	for _, tt := range []struct {
		reason   string
		say      func()
		state    v1.FeedbackState
		sequence int64
	}{
		{"before the member has said anything", func() { r.say(o, v1.Feedback{State: v1.FeedbackProgressing}) }, v1.FeedbackProgressing, 0},
		{"the member's word", func() {
			r.report(o, aggregate.Report{Sequence: 7, Feedback: v1.Feedback{State: v1.FeedbackReady}})
		}, v1.FeedbackReady, 7},
		{"the hub's, after it", func() { r.say(o, v1.Feedback{State: v1.FeedbackFailed}) }, v1.FeedbackFailed, 7},
		{"the member's, again", func() {
			r.report(o, aggregate.Report{Sequence: 7, Feedback: v1.Feedback{State: v1.FeedbackReady}})
		}, v1.FeedbackReady, 7},
		{"the member's, late", func() {
			r.report(o, aggregate.Report{Sequence: 6, Feedback: v1.Feedback{State: v1.FeedbackFailed}})
		}, v1.FeedbackReady, 7},
		{"a Work that was made again counts anew", func() {
			r.report(o, aggregate.Report{Work: "w2", Sequence: 1, Feedback: v1.Feedback{State: v1.FeedbackReady}})
		}, v1.FeedbackReady, 1},
		{"another decision counts anew", func() {
			o.row = &v1.PlacementRow{Cluster: "m", Decision: 3}
			r.say(o, v1.Feedback{State: v1.FeedbackFailed})
		}, v1.FeedbackFailed, 0},
	} {
		tt.say()
		if got, _ := r.Reports.get("u", "m"); got.State != tt.state || got.Sequence != tt.sequence {
			t.Errorf("%s: stored is %+v, want %s with sequence %d", tt.reason, got, tt.state, tt.sequence)
		}
	}
}

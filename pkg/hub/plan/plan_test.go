package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// state is an app that is on some members of a fleet of six.
func state(on []string, p *v1.Placement, change ...func(*v1.MyApp)) State {
	app := &v1.MyApp{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u", Generation: 1},
		Spec:       v1.MyAppSpec{Image: "web:1", Replicas: ptr.To[int32](2), Placement: p},
	}
	for _, c := range change {
		c(app)
	}
	for _, name := range on {
		app.Status.Placements = append(app.Status.Placements, v1.PlacementRow{Cluster: name, State: v1.PlacementReady, Replicas: 2, ReadyReplicas: 2, CurrentReplicas: 2})
	}
	var members []v1.MemberCluster
	for i := range 6 {
		members = append(members, v1.MemberCluster{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("m-", i)},
			Status:     v1.MemberClusterStatus{Conditions: []metav1.Condition{{Type: v1.ConditionReady, Status: "True"}}},
		})
	}
	s := StateOf(members)
	s.App, s.Now = app, noon
	return s
}

func names(n int) *v1.Placement {
	p := &v1.Placement{}
	for i := range n {
		p.ClusterNames = append(p.ClusterNames, fmt.Sprint("m-", i))
	}
	return p
}

func TestPlan(t *testing.T) {
	image := func(a *v1.MyApp) { a.Spec.Image, a.Generation = "web:2", 2 }
	edited := func(a *v1.MyApp) { a.Generation = 2 }
	divided := &v1.Placement{ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided}, ClusterNames: []string{"m-0", "m-1"}}
	for _, tt := range []struct {
		reason        string
		before, after State
		want          []string // "step member action from to"
		asks          bool
		diffs         int
	}{
		{"nothing", state([]string{"m-0"}, names(1)), state([]string{"m-0"}, names(1)), nil, false, 0},
		{"a new app", State{}, state(nil, names(2)), []string{"1 m-0 joins 0 2", "1 m-1 joins 0 2"}, false, 1},
		{"another image", state([]string{"m-0", "m-1"}, names(2)), state([]string{"m-0", "m-1"}, names(2), image), []string{"1 m-0 updates 2 2", "1 m-1 updates 2 2"}, false, 1},
		{"another image, step by step", state([]string{"m-0", "m-1"}, names(2)), state([]string{"m-0", "m-1"}, names(2), image, func(a *v1.MyApp) {
			a.Spec.Rollout = &v1.Rollout{Type: v1.RolloutProgressive, Steps: []v1.RolloutStep{{Name: "canary", ClusterNames: []string{"m-1"}}}}
		}), []string{"1 m-1 updates 2 2", "2 m-0 updates 2 2"}, false, 1},
		{"a move waits for who takes over", state([]string{"m-0"}, names(1)), state([]string{"m-0"}, &v1.Placement{ClusterNames: []string{"m-5"}}, edited),
			[]string{"1 m-0 is to be left 2 2", "1 m-5 joins 0 2", "2 m-0 leaves 2 0"}, false, 1},
		{"most of it would go", state([]string{"m-0", "m-1", "m-2", "m-3", "m-4"}, names(5)), state([]string{"m-0", "m-1", "m-2", "m-3", "m-4"}, names(2), edited), nil, true, 0},
		{"divided", state([]string{"m-0"}, names(1)), state([]string{"m-0"}, divided, edited), []string{"1 m-1 joins 0 1", "2 m-0 scales 2 1"}, false, 2},
		{"deleted", state([]string{"m-0"}, names(1)), state([]string{"m-0"}, names(1), func(a *v1.MyApp) { a.DeletionTimestamp = &metav1.Time{Time: noon} }), []string{"1 m-0 leaves 2 0"}, false, 0},
		{"invalid", state([]string{"m-0"}, names(1)), state([]string{"m-0"}, names(1), func(a *v1.MyApp) { a.Spec.Image = "a b" }), nil, false, 0},
	} {
		p, err := Of(tt.before, tt.after)
		if err != nil && tt.reason != "invalid" {
			t.Errorf("%s: %v", tt.reason, err)
			continue
		}
		var got []string
		for _, m := range p.Members {
			got = append(got, fmt.Sprint(m.Step, " ", m.Cluster, " ", m.Action, " ", m.From, " ", m.To))
			if m.Reason == "" || m.Message == "" {
				t.Errorf("%s: no reason is given for %+v", tt.reason, m)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
		if asks := p.Asks != ""; asks != tt.asks || asks && (len(p.Hash) != 12 || !strings.Contains(p.Asks, p.Hash)) {
			t.Errorf("%s: it asks %q for %q", tt.reason, p.Asks, p.Hash)
		}
		if len(p.Diffs) != tt.diffs {
			t.Errorf("%s: %d differences: %+v", tt.reason, len(p.Diffs), p.Diffs)
		}
		if changes := len(tt.want) > 0 || tt.asks; p.Changes() != changes {
			t.Errorf("%s: it says that something changes: %v", tt.reason, p.Changes())
		}
	}
}

// TestDiffs: alike on many members is one difference, of what people mean: no marks.
func TestDiffs(t *testing.T) {
	override := func(a *v1.MyApp) {
		a.Spec.Overrides = []v1.Override{{ClusterNames: []v1.ClusterName{"m-2"}, Image: &v1.ImageOverride{Tag: "9"}}}
	}
	on := []string{"m-0", "m-1", "m-2"}
	p, err := Of(state(on, names(3)), state(on, names(3), override, func(a *v1.MyApp) { a.Spec.Image = "web:2" }))
	if err != nil || len(p.Diffs) != 2 {
		t.Fatalf("%v: %+v", err, p.Diffs)
	}
	if diff := cmp.Diff([][]string{{"m-0", "m-1"}, {"m-2"}}, [][]string{p.Diffs[0].Clusters, p.Diffs[1].Clusters}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text := p.Diffs[0].Text; !strings.Contains(text, "-      - image: web:1\n") || !strings.Contains(text, "+      - image: web:2\n") || strings.Contains(text, "example.com/content-hash") {
		t.Errorf("the difference is\n%s", text)
	}
	if got := p.String(); got != "3 members update" {
		t.Errorf("in one line it is %q", got)
	}
}

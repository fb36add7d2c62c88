package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/placement"
	"github.com/example/myapp-hub/pkg/hub/plan"
	"github.com/example/myapp-hub/pkg/hub/quota"
	"github.com/example/myapp-hub/pkg/hub/render"
)

var noon = metav1.NewTime(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))

// world is what a pass sees; its members answer and match unless told otherwise.
func world(members ...string) *snapshot {
	s := &snapshot{
		app: &v1.MyApp{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u", Generation: 1},
			Spec: v1.MyAppSpec{Image: "web:1", Replicas: ptr.To[int32](2), Placement: &v1.Placement{
				ClusterSelector: &v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"env": "prod"}}}},
		},
		fleet: fleetOf(nil), reports: map[string]aggregate.Report{},
	}
	for _, m := range members {
		s.setMember(m, "prod", true)
	}
	return s
}

func (s *snapshot) setMember(name, env string, ready bool) {
	s.forgetMember(name)
	labels := map[string]string{"env": env}
	s.reach[name] = aggregate.Member{Exists: true, Ready: ready}
	s.clusters[name] = render.Cluster{Name: name, Labels: labels}
	s.members = append(s.members, placement.Member{Name: name, Labels: labels, Accepted: true, Ready: ready})
}

func (s *snapshot) forgetMember(name string) {
	delete(s.reach, name)
	delete(s.clusters, name)
	s.members = slices.DeleteFunc(s.members, func(m placement.Member) bool { return m.Name == name })
}

// says makes a member report about the persisted decision.
func (s *snapshot) says(name string, state v1.FeedbackState) {
	for _, row := range s.app.Status.Placements {
		if row.Cluster == name {
			s.reports[name] = aggregate.Report{Decision: row.Decision, Feedback: v1.Feedback{
				State: state, AppliedHash: "h", Replicas: row.Replicas, ReadyReplicas: row.Replicas}}
		}
	}
}

// pass decides, and persists as the API server does: through JSON.
func (s *snapshot) pass(t interface{ Fatal(...any) }, now metav1.Time) decision {
	d, err := decide(s, now)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(d.status)
	if err != nil {
		t.Fatal(err)
	}
	s.app.Status = v1.MyAppStatus{}
	if err := json.Unmarshal(data, &s.app.Status); err != nil {
		t.Fatal(err)
	}
	return d
}

// A member whose API server is away for half an hour loses nothing: not a row, not a
// decision, and when it is back nothing has to be done anew.
func TestHalfAnHourOfSilence(t *testing.T) {
	s := world("eu", "us")
	s.pass(t, noon)
	s.says("eu", v1.FeedbackReady)
	s.says("us", v1.FeedbackReady)
	s.pass(t, noon)
	before := slices.Clone(s.app.Status.Placements)
	s.setMember("us", "prod", false)
	for minute := range 31 {
		d := s.pass(t, metav1.NewTime(noon.Add(time.Duration(minute)*time.Minute)))
		for i, row := range d.status.Placements {
			if len(d.status.Placements) != 2 || row.Decision != before[i].Decision || row.Replicas != before[i].Replicas || row.State == v1.PlacementRemoving {
				t.Fatalf("after %d minutes: %+v", minute, d.status.Placements)
			}
		}
		if minute > 0 && d.changed {
			t.Errorf("after %d minutes something is written", minute)
		}
	}
	s.setMember("us", "prod", true)
	d := s.pass(t, metav1.NewTime(noon.Add(31*time.Minute)))
	if !meta.IsStatusConditionTrue(d.status.Conditions, v1.ConditionReady) || d.status.Placements[1].Decision != before[1].Decision {
		t.Errorf("when it is back: %+v", d.status.Placements)
	}
}

// TestQuota: what a quota does not allow is not begun, what is there stays, and what
// needs less is done.
func TestQuota(t *testing.T) {
	s := world("eu", "us")
	allow := func(replicas int64) {
		m := measure{app: s.app, fleet: s.fleet}
		s.bounds = &bounds{
			quotas: []v1.PlacementQuota{{ObjectMeta: metav1.ObjectMeta{Name: "small"}, Spec: v1.PlacementQuotaSpec{
				Hard: corev1.ResourceList{v1.QuotaReplicas: *resource.NewQuantity(replicas, resource.DecimalSI)}}}},
			others: quota.Usage{Replicas: 10},
			has:    m.usage(s.app.Status.Placements, s.specOf),
			of:     func(rows []v1.PlacementRow) quota.Usage { return m.usage(rows, s.specOf) },
		}
	}
	for _, step := range []struct {
		what  string
		event func()
		most  int64
		rows  []string
		over  bool
	}{
		{"too many pods: no row", func() {}, 13, nil, true},
		{"it fits", func() {}, 14, []string{"eu 2", "us 2"}, false},
		{"more pods: it stays as it is", func() { s.app.Spec.Replicas = ptr.To[int32](3) }, 14, []string{"eu 2", "us 2"}, true},
		{"another image with them: that has to wait, too", func() { s.app.Spec.Image = "web:2" }, 14, []string{"eu 2", "us 2"}, true},
		{"fewer pods", func() { s.app.Spec.Replicas = ptr.To[int32](1) }, 14, []string{"eu 1", "us 1"}, false},
		{"a smaller quota takes nothing", func() {}, 1, []string{"eu 1", "us 1"}, false},
		{"one member fewer", func() { s.setMember("us", "dev", true) }, 1, []string{"eu 1", "us 1"}, false},
		{"and again: not before it fits", func() { s.setMember("us", "prod", true); s.app.Spec.Replicas = ptr.To[int32](5) }, 14, []string{"eu 1", "us 1"}, true},
	} {
		s.app.Generation++
		step.event()
		allow(step.most)
		d := s.pass(t, noon)
		var rows []string
		for _, r := range d.status.Placements {
			rows = append(rows, fmt.Sprintf("%s %d", r.Cluster, r.Replicas))
		}
		if diff := cmp.Diff(step.rows, rows); diff != "" || d.exceeded != step.over {
			t.Fatalf("%s: exceeded is %v; rows (-want +got):\n%s", step.what, d.exceeded, diff)
		}
		stalled := meta.FindStatusCondition(d.status.Conditions, v1.ConditionStalled)
		if (stalled.Reason == v1.ReasonQuotaExceeded) != step.over || step.over && !strings.Contains(stalled.Message, "PlacementQuota small") {
			t.Errorf("%s: Stalled is %+v", step.what, stalled)
		}
	}
}

// TestStory follows one app through its life, a pass after each event.
func TestStory(t *testing.T) {
	s := world("eu", "us")
	for _, step := range []struct {
		what            string
		event           func()
		rows            []string
		changed, urgent bool
		gone            bool
	}{
		{"it is created: rows first, nothing else", func() {}, []string{"eu Pending #1", "us Pending #1"}, true, true, false},
		{"nothing happens", func() {}, []string{"eu Pending #1", "us Pending #1"}, false, false, false},
		{"one reports: that can wait for the other", func() { s.says("eu", v1.FeedbackReady) }, []string{"eu Ready #1", "us Pending #1"}, true, false, false},
		{"the last one reports: all is ready", func() { s.says("us", v1.FeedbackReady) }, []string{"eu Ready #1", "us Ready #1"}, true, true, false},
		{"one falls silent: Ready turns", func() { s.setMember("us", "prod", false) }, []string{"eu Ready #1", "us Unknown #1"}, true, true, false},
		{"it vanishes: that removes nothing", func() { s.forgetMember("us") }, []string{"eu Ready #1", "us Unknown #1"}, true, false, false},
		{"it is back", func() { s.setMember("us", "prod", true) }, []string{"eu Ready #1", "us Ready #1"}, true, true, false},
		{"the image changes", func() { s.app.Spec.Image, s.app.Generation = "web:2", 2 }, []string{"eu Pending #2", "us Pending #2"}, true, true, false},
		{"a late report of the old image says nothing", func() {}, []string{"eu Pending #2", "us Pending #2"}, false, false, false},
		{"a member's label changes: the removal is recorded", func() { s.setMember("us", "dev", true) }, []string{"eu Pending #2", "us Removing #3"}, true, true, false},
		{"it confirms: the row goes, which can wait for others", func() { s.says("us", v1.FeedbackRemoved) }, []string{"eu Pending #2"}, true, false, false},
		{"it is deleted", func() { s.app.DeletionTimestamp = &noon }, []string{"eu Removing #3"}, true, true, false},
		{"the last member confirms", func() { s.says("eu", v1.FeedbackRemoved) }, nil, true, true, true},
	} {
		step.event()
		d := s.pass(t, noon)
		var rows []string
		for _, r := range d.status.Placements {
			rows = append(rows, fmt.Sprintf("%s %s #%d", r.Cluster, r.State, r.Decision))
		}
		if diff := cmp.Diff(step.rows, rows); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", step.what, diff)
		}
		if d.changed != step.changed || d.urgent != step.urgent || d.gone != step.gone {
			t.Errorf("%s: changed %v, urgent %v, gone %v", step.what, d.changed, d.urgent, d.gone)
		}
	}
}

func TestCollisions(t *testing.T) {
	s := world()
	name := func(collision int) render.Revision {
		r, err := render.RevisionOf("web", "u", &s.app.Spec, collision)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	stored := func(name string, data []byte) appsv1.ControllerRevision {
		return appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: runtime.RawExtension{Raw: data}}
	}
	foreign := []byte(`{"image":"other"}`)
	for _, tt := range []struct {
		reason string
		stored []appsv1.ControllerRevision
		want   string
	}{
		{"none is stored", nil, name(0).Name},
		{"it is stored already", []appsv1.ControllerRevision{stored(name(0).Name, name(0).Data)}, name(0).Name},
		{"the name has other content", []appsv1.ControllerRevision{stored(name(0).Name, foreign)}, name(1).Name},
		{"so has the next", []appsv1.ControllerRevision{stored(name(1).Name, foreign), stored(name(0).Name, foreign)}, name(2).Name},
	} {
		s.revisions = tt.stored
		got, err := currentRevision(s)
		if err != nil || got.Name != tt.want {
			t.Errorf("%s: got %s (%v), want %s", tt.reason, got.Name, err, tt.want)
		}
	}
}

func TestReplicas(t *testing.T) {
	eu := map[string]v1.LabelValue{"region": "eu"}
	overrides := []v1.Override{
		{ClusterSelector: &v1.ClusterSelector{MatchLabels: eu}, Replicas: ptr.To[int32](5)},
		{ClusterNames: []v1.ClusterName{"us"}, Replicas: ptr.To[int32](0)},
	}
	members := map[string]render.Cluster{
		"eu": {Name: "eu", Labels: map[string]string{"region": "eu"}}, "us": {Name: "us"}, "ap": {Name: "ap"},
	}
	shared := &fleet{clusters: members}
	for _, tt := range []struct {
		reason string
		spec   v1.MyAppSpec
		own    int32
		want   map[string]int32
	}{
		{"one by default", v1.MyAppSpec{}, 1, map[string]int32{"eu": 1, "us": 1, "ap": 1}},
		{"none is a number too", v1.MyAppSpec{Replicas: ptr.To[int32](0)}, 0, map[string]int32{"eu": 0, "us": 0, "ap": 0}},
		{"overrides choose by label and by name", v1.MyAppSpec{Replicas: ptr.To[int32](2), Overrides: overrides}, 2, map[string]int32{"eu": 5, "us": 0, "ap": 2}},
		{"an autoscaler starts from its fewest", v1.MyAppSpec{Replicas: ptr.To[int32](2), Autoscaling: &v1.Autoscaling{MinReplicas: ptr.To[int32](4), MaxReplicas: 9}}, 2, map[string]int32{"eu": 4, "us": 4, "ap": 4}},
	} {
		if diff := cmp.Diff(tt.want, replicas(&tt.spec, members)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
		for range 2 { // the second time it may be shared
			if diff := cmp.Diff(tt.want, shared.numbers(&tt.spec)); diff != "" {
				t.Errorf("%s, shared (-want +got):\n%s", tt.reason, diff)
			}
		}
		if got := plan.Replicas(&tt.spec); got != tt.own {
			t.Errorf("%s: spec.replicas is %d, want %d", tt.reason, got, tt.own)
		}
	}
}

// TestOwnReplicasReachTheRows: labels of members reach the decision.
func TestOwnReplicasReachTheRows(t *testing.T) {
	s := world("eu", "us")
	s.setMember("us", "prod", true)
	s.clusters["us"].Labels["size"] = "small"
	s.app.Spec.Overrides = []v1.Override{{
		ClusterSelector: &v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"size": "small"}}, Replicas: ptr.To[int32](1),
	}}
	s.pass(t, noon)
	s.says("eu", v1.FeedbackReady)
	s.says("us", v1.FeedbackReady)
	d := s.pass(t, noon)
	got := map[string]int32{}
	for _, row := range d.status.Placements {
		got[row.Cluster] = row.Replicas
	}
	if diff := cmp.Diff(map[string]int32{"eu": 2, "us": 1}, got); diff != "" {
		t.Errorf("-want +rows:\n%s", diff)
	}
	if d.status.Replicas != 2 || !meta.IsStatusConditionTrue(d.status.Conditions, v1.ConditionReady) {
		t.Errorf("the scale subresource shows %d, and the conditions are %+v", d.status.Replicas, d.status.Conditions)
	}
}

func (s *snapshot) rows() (rows []string) {
	for _, r := range s.app.Status.Placements {
		rows = append(rows, fmt.Sprintf("%s %s #%d %s", r.Cluster, r.State, r.Decision, r.Revision))
	}
	return rows
}

// TestInvalidSpec: what was admitted by mistake changes no member, and its
// revision is nobody's.
func TestInvalidSpec(t *testing.T) {
	s := world("eu")
	s.pass(t, noon)
	s.says("eu", v1.FeedbackReady)
	s.pass(t, noon)
	before := s.rows()

	s.app.Spec.Image, s.app.Generation, s.invalid = "web:2", 2, "the spec is not valid: spec.podTemplate"
	s.setMember("us", "prod", true)
	d := s.pass(t, noon)
	if diff := cmp.Diff(before, s.rows()); diff != "" {
		t.Errorf("members lose or get something (-before +after):\n%s", diff)
	}
	if d.revision.Name != "" || d.status.Revision != "" {
		t.Errorf("the spec has the revision %q; delivery would take it for what the rows have", d.status.Revision)
	}
	if c := meta.FindStatusCondition(d.status.Conditions, v1.ConditionStalled); c.Status != "True" || c.Reason != v1.ReasonSpecInvalid || c.Message != s.invalid {
		t.Errorf("Stalled is %+v", c)
	}
	if s.pass(t, noon).changed {
		t.Error("the second pass changes the status again")
	}

	s.invalid = ""
	if d := s.pass(t, noon); d.revision.Name == "" || len(d.status.Placements) != 2 || d.status.Placements[0].Revision != d.revision.Name {
		t.Errorf("corrected, but the rows are %v", s.rows())
	}

	s.invalid, s.app.DeletionTimestamp = "bad again", &noon
	s.pass(t, noon)
	s.says("eu", v1.FeedbackRemoved)
	s.says("us", v1.FeedbackRemoved)
	if !s.pass(t, noon).gone {
		t.Errorf("a deletion must work although the spec is not valid: %v", s.rows())
	}
}

// TestHeld: while the hub is held nothing that was decided changes, and nothing
// goes, whatever happens; what members say is shown all the same.
func TestHeld(t *testing.T) {
	s := world("eu", "us")
	s.pass(t, noon)
	s.says("eu", v1.FeedbackReady)
	s.says("us", v1.FeedbackReady)
	s.pass(t, noon)
	before := s.rows()

	s.held = "the hub is older"
	if d := s.pass(t, noon); !d.urgent || !meta.IsStatusConditionTrue(d.status.Conditions, v1.ConditionHeld) || statusOf(&d.status, v1.ConditionReady) != "False" {
		t.Errorf("a hold is written at once: urgent %v, %+v", d.urgent, d.status.Conditions)
	}
	s.app.Spec.Image, s.app.Generation = "web:2", 2
	s.setMember("us", "dev", true)
	s.setMember("ap", "prod", true)
	s.pass(t, noon)
	s.app.DeletionTimestamp = &noon
	s.app.Annotations = map[string]string{v1.AnnotationForceRemove: "eu,us"}
	s.says("eu", v1.FeedbackRemoved)
	d := s.pass(t, noon)
	held := s.rows()
	held[0] = strings.Replace(held[0], "Progressing", "Ready", 1) // shown: it has not what it should have
	if diff := cmp.Diff(before, held); diff != "" {
		t.Errorf("a held hub decides (-before +after):\n%s", diff)
	}
	if d.gone || len(d.forced) > 0 {
		t.Errorf("gone %v, forced %v", d.gone, d.forced)
	}

	s.held = ""
	s.pass(t, noon)
	if d := s.pass(t, noon); !d.gone || len(d.forced) != 2 {
		t.Errorf("after the release the deletion goes on: %v, forced %v", s.rows(), d.forced)
	}
}

// TestHeldFromTheStart: a deletion whose rows are lost must not end the app.
func TestHeldFromTheStart(t *testing.T) {
	s := world("eu")
	s.held, s.app.DeletionTimestamp = "the hub is older", &noon
	if d := s.pass(t, noon); d.gone {
		t.Error("the finalizer would go while the hub is held")
	}
}

func TestForceRemove(t *testing.T) {
	s := world("eu", "us")
	s.app.Annotations = map[string]string{v1.AnnotationForceRemove: " us ,, ap"}
	for _, step := range []struct {
		what   string
		event  func()
		rows   []string
		forced []string
		gone   bool
	}{
		{"the annotation alone does nothing", func() {}, []string{"eu Pending #1", "us Pending #1"}, nil, false},
		{"a member that is no longer chosen is waited for", func() { s.setMember("us", "dev", false) }, []string{"eu Pending #1", "us Removing #2"}, nil, false},
		{"still", func() {}, []string{"eu Pending #1", "us Removing #2"}, nil, false},
		{"the app is deleted, but the mailbox still orders it to be there", func() {
			s.app.DeletionTimestamp, s.ordered = &noon, map[string]bool{"us": true}
		}, []string{"eu Removing #2", "us Removing #2"}, nil, false},
		{"who is named is not waited for", func() { s.ordered = nil }, []string{"eu Removing #2"}, []string{"us"}, false},
		{"what is left there does not come back", func() { s.reports["us"] = aggregate.Report{Stray: true} }, []string{"eu Removing #2"}, nil, false},
		{"the other is named too", func() { s.app.Annotations[v1.AnnotationForceRemove] = "us,eu" }, nil, []string{"eu"}, true},
	} {
		step.event()
		d := s.pass(t, noon)
		var rows []string
		for _, r := range d.status.Placements {
			rows = append(rows, fmt.Sprintf("%s %s #%d", r.Cluster, r.State, r.Decision))
		}
		if !slices.Equal(rows, step.rows) || !slices.Equal(d.forced, step.forced) || d.gone != step.gone {
			t.Fatalf("%s: rows %v, want %v; forced %v, want %v; gone %v", step.what, rows, step.rows, d.forced, step.forced, d.gone)
		}
	}
}

// TestSettles is law 4 over whole passes: whatever happened, when nothing
// happens any more the status stops changing, and absence removes nothing.
func TestSettles(t *testing.T) {
	names := []string{"a", "b", "c"}
	feedback := []v1.FeedbackState{v1.FeedbackProgressing, v1.FeedbackReady, v1.FeedbackFailed, v1.FeedbackRemoving, v1.FeedbackRemoved}
	rapid.Check(t, func(t *rapid.T) {
		s := world(names...)
		now := noon
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			m := rapid.SampledFrom(names).Draw(t, "member")
			before := slices.Clone(s.app.Status.Placements)
			absence := false
			switch rapid.SampledFrom([]string{"report", "stray", "vanish", "silent", "label", "edit", "pause", "delete", "hold", "break", "force"}).Draw(t, "event") {
			case "report":
				s.says(m, rapid.SampledFrom(feedback).Draw(t, "feedback"))
			case "stray":
				if !slices.ContainsFunc(before, func(r v1.PlacementRow) bool { return r.Cluster == m }) {
					s.reports[m] = aggregate.Report{Stray: true}
				}
			case "vanish":
				s.forgetMember(m)
				absence = true
			case "silent":
				s.setMember(m, "prod", false)
				absence = true
			case "label":
				s.setMember(m, rapid.SampledFrom([]string{"prod", "dev"}).Draw(t, "env"), true)
			case "edit":
				s.app.Generation++
				s.app.Spec.Image = rapid.SampledFrom([]string{"web:1", "web:2"}).Draw(t, "image")
			case "pause":
				s.app.Generation++
				s.app.Spec.Paused = !s.app.Spec.Paused
			case "delete":
				s.app.DeletionTimestamp = &noon
			case "hold":
				s.held = rapid.SampledFrom([]string{"", "the hub is older"}).Draw(t, "held")
			case "break":
				s.invalid = rapid.SampledFrom([]string{"", "the spec is not valid"}).Draw(t, "invalid")
			case "force":
				s.app.Annotations = map[string]string{v1.AnnotationForceRemove: m}
			}
			settle := func() {
				for range 6 {
					now = metav1.NewTime(now.Add(time.Minute))
					if !s.pass(t, now).changed {
						return
					}
				}
				t.Fatalf("the status never stops changing: %+v", s.app.Status)
			}
			settle()
			if absence && s.app.DeletionTimestamp == nil {
				for _, r := range before {
					if r.State != v1.PlacementRemoving && r.State != v1.PlacementStray && !slices.ContainsFunc(s.app.Status.Placements, func(is v1.PlacementRow) bool {
						return is.Cluster == r.Cluster && is.State != v1.PlacementRemoving
					}) {
						t.Fatalf("%s vanished or fell silent, and %s loses the app: %+v", m, r.Cluster, s.app.Status.Placements)
					}
				}
			}
		}
	})
}

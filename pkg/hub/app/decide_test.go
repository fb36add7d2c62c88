package app

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/placement"
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
		reach: map[string]aggregate.Member{}, reports: map[string]aggregate.Report{},
	}
	for _, m := range members {
		s.setMember(m, "prod", true)
	}
	return s
}

func (s *snapshot) setMember(name, env string, ready bool) {
	s.forgetMember(name)
	s.reach[name] = aggregate.Member{Exists: true, Ready: ready}
	s.members = append(s.members, placement.Member{Name: name, Labels: map[string]string{"env": env}, Ready: ready})
}

func (s *snapshot) forgetMember(name string) {
	delete(s.reach, name)
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
	for reason, tt := range map[string]struct {
		spec *int32
		want int32
	}{"one by default": {nil, 1}, "none is a number too": {ptr.To[int32](0), 0}, "as said": {ptr.To[int32](7), 7}} {
		if got := replicas(&v1.MyApp{Spec: v1.MyAppSpec{Replicas: tt.spec}}); got != tt.want {
			t.Errorf("%s: %d", reason, got)
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
			switch rapid.SampledFrom([]string{"report", "stray", "vanish", "silent", "label", "edit", "pause", "delete"}).Draw(t, "event") {
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

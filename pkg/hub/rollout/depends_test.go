package rollout

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

func TestWaits(t *testing.T) {
	db := &v1.MyApp{Status: v1.MyAppStatus{
		Revision: "db-2", Conditions: []metav1.Condition{{Type: v1.ConditionAvailable, Status: metav1.ConditionTrue}, {Type: v1.ConditionReady, Status: metav1.ConditionFalse}},
		Placements: []v1.PlacementRow{
			{Cluster: "going", State: v1.PlacementRemoving, Revision: "db-2", ReadyReplicas: 1},
			{Cluster: "old", State: v1.PlacementReady, Updated: true, Revision: "db-1", ReadyReplicas: 1},
			{Cluster: "ready", State: v1.PlacementReady, Updated: true, Revision: "db-2", ReadyReplicas: 1},
			{Cluster: "silent", State: v1.PlacementUnknown, Updated: true, Revision: "db-2", ReadyReplicas: 1},
			{Cluster: "starting", State: v1.PlacementProgressing, Updated: true, Revision: "db-2", ReadyReplicas: 1},
		},
	}}
	unseen := db.DeepCopy()
	unseen.Generation = 5
	for _, tt := range []struct {
		reason string
		d      v1.Dependency
		app    *v1.MyApp
		member string
		want   string // empty: it need not wait
	}{
		{"it is ready there", v1.Dependency{Name: "db"}, db, "ready", ""},
		{"it is ready with what was before", v1.Dependency{Name: "db"}, db, "old", "is not Ready on old"},
		{"it is there, and that is enough", v1.Dependency{Name: "db", Condition: "Available"}, db, "old", ""},
		{"not all pods are ready", v1.Dependency{Name: "db"}, db, "starting", "is not Ready on starting"},
		{"one pod is enough", v1.Dependency{Name: "db", Condition: "Available"}, db, "starting", ""},
		{"nobody knows", v1.Dependency{Name: "db", Condition: "Available"}, db, "silent", "is not Available on silent"},
		{"it leaves", v1.Dependency{Name: "db"}, db, "going", "is not on going"},
		{"it is not there", v1.Dependency{Name: "db"}, db, "elsewhere", "is not on elsewhere"},
		{"the fleet, and one is missing", v1.Dependency{Name: "db", Scope: v1.DependencyFleet}, db, "ready", "is not Ready on all its members"},
		{"the fleet, and that is enough", v1.Dependency{Name: "db", Scope: v1.DependencyFleet, Condition: "Available"}, db, "elsewhere", ""},
		{"its spec is too new", v1.Dependency{Name: "db"}, unseen, "ready", "has not seen the latest spec"},
		{"there is none", v1.Dependency{Name: "db"}, nil, "ready", "does not exist"},
	} {
		got := Waits([]v1.Dependency{tt.d}, map[string]*v1.MyApp{"db": tt.app}, nil)(tt.member)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.reason, got, tt.want)
		}
	}
	if Waits(nil, nil, nil) != nil {
		t.Error("who depends on nobody is asked")
	}
}

func TestCycle(t *testing.T) {
	apps := map[string][]string{"a": {"b", "c"}, "b": {"d"}, "c": {"e"}, "e": {"a"}, "x": {"y"}, "y": {"z"}, "z": {"y"}, "self": {"self"}}
	of := func(app string) []string { return apps[app] }
	for app, want := range map[string]string{"a": "a c e a", "e": "e a c e", "b": "", "x": "", "y": "y z y", "self": "self self", "nobody": ""} {
		if got := strings.Join(Cycle(app, of), " "); got != want {
			t.Errorf("%s: %q, want %q", app, got, want)
		}
	}
}

// TestWaitingMembers: one that waits for another app is not begun and not changed, all else
// goes on.
func TestWaitingMembers(t *testing.T) {
	row := func(name, revision string, replicas int32) v1.PlacementRow {
		return v1.PlacementRow{Cluster: name, State: v1.PlacementReady, Updated: true, Revision: revision, Replicas: replicas, Decision: 3}
	}
	got := Next(State{
		Rows: []v1.PlacementRow{row("old", "A", 1), row("scaled", "A", 1), row("there", "B", 1)}, Revision: "B",
		Verdicts: []placement.Verdict{
			{Cluster: "free", Outcome: placement.Run, Replicas: 1}, {Cluster: "new", Outcome: placement.Run, Replicas: 1},
			{Cluster: "old", Outcome: placement.Run, Replicas: 1}, {Cluster: "scaled", Outcome: placement.Run, Replicas: 5}, {Cluster: "there", Outcome: placement.Run, Replicas: 2},
		},
		Waits: func(member string) string {
			if member == "free" {
				return ""
			}
			return "db is not on " + member
		},
	}, noon)
	want := map[string]v1.PlacementRow{"free": {Revision: "B", Replicas: 1}, "old": {Revision: "A", Replicas: 1}, "scaled": {Revision: "A", Replicas: 5}, "there": {Revision: "B", Replicas: 2}}
	if len(got.Rows) != len(want) {
		t.Errorf("rows are %+v", got.Rows)
	}
	for _, r := range got.Rows {
		if w := want[r.Cluster]; r.Revision != w.Revision || r.Replicas != w.Replicas {
			t.Errorf("%s has %s and %d replicas, want %s and %d", r.Cluster, r.Revision, r.Replicas, w.Revision, w.Replicas)
		}
	}
	if strings.Join(got.Waiting, " ") != "new old scaled" || got.Waits != "db is not on new" {
		t.Errorf("waiting are %v: %s", got.Waiting, got.Waits)
	}
}

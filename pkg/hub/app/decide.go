package app

import (
	"bytes"
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/placement"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// decision is what a pass wants to be so.
type decision struct {
	revision render.Revision
	status   v1.MyAppStatus
	// changed is true when the status differs from the stored one, urgent when
	// the difference must not wait.
	changed, urgent bool
	// gone is true when the app is deleted and no member has it any more.
	gone bool
}

// decide is a function of its arguments.
func decide(s *snapshot, now metav1.Time) (decision, error) {
	revision, err := currentRevision(s)
	if err != nil {
		return decision{}, err
	}
	old := s.app.Status
	placed := placement.Schedule(placement.Input{
		Placement: s.app.Spec.Placement,
		Deleting:  s.deleting(),
		Paused:    s.app.Spec.Paused,
		Members:   s.members,
		Placed:    clusters(old.Placements),
		Strays:    strays(old.Placements),
	})
	next := rollout.Next(rollout.State{
		Rows: old.Placements, Verdicts: placed.Verdicts,
		Revision: revision.Name, Replicas: replicas(s.app),
	}, now)
	rows := aggregate.Rows(old.Placements, next, s.reports, s.reach, now)

	d := decision{revision: revision}
	d.status = aggregate.Status(aggregate.Input{
		Old: old, Rows: rows,
		Generation: s.app.Generation, Deleting: s.deleting(), Paused: s.app.Spec.Paused,
		Revision: revision.Name, Replicas: replicas(s.app), Selector: render.PodSelector(s.app.Name),
		PlacementReason: placed.Reason, PlacementMessage: placed.Message,
	}, now)
	d.changed = !apiequality.Semantic.DeepEqual(old, d.status)
	d.urgent = urgent(old, d.status)
	d.gone = s.deleting() && len(rows) == 0
	return d, nil
}

// currentRevision is the revision of the spec. A stored revision of that name
// with other content is a collision of hashes, and the next name is tried.
func currentRevision(s *snapshot) (render.Revision, error) {
	for collision := 0; ; collision++ {
		revision, err := render.RevisionOf(s.app.Name, s.app.UID, &s.app.Spec, collision)
		if err != nil {
			return revision, err
		}
		i := slices.IndexFunc(s.revisions, named(revision.Name))
		if i < 0 || bytes.Equal(s.revisions[i].Data.Raw, revision.Data) {
			return revision, nil
		}
	}
}

func replicas(app *v1.MyApp) int32 {
	if app.Spec.Replicas == nil {
		return 1
	}
	return *app.Spec.Replicas
}

func clusters(rows []v1.PlacementRow) []string {
	names := make([]string, 0, len(rows))
	for _, r := range rows {
		names = append(names, r.Cluster)
	}
	return names
}

func strays(rows []v1.PlacementRow) []string {
	var names []string
	for _, r := range rows {
		if r.State == v1.PlacementStray {
			names = append(names, r.Cluster)
		}
	}
	return names
}

// urgent is true for a change that is written at once: a decision, Ready
// turning, or the last member having reported. A removal that is confirmed may
// wait for others.
func urgent(before, after v1.MyAppStatus) bool {
	if before.ObservedGeneration != after.ObservedGeneration || before.Revision != after.Revision {
		return true
	}
	decided := make(map[string]int64, len(before.Placements))
	for _, r := range before.Placements {
		decided[r.Cluster] = r.Decision
	}
	for _, r := range after.Placements {
		if number, ok := decided[r.Cluster]; !ok || number != r.Decision {
			return true
		}
	}
	if readyStatus(before) != readyStatus(after) {
		return true
	}
	return aggregate.Settled(after.Placements) && !aggregate.Settled(before.Placements)
}

func readyStatus(s v1.MyAppStatus) metav1.ConditionStatus {
	if c := meta.FindStatusCondition(s.Conditions, v1.ConditionReady); c != nil {
		return c.Status
	}
	return metav1.ConditionUnknown
}

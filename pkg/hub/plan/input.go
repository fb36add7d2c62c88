package plan

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/health"
	"github.com/example/myapp-hub/pkg/hub/placement"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// Spec is what follows from the spec of an app alone.
type Spec struct {
	// Problems says what is wrong with it; empty if nothing is.
	Problems string
	Rules    *placement.Rules
	// Rollout says who gets a new revision when.
	Rollout *rollout.Rules
	// Pod is what a pod requests, Needs are the kinds of the objects.
	Pod   placement.Pod
	Needs []string
}

// SpecOf looks at a copy of the app, which may be a cache's own.
func SpecOf(app *v1.MyApp) Spec {
	own := &v1.MyApp{TypeMeta: app.TypeMeta, ObjectMeta: *app.ObjectMeta.DeepCopy(), Spec: *app.Spec.DeepCopy()}
	s := Spec{Problems: describe(render.Validate(own, health.CheckRule)), Rules: placement.RulesOf(&own.Spec), Rollout: rollout.RulesOf(&own.Spec)}
	if s.Problems != "" {
		return s
	}
	// Validate has just rendered it.
	if outline, err := render.OutlineOf(own); err == nil {
		s.Needs, s.Pod = outline.Kinds, placement.Pod{CPUMillis: outline.CPUMillis, MemoryMiB: outline.MemoryMiB}
	}
	return s
}

// Fleet is what is known of the members.
type Fleet struct {
	Members []placement.Member
	// Numbers are the pods that the spec wants on each member, where they are not divided.
	Numbers map[string]int32
	// Reserved is what members were just given and have not reported.
	Reserved map[string]v1.Amounts
	// Namespace are the labels of the app's namespace; nil if they are not known.
	Namespace labels.Set
	// Now is the time, LeaderSince is when the hub began to watch members.
	Now, LeaderSince time.Time
	// Held says why the hub changes nothing for any app; empty if it does.
	Held string
}

// Input is what the placement of an app is decided from.
func Input(app *v1.MyApp, spec Spec, fleet Fleet) placement.Input {
	return placement.Input{
		Rules: spec.Rules, App: app.Namespace + "/" + app.Name, UID: string(app.UID), Generation: app.Generation,
		Now: fleet.Now, LeaderSince: fleet.LeaderSince, Namespace: fleet.Namespace, Held: fleet.Held,
		Deleting: app.DeletionTimestamp != nil, Invalid: spec.Problems, Paused: app.Spec.Paused,
		Acknowledged: app.Annotations[v1.AnnotationAcknowledgedPlan],
		Replicas:     Replicas(&app.Spec), Numbers: fleet.Numbers, Pod: spec.Pod, Needs: spec.Needs,
		Members: fleet.Members, Reserved: fleet.Reserved, Lately: lately(app.Status.Departures, fleet.Now), Rows: app.Status.Placements,
	}
}

// Replicas is the number of pods on a member without an override, or on all of them where
// replicas are divided.
func Replicas(spec *v1.MyAppSpec) int32 {
	if spec.Replicas == nil {
		return 1
	}
	return *spec.Replicas
}

// describe lists the first problems, each cut, and says what follows.
func describe(problems field.ErrorList) string {
	const most, longest = 3, 250
	if len(problems) == 0 {
		return ""
	}
	var parts []string
	for _, p := range problems[:min(most, len(problems))] {
		text := []rune(p.Error())
		if len(text) > longest {
			text = append(text[:longest-1], '…')
		}
		parts = append(parts, string(text))
	}
	more := ""
	if n := len(problems) - most; n > 0 {
		more = fmt.Sprintf("; and %d more", n)
	}
	return "the spec is not valid, and every member keeps what it has until it is corrected: " + strings.Join(parts, "; ") + more
}

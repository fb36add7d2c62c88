package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/example/myapp-hub/pkg/flush"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// scenario is one row of what the benchmark does. It has a step, which both
// contenders take, or it is the hub's alone, where a floor would have nothing to
// do.
type scenario struct {
	name string
	// title says what is done, at which size.
	title func(w *world) string
	setting
	// after is the scenario on whose end state it goes on; empty: none.
	after string
	// apps is how many there are; of a scenario that goes on, those of the first.
	// Lone ones have one object each.
	apps int
	lone bool
	// step is what is measured, generation what the apps are ready at after it.
	step       func(a *apps, ctx context.Context) error
	generation int64
	// alone plays and measures the scenario with apps that are there and ready.
	alone    func(ctx context.Context, a *apps, run *report.Run) error
	measures []report.Measure
}

var (
	pushWhole   = setting{mode: fleet.ModePush}
	pushTenants = setting{mode: fleet.ModePush, tenanted: true}
	pullWhole   = setting{mode: fleet.ModePull}
)

// crowded is where the scenarios with many apps are played.
func (o options) crowded() setting {
	if o.large {
		return pushTenants
	}
	return pushWhole
}

// scenarios are what the benchmark can do, in the order in which it is done.
func scenarios(o options) []scenario {
	return slices.Concat(pushed(o), aloneWithPush(o), tenanted(o), pulled(o))
}

// pushed are those that the floor runs, too, on Push members.
func pushed(o options) []scenario {
	return []scenario{
		{
			name: "S1", setting: pushWhole, apps: o.apps,
			title: func(w *world) string {
				return fmt.Sprintf("%d apps × %d members × 2 objects, Push, created at once", w.apps, len(w.members))
			},
			step: (*apps).create, generation: 1,
			measures: measures(goals{
				keyRequests: report.AtMost(1.25), keyMakespan: report.AtMost(1.3), keyCPU: report.AtMost(1.5), keyReady99: report.AtMost(1.3),
			}, pairMeasures()),
		},
		{
			name: "S3", setting: pushWhole, after: "S1",
			title: func(w *world) string { return fmt.Sprintf("another image for all %d apps", w.apps) },
			step:  (*apps).changeImage, generation: 2,
			measures: measures(goals{keyRequests: report.AtMost(1.25), keyMakespan: report.AtMost(1.4)}, pairMeasures()),
		},
		{
			name: "1xN", setting: pushWhole, apps: 1,
			title: func(w *world) string { return fmt.Sprintf("1 app × %d members × 2 objects, Push", len(w.members)) },
			step:  (*apps).create, generation: 1,
			measures: measures(goals{keyMakespan: report.AtMost(1.3)}, pairMeasures()),
		},
	}
}

// aloneWithPush are the hub's alone, on Push members.
func aloneWithPush(o options) []scenario {
	return []scenario{
		{
			name: "S2", setting: o.crowded(), apps: o.crowd, lone: true,
			title: func(w *world) string {
				return fmt.Sprintf("%d apps × %d members × 1 object, Push, and nothing happens for %s", w.crowd, len(w.members), w.idle)
			},
			alone: idlePush,
			measures: measures(goals{keyWrites: report.Below(0), keyMemberRate: report.Below(0.1), keyCPUShare: report.Below(2)},
				idleMeasures()),
		},
		{
			name: "S4", setting: pushWhole, apps: o.apps,
			title: func(w *world) string {
				return fmt.Sprintf("another image for all %d apps, while 1 of %d members is a black hole, and back", w.apps, len(w.members))
			},
			alone: blackHole,
			measures: measures(goals{keyFaultRatio: report.Below(1.15), keyDetected: report.Below(15), keyReturnedRatio: report.Below(1.3)},
				blackHoleMeasures()),
		},
		{
			name: "S5", setting: o.crowded(), after: "S2",
			title: func(w *world) string {
				return fmt.Sprintf("SIGKILL and restart of the hub with %d apps × %d members × 1 object", w.crowd, len(w.members))
			},
			alone: restart,
			measures: measures(goals{
				keyWrites: report.Below(0), keyListsShare: report.Below(1), keyConverged: report.Below(30),
				keyNewRatio: report.Below(2), keyPeak: report.Below(350),
			}, restartMeasures()),
		},
		{
			name: "S6", setting: pushWhole, apps: o.few,
			title: func(w *world) string {
				return fmt.Sprintf("%d flips of readiness per second for %s, %d apps × %d members", flipsPerSecond, w.churn, w.few, len(w.members))
			},
			alone: churn,
			measures: measures(goals{
				keyPatchesShare: report.Below(1), keyStale99: report.Below(flush.Longest.Seconds() + prompt), keyTurned99: report.Below(prompt),
			}, churnMeasures()),
		},
		{
			name: "margin", setting: pushWhole, apps: o.crowd,
			title: func(w *world) string {
				return fmt.Sprintf("a hub just started with %d members, with %d empty ones more, and with %d apps × %d objects on each of the %d",
					len(w.members), w.further, w.crowd, objectsPerApp, len(w.members))
			},
			alone: marginal,
			measures: measures(goals{
				keyMemberRSS: report.Below(1.5), keyMemberConns: report.Below(1), keyObjectRSS: objectGoal(o),
			}, marginalMeasures()),
		},
	}
}

// tenanted are those on members that are namespaces, of which there can be many. What
// a member costs beside the requests is the same for both contenders: the API servers.
func tenanted(o options) []scenario {
	return []scenario{
		{
			name: "1x100", setting: pushTenants, apps: 1,
			title: func(w *world) string {
				return fmt.Sprintf("1 app × %d namespaced members × %d objects, Push", len(w.members), objectsPerApp)
			},
			step: (*apps).create, generation: 1,
			measures: measures(goals{keyMakespan: report.AtMost(1.3)}, pairMeasures()),
		},
		{
			name: "S1x100", setting: pushTenants, apps: o.few,
			title: func(w *world) string {
				return fmt.Sprintf("%d apps × %d namespaced members × %d objects, Push, created at once", w.few, len(w.members), objectsPerApp)
			},
			step: (*apps).create, generation: 1,
			measures: measures(goals{keyRequests: report.AtMost(1.05)}, pairMeasures()),
		},
	}
}

// pulled are those on Pull members.
func pulled(o options) []scenario {
	return []scenario{
		{
			name: "S7", setting: pullWhole, apps: o.few,
			title: func(w *world) string {
				return fmt.Sprintf("%d apps × %d members × %d objects, Pull, created at once", w.few, len(w.members), objectsPerApp)
			},
			step: (*apps).create, generation: 1,
			measures: measures(goals{
				keyWorks: report.Below(1), keyWorkStatuses: report.Below(2), keyMemberWrites: report.Below(objectsPerApp),
				keyReads: report.Below(0), keyAgentPeak: report.Below(30),
			}, pairMeasures(), pullMeasures()),
		},
		{
			name: "S7-idle", setting: pullWhole, apps: o.few,
			title: func(w *world) string {
				return fmt.Sprintf("the apps of S7, and nothing happens for %s", w.idle)
			},
			alone: idlePull,
			measures: measures(goals{keyWrites: report.Below(0), keyAgentRate: report.Below(0.05), keyAgentPeak: report.Below(30)},
				idleMeasures(), idlePullMeasures()),
		},
	}
}

// objectGoal is for sizes at which the objects, and not when the garbage collector
// ran, make the difference between two hubs.
func objectGoal(o options) *report.Goal {
	if o.crowd*o.members*objectsPerApp < 20_000 {
		return nil
	}
	return report.Below(2.5)
}

func names() []string {
	var names []string
	for _, s := range scenarios(options{}) {
		names = append(names, s.name)
	}
	return names
}

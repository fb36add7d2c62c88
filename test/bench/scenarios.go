package main

import (
	"context"
	"fmt"

	"github.com/example/myapp-hub/test/bench/report"
)

// scenario is one row of what the benchmark does.
type scenario struct {
	name string
	// title says what is done, at which size.
	title func(w *world) string
	// after is the scenario on whose end state it goes on; empty: none.
	after string
	// apps is how many there are; of a scenario that goes on, those of the first.
	apps func(o options) int
	// step is what is measured, generation what the apps are ready at after it.
	step       func(a *apps, ctx context.Context) error
	generation int64
	measures   []report.Measure
}

// scenarios are what the benchmark can do, in the order in which it is done.
func scenarios() []scenario {
	return []scenario{
		{
			name: "S1",
			title: func(w *world) string {
				return fmt.Sprintf("%d apps × %d members × 2 objects, Push, created at once", w.apps, len(w.members))
			},
			apps:       func(o options) int { return o.apps },
			step:       (*apps).create,
			generation: 1,
			measures: measures(goals{
				keyRequests: report.AtMost(1.25), keyMakespan: report.AtMost(1.3), keyCPU: report.AtMost(1.5), keyReady99: report.AtMost(1.3),
			}),
		},
		{
			name:       "S3",
			title:      func(w *world) string { return fmt.Sprintf("another image for all %d apps", w.apps) },
			after:      "S1",
			step:       (*apps).changeImage,
			generation: 2,
			measures:   measures(goals{keyRequests: report.AtMost(1.25), keyMakespan: report.AtMost(1.4)}),
		},
		{
			name:       "1xN",
			title:      func(w *world) string { return fmt.Sprintf("1 app × %d members × 2 objects, Push", len(w.members)) },
			apps:       func(options) int { return 1 },
			step:       (*apps).create,
			generation: 1,
			measures:   measures(goals{keyMakespan: report.AtMost(1.3)}),
		},
	}
}

func names() []string {
	var names []string
	for _, s := range scenarios() {
		names = append(names, s.name)
	}
	return names
}

// Keys of what is measured in a run.
const (
	keyRequests   = "requests"
	keyToHub      = "requestsHub"
	keyToMembers  = "requestsMembers"
	keyHubWrites  = "hubWritesPerApp"
	keyReads      = "memberReads"
	keyBackground = "background"
	keyMakespan   = "makespan"
	keyReady50    = "readyP50"
	keyReady99    = "readyP99"
	keyVisible50  = "visibleP50"
	keyVisible99  = "visibleP99"
	keyCPU        = "cpu"
	keyPeak       = "peakRSS"
	keyConns      = "connections"
)

// goals by key.
type goals map[string]*report.Goal

// measures are the rows of a scenario, with what is asked of them.
func measures(g goals) []report.Measure {
	all := []report.Measure{
		{Key: keyRequests, Name: "requests", Counted: true},
		{Key: keyToHub, Name: "  to the hub's API server", Counted: true},
		{Key: keyToMembers, Name: "  to the members", Counted: true},
		{Key: keyHubWrites, Name: "  writes on the hub, per app", Counted: true},
		{Key: keyReads, Name: "  reads on members", Counted: true},
		{Key: keyBackground, Name: "leases and probes meanwhile", Counted: true},
		{Key: keyMakespan, Name: "makespan", Unit: "s"},
		{Key: keyReady50, Name: "asked for → Ready, p50", Unit: "s"},
		{Key: keyReady99, Name: "asked for → Ready, p99", Unit: "s"},
		{Key: keyVisible50, Name: "asked for → on a member, p50", Unit: "s"},
		{Key: keyVisible99, Name: "asked for → on a member, p99", Unit: "s"},
		{Key: keyCPU, Name: "CPU of the process", Unit: "s"},
		{Key: keyPeak, Name: "peak RSS of the process", Unit: "MiB"},
		{Key: keyConns, Name: "TCP connections per member", Counted: true},
	}
	for i := range all {
		all[i].Goal = g[all[i].Key]
	}
	return all
}

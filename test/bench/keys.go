package main

import "github.com/example/myapp-hub/test/bench/report"

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
	keyRSS        = "rss"
	keyConns      = "connections"
	keyGoroutines = "goroutines"

	keyWorks        = "works"
	keyWorkStatuses = "workStatuses"
	keyMemberWrites = "memberWrites"
	keyAgentPeak    = "agentPeakRSS"
	keyAgentCPU     = "agentCPU"

	keyWrites        = "writes"
	keyMemberRate    = "memberRequestsPerSecond"
	keyHubRate       = "hubRequestsPerSecond"
	keyCPUShare      = "cpuShare"
	keyConverged     = "converged"
	keyLists         = "listsAndWatches"
	keyListsAllowed  = "listsAndWatchesAllowed"
	keyListsShare    = "listsAndWatchesShare"
	keyNewBefore     = "newAppBefore"
	keyNewAfter      = "newAppAfter"
	keyNewRatio      = "newAppRatio"
	keyPlainVisible  = "plainVisibleP99"
	keyPlainRow      = "plainRowP99"
	keyFaultVisible  = "faultVisibleP99"
	keyFaultRow      = "faultRowP99"
	keyFaultRatio    = "faultVisibleRatio"
	keyDetected      = "detected"
	keyBehind        = "behind"
	keyReturned      = "requestsToReturned"
	keyReturnedRatio = "requestsToReturnedRatio"
	keyCatchUp       = "catchUp"

	keyFlips          = "flipsPerSecond"
	keyPatches        = "patchesPerApp"
	keyPatchesAllowed = "patchesPerAppAllowed"
	keyPatchesShare   = "patchesPerAppShare"
	keyStale50        = "staleP50"
	keyStale99        = "staleP99"
	keyLag99          = "lagP99"
	keyTurned50       = "readyTurnedP50"
	keyTurned99       = "readyTurnedP99"

	keyMemberRSS        = "rssPerMember"
	keyMemberConns      = "connectionsPerMember"
	keyMemberGoroutines = "goroutinesPerMember"
	keyObjectRSS        = "rssPerObject"
	keyRSSBare          = "rssBare"
	keyRSSMembers       = "rssMembers"
	keyRSSApps          = "rssApps"

	keyAgentRate = "agentRequestsPerSecond"
	keyAgentBeat = "agentBackgroundPerSecond"
)

// goals by key.
type goals map[string]*report.Goal

// measures are the rows of a scenario, with what is asked of them.
func measures(g goals, rows ...[]report.Measure) []report.Measure {
	var all []report.Measure
	for _, some := range rows {
		all = append(all, some...)
	}
	for i := range all {
		all[i].Goal = g[all[i].Key]
	}
	return all
}

// pairMeasures are those of scenarios that both contenders run.
func pairMeasures() []report.Measure {
	return []report.Measure{
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
		{Key: keyGoroutines, Name: "goroutines", Counted: true},
	}
}

// pullMeasures are those of agents at work.
func pullMeasures() []report.Measure {
	return []report.Measure{
		{Key: keyWorks, Name: "writes of Works, per app and member", Counted: true},
		{Key: keyWorkStatuses, Name: "writes of their status, per app and member", Counted: true},
		{Key: keyMemberWrites, Name: "writes on members, per app and member", Counted: true},
		{Key: keyAgentCPU, Name: "CPU of all agents", Unit: "s"},
		{Key: keyAgentPeak, Name: "peak RSS of an agent, the most", Unit: "MiB"},
	}
}

// idleMeasures are those of a time in which nothing happens.
func idleMeasures() []report.Measure {
	return []report.Measure{
		{Key: keyWrites, Name: "writes but leases", Counted: true},
		{Key: keyHubRate, Name: "requests to the hub's API server, per second", Counted: true},
		{Key: keyMemberRate, Name: "requests to members, per second and member", Counted: true},
		{Key: keyCPUShare, Name: "CPU of the hub, of one core (the goal is for 1,000 apps × 100 members)", Unit: "%"},
		{Key: keyRSS, Name: "RSS of the hub", Unit: "MiB"},
		{Key: keyConns, Name: "TCP connections per member", Counted: true},
		{Key: keyGoroutines, Name: "goroutines", Counted: true},
	}
}

func idlePullMeasures() []report.Measure {
	return []report.Measure{
		{Key: keyAgentRate, Name: "requests of an agent, per second", Counted: true},
		{Key: keyAgentBeat, Name: "  of them leases and probes", Counted: true},
		{Key: keyAgentPeak, Name: "peak RSS of an agent, the most", Unit: "MiB"},
	}
}

// restartMeasures are those of a hub that was killed and started again.
func restartMeasures() []report.Measure {
	return []report.Measure{
		{Key: keyWrites, Name: "writes but leases", Counted: true},
		{Key: keyLists, Name: "LISTs and watches begun", Counted: true},
		{Key: keyListsAllowed, Name: "  kinds × members + selections of kinds on the hub", Counted: true},
		{Key: keyListsShare, Name: "  the first by the second", Counted: true},
		{Key: keyConverged, Name: "lease won → converged", Unit: "s"},
		{Key: keyNewBefore, Name: "new app → Ready without a restart, p50", Unit: "s"},
		{Key: keyNewAfter, Name: "new app → Ready when the lease is won, p50", Unit: "s"},
		{Key: keyNewRatio, Name: "  the second by the first"},
		{Key: keyCPU, Name: "CPU since the start", Unit: "s"},
		{Key: keyPeak, Name: "peak RSS (the goal is for 100,000 objects)", Unit: "MiB"},
		{Key: keyRSS, Name: "RSS when converged", Unit: "MiB"},
		{Key: keyGoroutines, Name: "goroutines", Counted: true},
	}
}

// blackHoleMeasures are those of a member that falls silent and returns.
func blackHoleMeasures() []report.Measure {
	return []report.Measure{
		{Key: keyPlainVisible, Name: "without the fault: asked for → on a healthy member, p99", Unit: "s"},
		{Key: keyFaultVisible, Name: "with it: asked for → on a healthy member, p99", Unit: "s"},
		{Key: keyFaultRatio, Name: "  the second by the first"},
		{Key: keyPlainRow, Name: "without the fault: asked for → row of a healthy member Ready, p99", Unit: "s"},
		{Key: keyFaultRow, Name: "with it: asked for → row of a healthy member Ready, p99", Unit: "s"},
		{Key: keyDetected, Name: "silent → not Ready", Unit: "s"},
		{Key: keyBehind, Name: "apps that the member is behind when it returns", Counted: true},
		{Key: keyReturned, Name: "requests to it until it has caught up", Counted: true},
		{Key: keyReturnedRatio, Name: "  the second by the first, of which an app needs 1", Counted: true},
		{Key: keyCatchUp, Name: "back → all apps Ready", Unit: "s"},
	}
}

// churnMeasures are those of readiness that changes all the time.
func churnMeasures() []report.Measure {
	return []report.Measure{
		{Key: keyFlips, Name: "flips per second", Counted: true},
		{Key: keyPatches, Name: "status patches of the app that has most", Counted: true},
		{Key: keyPatchesAllowed, Name: "  what the growing window allows", Counted: true},
		{Key: keyPatchesShare, Name: "  the first by the second", Counted: true},
		{Key: keyToHub, Name: "requests to the hub's API server", Counted: true},
		{Key: keyReads, Name: "reads on members", Counted: true},
		{Key: keyStale50, Name: "a flip → shown or undone, p50", Unit: "s"},
		{Key: keyStale99, Name: "a flip → shown or undone, p99", Unit: "s"},
		{Key: keyLag99, Name: "  of that the member itself, p99", Unit: "s"},
		{Key: keyTurned50, Name: "a flip of Ready → shown, p50", Unit: "s"},
		{Key: keyTurned99, Name: "a flip of Ready → shown, p99", Unit: "s"},
		{Key: keyCPUShare, Name: "CPU of the hub, of one core", Unit: "%"},
		{Key: keyPeak, Name: "peak RSS of the hub", Unit: "MiB"},
	}
}

// marginalMeasures are what one more costs.
func marginalMeasures() []report.Measure {
	return []report.Measure{
		{Key: keyRSSBare, Name: "RSS without apps", Unit: "MiB"},
		{Key: keyRSSMembers, Name: "RSS without apps and with the further members", Unit: "MiB"},
		{Key: keyMemberRSS, Name: "  per further member", Unit: "MiB"},
		{Key: keyMemberConns, Name: "TCP connections per further member", Counted: true},
		{Key: keyMemberGoroutines, Name: "goroutines per further member", Counted: true},
		{Key: keyRSSApps, Name: "RSS with the apps", Unit: "MiB"},
		{Key: keyObjectRSS, Name: "  per object on a member", Unit: "KiB"},
	}
}

package main

import (
	"context"
	"slices"
	"time"

	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// objectsPerApp is how many objects an app has on a member, but for lone ones.
const objectsPerApp = 2

// idle measures a time in which nothing happens. What the apps' creation leaves to
// be written has had its time to be written before: settle.
func idle(ctx context.Context, a *apps, run *report.Run) (counts meter.Counts, err error) {
	w := a.world
	if err := quiet(ctx, settle); err != nil {
		return nil, err
	}
	before, err := w.begin(w.fleet.Hub().Pid())
	if err != nil {
		return nil, err
	}
	if err := quiet(ctx, w.idle); err != nil {
		return nil, err
	}
	if counts, err = w.end(ctx, before, a.contender, run); err != nil {
		return nil, err
	}
	v, seconds, hub := run.Values, time.Since(before.at).Seconds(), w.hubUsers()
	ofHub := func(match func(meter.Request) bool) float64 {
		return counted(counts, func(r meter.Request) bool { return slices.Contains(hub, r.User) && match(r) })
	}
	v[keyWrites] = counted(counts, change)
	v[keyHubRate] = ofHub(func(r meter.Request) bool { return r.Server == fleet.HubName }) / seconds
	v[keyMemberRate] = ofHub(func(r meter.Request) bool { return r.Server != fleet.HubName }) / seconds / float64(len(w.members))
	v[keyCPUShare] = 100 * v[keyCPU] / seconds
	return counts, nil
}

// idlePush is idle for Push members, where the hub is all there is.
func idlePush(ctx context.Context, a *apps, run *report.Run) error {
	_, err := idle(ctx, a, run)
	return err
}

// idlePull measures also the agents, each on its own cluster and on the hub.
func idlePull(ctx context.Context, a *apps, run *report.Run) error {
	counts, err := idle(ctx, a, run)
	if err != nil {
		return err
	}
	all, agents := a.world.idle.Seconds()*float64(len(a.world.members)), a.world.agents()
	run.Values[keyAgentRate] = counted(counts, func(r meter.Request) bool { return slices.Contains(agents, r.User) }) / all
	run.Values[keyAgentBeat] = counted(counts, func(r meter.Request) bool { return slices.Contains(agents, r.User) && r.Background() }) / all
	return nil
}

// mailboxes adds what delivery to Pull members cost, per app and member.
func (w *world) mailboxes(counts meter.Counts, apps int, values map[string]float64) {
	all := float64(apps * len(w.members))
	writes := func(resource string) float64 {
		return counted(counts, func(r meter.Request) bool { return toHub(r) && r.Write() && r.Resource == resource }) / all
	}
	values[keyWorks], values[keyWorkStatuses] = writes("works"), writes("works/status")
	values[keyMemberWrites] = counted(counts, func(r meter.Request) bool { return toMember(r) && r.Write() }) / all
}

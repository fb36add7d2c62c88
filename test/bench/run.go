package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// settle is how long a run is measured beyond its last Ready: what is still
// written then, and what it costs, belongs to it.
const settle = 2 * time.Second

// warmUp is the size of the runs before the first: connections, caches and the
// inventories of the members are there from then on.
const warmUp = 2

// runAll runs what was picked, one fleet after the other: the machine has room for
// one. With an error it returns what was measured until then.
func runAll(ctx context.Context, o options) (out []report.Scenario, etcd meter.Metrics, err error) {
	etcd = meter.Metrics{}
	for _, s := range settings(o) {
		w, err := newWorld(ctx, o, s)
		if err != nil {
			return out, etcd, err
		}
		some, err := w.runAll(ctx)
		out = append(out, some...)
		if m, broken := w.metrics.etcd(ctx); broken == nil {
			etcd.Add(m)
		} else if err == nil {
			err = broken
		}
		if down := w.close(err == nil || ctx.Err() != nil); err == nil {
			err = down
		}
		if err != nil {
			return out, etcd, err
		}
	}
	return out, etcd, nil
}

// settings are those of what was picked, each once, in the order of the scenarios.
func settings(o options) (all []setting) {
	for _, s := range scenarios(o) {
		if o.picked(s.name) && !slices.Contains(all, s.setting) {
			all = append(all, s.setting)
		}
	}
	return all
}

// runAll runs what was picked of the scenarios on this fleet.
func (w *world) runAll(ctx context.Context) (out []report.Scenario, err error) {
	for _, c := range order(0, w) {
		if _, err := w.run(ctx, c, nil, warmUp); err != nil {
			return nil, err
		}
	}
	w.say("warm")
	for _, first := range scenarios(w.options) {
		if first.setting != w.setting {
			continue
		}
		steps := w.chain(first)
		var group []report.Scenario
		switch {
		case len(steps) == 0:
		case first.alone != nil:
			group, err = w.repeat(ctx, steps)
		default:
			group, err = w.pairs(ctx, steps)
		}
		out = append(out, group...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// chain is a scenario and those that go on from it, up to the last that was
// picked; nothing for one that goes on itself.
func (o options) chain(first scenario) []scenario {
	if first.after != "" {
		return nil
	}
	chain, last := []scenario{first}, 0
	if o.picked(first.name) {
		last = 1
	}
	for _, s := range scenarios(o) {
		if s.after != first.name {
			continue
		}
		chain = append(chain, s)
		if o.picked(s.name) {
			last = len(chain)
		}
	}
	return chain[:last]
}

// pairs runs steps with each contender in turn, and again.
func (w *world) pairs(ctx context.Context, steps []scenario) ([]report.Scenario, error) {
	out, n := w.blank(steps), steps[0].apps
	for pair := range w.runs {
		for _, c := range order(pair, w) {
			runs, err := w.run(ctx, c, steps, n)
			for i := range runs {
				out[i].Runs = append(out[i].Runs, runs[i])
				w.say("%s, run %d of %d, %s: %.2f s, %.0f requests", out[i].Name, pair+1, w.runs, c.name,
					runs[i].Values[keyMakespan], runs[i].Values[keyRequests])
			}
			if err != nil {
				return slices.DeleteFunc(out, w.notPicked), err
			}
		}
	}
	return slices.DeleteFunc(out, w.notPicked), nil
}

// run has one contender take the steps in a namespace of its own, and cleans up.
// Without steps it creates the apps and measures nothing.
func (w *world) run(ctx context.Context, c contender, steps []scenario, n int) (runs []report.Run, err error) {
	namespace, err := w.space(ctx)
	if err != nil {
		return nil, err
	}
	pid, stop, err := c.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	a, err := watch(ctx, w, c, namespace, n)
	if err != nil {
		return nil, err
	}
	defer a.close()
	if len(steps) == 0 {
		if err := errors.Join(a.create(ctx), a.waitReady(ctx, 1)); err != nil {
			return nil, err
		}
	}
	for _, s := range steps {
		run, err := w.measure(ctx, a, s, pid)
		if err != nil {
			return runs, err
		}
		runs = append(runs, run)
	}
	return runs, a.clean(ctx)
}

// measure takes one step and measures it.
func (w *world) measure(ctx context.Context, a *apps, s scenario, pid int) (report.Run, error) {
	before, err := w.begin(pid)
	if err != nil {
		return report.Run{}, err
	}
	profiled := func() error { return nil }
	if a.contender.name == report.Hub {
		profiled = w.profiled(ctx, s.name)
	}
	if err := s.step(a, ctx); err != nil {
		return report.Run{}, err
	}
	if err := a.waitReady(ctx, s.generation); err != nil {
		return report.Run{}, err
	}
	if err := quiet(ctx, settle); err != nil {
		return report.Run{}, err
	}
	run := report.Run{Contender: a.contender.name, Values: map[string]float64{}}
	if err := a.times(s.generation, run.Values); err != nil {
		return report.Run{}, err
	}
	counts, err := w.end(ctx, before, a.contender, &run)
	err = errors.Join(err, profiled())
	run.Values[keyHubWrites] = counted(counts, func(r meter.Request) bool { return toHub(r) && r.Write() }) / float64(a.n)
	if w.mode == fleet.ModePull && a.contender.name == report.Hub {
		w.mailboxes(counts, a.n, run.Values)
	}
	return run, err
}

// repeat runs scenarios that have no floor, with the hub alone, and again.
func (w *world) repeat(ctx context.Context, steps []scenario) ([]report.Scenario, error) {
	out := w.blank(steps)
	for i := range w.repeats {
		began := time.Now()
		runs, err := w.soloRun(ctx, steps)
		for j := range runs {
			out[j].Runs = append(out[j].Runs, runs[j])
		}
		if err != nil {
			return slices.DeleteFunc(out, w.notPicked), err
		}
		w.say("%s, run %d of %d: %.0f s", steps[0].name, i+1, w.repeats, time.Since(began).Seconds())
	}
	return slices.DeleteFunc(out, w.notPicked), nil
}

// soloRun has the hub put apps on the members, which is not measured, then plays
// the scenarios with them, and cleans up.
func (w *world) soloRun(ctx context.Context, steps []scenario) (runs []report.Run, err error) {
	a, err := w.populate(ctx, steps[0].apps, steps[0].lone)
	if err != nil {
		return nil, err
	}
	defer a.close()
	for _, s := range steps {
		run := report.Run{Contender: report.Hub, Values: map[string]float64{}}
		if err := s.alone(ctx, a, &run); err != nil {
			return runs, err
		}
		w.say("%s: measured", s.name)
		runs = append(runs, run)
	}
	return runs, a.clean(ctx)
}

// blank are the scenarios without a run.
func (w *world) blank(steps []scenario) []report.Scenario {
	out := make([]report.Scenario, len(steps))
	for i, s := range steps {
		out[i] = report.Scenario{Name: s.name, Title: s.title(w), Measures: s.measures}
	}
	return out
}

func (o options) notPicked(s report.Scenario) bool { return !o.picked(s.Name) }

// populate puts apps of the hub on the members and waits until they are ready.
func (w *world) populate(ctx context.Context, n int, lone bool) (*apps, error) {
	namespace, err := w.space(ctx)
	if err != nil {
		return nil, err
	}
	a, err := watch(ctx, w, theHub(w), namespace, n)
	if err != nil {
		return nil, err
	}
	a.lone = lone
	if err := errors.Join(a.create(ctx), a.waitReady(ctx, 1)); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// quiet lets time pass that is measured.
func quiet(ctx context.Context, during time.Duration) error {
	select {
	case <-time.After(during):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/example/myapp-hub/test/bench/report"
)

// settle is how long a run is measured beyond its last Ready: what is still
// written then, and what it costs, belongs to it.
const settle = 2 * time.Second

// warmUp is the size of the runs before the first: connections, caches and the
// inventories of the members are there from then on.
const warmUp = 2

// runAll runs what was picked, contender by contender and pair by pair. With an
// error it returns what was measured until then.
func runAll(ctx context.Context, w *world) ([]report.Scenario, error) {
	all := contenders(w)
	for _, c := range all {
		if _, err := w.run(ctx, c, nil, warmUp); err != nil {
			return nil, err
		}
	}
	w.say("warm")
	var out []report.Scenario
	for _, first := range scenarios() {
		steps := w.chain(first)
		if len(steps) == 0 {
			continue
		}
		group, err := w.pairs(ctx, all, steps)
		out = append(out, group...)
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

// chain is a scenario and those that go on from it, up to the last that was
// picked; nothing for one that goes on itself.
func (w *world) chain(first scenario) []scenario {
	if first.after != "" {
		return nil
	}
	chain, last := []scenario{first}, 0
	if w.picked(first.name) {
		last = 1
	}
	for _, s := range scenarios() {
		if s.after != first.name {
			continue
		}
		chain = append(chain, s)
		if w.picked(s.name) {
			last = len(chain)
		}
	}
	return chain[:last]
}

// pairs runs steps with each contender in turn, and again.
func (w *world) pairs(ctx context.Context, all []contender, steps []scenario) ([]report.Scenario, error) {
	out := make([]report.Scenario, len(steps))
	for i, s := range steps {
		out[i] = report.Scenario{Name: s.name, Title: s.title(w), Measures: s.measures}
	}
	notPicked := func(s report.Scenario) bool { return !w.picked(s.Name) }
	n := steps[0].apps(w.options)
	for pair := range w.runs {
		for _, c := range all {
			runs, err := w.run(ctx, c, steps, n)
			for i := range runs {
				out[i].Runs = append(out[i].Runs, runs[i])
				w.say("%s, run %d of %d, %s: %.2f s, %.0f requests", out[i].Name, pair+1, w.runs, c.name,
					runs[i].Values[keyMakespan], runs[i].Values[keyRequests])
			}
			if err != nil {
				return slices.DeleteFunc(out, notPicked), err
			}
		}
	}
	return slices.DeleteFunc(out, notPicked), nil
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
	if err := s.step(a, ctx); err != nil {
		return report.Run{}, err
	}
	if err := a.waitReady(ctx, s.generation); err != nil {
		return report.Run{}, err
	}
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return report.Run{}, ctx.Err()
	}
	run := report.Run{Contender: a.contender.name, Values: map[string]float64{}}
	if err := a.times(s.generation, run.Values); err != nil {
		return report.Run{}, err
	}
	return run, w.end(before, a, &run)
}

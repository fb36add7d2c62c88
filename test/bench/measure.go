package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/bench/simulator"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// groups of processes whose use is told apart.
const (
	groupContender  = "contender"
	groupHubAPI     = "hub's API server"
	groupMemberAPIs = "members' API servers"
	groupEtcd       = "etcd"
	groupOthers     = "controller manager"
	groupDriver     = "driver, proxies and simulator"
)

// before is the state when a measurement begins.
type before struct {
	pid   int
	marks meter.Marks
	usage map[int]meter.Usage
}

// processes are all that are measured, with their group. The hub's process is one
// only while the hub is the contender.
func (w *world) processes(contender int) map[int]string {
	pids := map[int]string{contender: groupContender, os.Getpid(): groupDriver}
	for _, p := range w.fleet.Processes() {
		pid := p.Pid()
		switch name := p.Name(); {
		case pid == 0, name == fleet.HubProcess:
		case name == fleet.HubName+"-apiserver":
			pids[pid] = groupHubAPI
		case strings.HasSuffix(name, "-apiserver"):
			pids[pid] = groupMemberAPIs
		case name == "etcd":
			pids[pid] = groupEtcd
		default:
			pids[pid] = groupOthers
		}
	}
	return pids
}

// begin takes the marks that end compares with.
func (w *world) begin(pid int) (before, error) {
	b := before{pid: pid, usage: map[int]meter.Usage{}}
	for p := range w.processes(pid) {
		if err := meter.ResetPeak(p); err != nil {
			return b, err
		}
		u, err := meter.UsageOf(p)
		if err != nil {
			return b, err
		}
		b.usage[p] = u
	}
	b.marks = meter.Mark(w.fleet.Clusters())
	return b, nil
}

// end adds to the run what was used and asked since begin.
func (w *world) end(b before, a *apps, run *report.Run) error {
	if err := w.used(b, run); err != nil {
		return err
	}
	counts, err := meter.Since(w.fleet.Clusters(), b.marks, a.contender.user)
	if err != nil {
		return err
	}
	counts = counts.By(func(server string) string {
		if server == fleet.HubName {
			return server
		}
		return "members"
	})
	for _, r := range counts.Sorted() {
		run.Requests = append(run.Requests, report.Requests{
			Server: r.Server, User: r.User, Verb: r.Verb, Resource: r.Resource, Count: counts[r],
		})
	}
	toHub := func(r meter.Request) bool { return r.Server == fleet.HubName && !r.Background() }
	toMembers := func(r meter.Request) bool { return r.Server != fleet.HubName && !r.Background() }
	v := run.Values
	v[keyToHub], v[keyToMembers] = float64(counts.Sum(toHub)), float64(counts.Sum(toMembers))
	v[keyRequests] = v[keyToHub] + v[keyToMembers]
	v[keyBackground] = float64(counts.Sum(meter.Request.Background))
	v[keyHubWrites] = float64(counts.Sum(func(r meter.Request) bool { return toHub(r) && r.Write() })) / float64(a.n)
	v[keyReads] = float64(counts.Sum(func(r meter.Request) bool { return toMembers(r) && !r.Write() }))
	v[keyConns], err = w.connections(b.pid)
	return err
}

// used adds CPU time and memory by group of processes.
func (w *world) used(b before, run *report.Run) error {
	sums := map[string]*report.Usage{}
	for pid, group := range w.processes(b.pid) {
		now, err := meter.UsageOf(pid)
		if err != nil {
			return err
		}
		if sums[group] == nil {
			sums[group] = &report.Usage{Group: group}
		}
		sums[group].CPUSeconds += (now.CPU - b.usage[pid].CPU).Seconds()
		sums[group].PeakRSS += now.PeakRSS
		sums[group].RSS += now.RSS
	}
	for _, group := range []string{groupContender, groupHubAPI, groupMemberAPIs, groupEtcd, groupOthers, groupDriver} {
		if sums[group] != nil {
			run.Processes = append(run.Processes, *sums[group])
		}
	}
	run.Values[keyCPU] = sums[groupContender].CPUSeconds
	run.Values[keyPeak] = float64(sums[groupContender].PeakRSS) / (1 << 20)
	return nil
}

// connections is the number of TCP connections to the member that has the most.
func (w *world) connections(pid int) (float64, error) {
	ports, err := meter.Connections(pid)
	if err != nil {
		return 0, err
	}
	most := 0
	for _, c := range w.members {
		u, err := url.Parse(c.ProxyURL())
		if err != nil {
			return 0, err
		}
		port, err := strconv.Atoi(u.Port())
		if err != nil {
			return 0, err
		}
		most = max(most, ports[port])
	}
	return float64(most), nil
}

// times adds when the apps were seen on the members, and when they were ready.
func (a *apps) times(generation int64, values map[string]float64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var first, last time.Time
	var ready, visible []float64
	for name, begun := range a.begun {
		at := a.ready[name][generation]
		ready = append(ready, at.Sub(begun).Seconds())
		if first.IsZero() || begun.Before(first) {
			first = begun
		}
		if at.After(last) {
			last = at
		}
		for _, c := range a.world.members {
			seen, ok := a.world.simulator.Seen(simulator.Sighting{
				Member: c.Name(), Generation: generation,
				Deployment: types.NamespacedName{Namespace: a.namespace, Name: name},
			})
			if !ok {
				return fmt.Errorf("%s says that %s is ready at generation %d, and nobody has seen that on %s", a.contender.name, name, generation, c.Name())
			}
			visible = append(visible, seen.Sub(begun).Seconds())
		}
	}
	if len(ready) == 0 {
		return errors.New("no app was asked for")
	}
	values[keyMakespan] = last.Sub(first).Seconds()
	values[keyReady50], values[keyReady99] = report.Quantile(ready, 0.5), report.Quantile(ready, 0.99)
	values[keyVisible50], values[keyVisible99] = report.Quantile(visible, 0.5), report.Quantile(visible, 0.99)
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/example/myapp-hub/test/bench/meter"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/bench/simulator"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// groups of processes whose use is told apart.
const (
	groupContender  = "contender"
	groupAgents     = "agents"
	groupHubAPI     = "hub's API server"
	groupMemberAPIs = "members' API servers"
	groupEtcd       = "etcd"
	groupOthers     = "controller manager"
	groupDriver     = "driver, proxies and simulator"
)

// megabyte is the unit of memory in the results.
const megabyte = 1 << 20

// before is the state when a measurement begins.
type before struct {
	pid   int
	at    time.Time
	marks meter.Marks
	usage map[int]meter.Usage
}

// processes are all that are measured, with their group. Hub and agents are
// only while the hub is the contender.
func (w *world) processes(contender int) map[int]string {
	pids := map[int]string{contender: groupContender, os.Getpid(): groupDriver}
	for _, p := range w.fleet.Processes() {
		pid := p.Pid()
		switch name := p.Name(); {
		case pid == 0, name == fleet.HubProcess:
		case strings.HasPrefix(name, fleet.AgentProcess("")):
			if contender == w.fleet.Hub().Pid() {
				pids[pid] = groupAgents
			}
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
	b.marks, b.at = meter.Mark(w.fleet.Clusters()), time.Now()
	return b, nil
}

// end adds to the run what the contender used and asked since begin, and returns
// what it asked, by server.
func (w *world) end(ctx context.Context, b before, c contender, run *report.Run) (meter.Counts, error) {
	if err := w.used(b, run); err != nil {
		return nil, err
	}
	counts, err := meter.Since(w.fleet.Clusters(), b.marks, c.asked)
	if err != nil {
		return nil, err
	}
	w.requests(counts, run)
	if run.Values[keyConns], err = w.connections(b.pid); err != nil || c.name != report.Hub {
		return counts, err
	}
	m, err := w.metrics.hub(ctx)
	run.Values[keyGoroutines] = m.Sum("go_goroutines")
	return counts, err
}

// requests adds the counts to the run, those of all members together.
func (w *world) requests(counts meter.Counts, run *report.Run) {
	together := counts.By(func(server string) string {
		if server == fleet.HubName {
			return server
		}
		return "members"
	})
	for _, r := range together.Sorted() {
		run.Requests = append(run.Requests, report.Requests{
			Server: r.Server, User: r.User, Verb: r.Verb, Resource: r.Resource, Count: together[r],
		})
	}
	v := run.Values
	v[keyToHub], v[keyToMembers] = counted(counts, toHub), counted(counts, toMember)
	v[keyRequests] = v[keyToHub] + v[keyToMembers]
	v[keyBackground] = counted(counts, meter.Request.Background)
	v[keyReads] = counted(counts, func(r meter.Request) bool { return toMember(r) && !r.Write() })
}

func toHub(r meter.Request) bool    { return r.Server == fleet.HubName && !r.Background() }
func toMember(r meter.Request) bool { return r.Server != fleet.HubName && !r.Background() }

// change is true for a write that is neither a lease nor a question.
func change(r meter.Request) bool { return r.Write() && !r.Background() }

func counted(c meter.Counts, match func(meter.Request) bool) float64 { return float64(c.Sum(match)) }

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
		if group == groupAgents {
			run.Values[keyAgentPeak] = max(run.Values[keyAgentPeak], float64(now.PeakRSS)/megabyte)
		}
	}
	for _, group := range []string{groupContender, groupAgents, groupHubAPI, groupMemberAPIs, groupEtcd, groupOthers, groupDriver} {
		if sums[group] != nil {
			run.Processes = append(run.Processes, *sums[group])
		}
	}
	if agents := sums[groupAgents]; agents != nil {
		run.Values[keyAgentCPU] = agents.CPUSeconds
	}
	run.Values[keyCPU] = sums[groupContender].CPUSeconds
	run.Values[keyRSS] = float64(sums[groupContender].RSS) / megabyte
	run.Values[keyPeak] = float64(sums[groupContender].PeakRSS) / megabyte
	return nil
}

// connections is the number of TCP connections per member, on the cluster that has
// the most for its members.
func (w *world) connections(pid int) (float64, error) {
	ports, err := meter.Connections(pid)
	if err != nil {
		return 0, err
	}
	members := map[*fleet.Cluster]int{}
	for _, m := range w.members {
		members[m.cluster]++
	}
	most := 0.0
	for c, n := range members {
		port, err := proxyPort(c)
		if err != nil {
			return 0, err
		}
		most = max(most, float64(ports[port])/float64(n))
	}
	return most, nil
}

// proxyPort is the port by which hub, agents and C0 reach a cluster.
func proxyPort(c *fleet.Cluster) (int, error) {
	u, err := url.Parse(c.ProxyURL())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Port())
}

// times adds when the apps were seen on the members, and when they were ready.
func (a *apps) times(generation int64, values map[string]float64) error {
	visible, err := a.visible(generation, a.world.members)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var first, last time.Time
	var ready []float64
	for name, begun := range a.begun {
		at := a.ready[name][generation]
		ready = append(ready, at.Sub(begun).Seconds())
		if first.IsZero() || begun.Before(first) {
			first = begun
		}
		if at.After(last) {
			last = at
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

// visible is how many seconds after it was asked for each app was seen on each of
// the members, at a generation.
func (a *apps) visible(generation int64, members []member) ([]float64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var visible []float64
	for name, begun := range a.begun {
		for _, m := range members {
			seen, ok := a.seen(name, m, generation)
			if !ok {
				return nil, fmt.Errorf("nobody has seen %s of %s on %s at generation %d", name, a.contender.name, m.name, generation)
			}
			visible = append(visible, seen.Sub(begun).Seconds())
		}
	}
	return visible, nil
}

// seen is when the simulator saw an app's Deployment on a member.
func (a *apps) seen(name string, m member, generation int64) (time.Time, bool) {
	return a.world.simulator.Seen(simulator.Sighting{
		Cluster: m.cluster.Name(), Generation: generation, Deployment: m.place(a.key(name)),
	})
}

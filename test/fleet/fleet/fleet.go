package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// startsAtOnce bounds the API servers that start at the same time.
	startsAtOnce = 4
	probeTimeout = 2 * time.Second
)

// Fleet is a hub and its members, running.
type Fleet struct {
	cfg     Config
	bin     Binaries
	started time.Time
	spawn   *spawner
	slots   chan struct{}
	etcd    *etcd

	mu        sync.Mutex
	clusters  map[string]*Cluster
	processes map[string]*Process
	proxies   []io.Closer

	recording sync.Mutex // order of writes of the process record
	saying    sync.Mutex // lines of progress
}

// Up starts a fleet and returns when every part of it is ready. If anything
// fails, or ctx ends, what was started is stopped again.
func Up(ctx context.Context, cfg Config) (*Fleet, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	if err := claim(cfg.Dir); err != nil {
		return nil, err
	}
	f := &Fleet{
		cfg:       cfg,
		bin:       Binaries{Root: cfg.Root, Dir: cfg.BinDir, Progress: cfg.Progress},
		started:   time.Now(),
		spawn:     newSpawner(),
		slots:     make(chan struct{}, startsAtOnce),
		clusters:  map[string]*Cluster{},
		processes: map[string]*Process{},
	}
	if err := f.up(ctx); err != nil {
		return nil, errors.Join(err, f.Down())
	}
	f.say("fleet", "ready")
	return f, nil
}

func (f *Fleet) up(ctx context.Context) error {
	if err := f.bin.EnsureBinaries(ctx, f.cfg.optionalBinaries()...); err != nil {
		return err
	}
	if !f.cfg.NoControllers {
		if err := f.bin.buildProduct(ctx); err != nil {
			return err
		}
		f.say("fleet", "hub and agent built")
	}
	var err error
	if f.etcd, err = f.startEtcd(ctx, "etcd"); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	first, err := f.takeSlot(ctx) // everyone waits for the hub
	if err != nil {
		return err
	}
	installed := make(chan struct{})
	group.Go(func() error { return f.startHub(ctx, first, func() { close(installed) }) })
	for _, m := range f.cfg.Members {
		group.Go(func() error { return f.startMember(ctx, m, installed) })
	}
	return group.Wait()
}

// slot is the right to start an API server. Half of a start is waiting, so a few
// may overlap; all at once, on a small machine, and each would be late.
type slot struct{ release func() }

func (f *Fleet) takeSlot(ctx context.Context) (*slot, error) {
	select {
	case f.slots <- struct{}{}:
		return &slot{release: sync.OnceFunc(func() { <-f.slots })}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// startMember brings up a member and joins it once the CRDs are installed on the hub.
func (f *Fleet) startMember(ctx context.Context, m MemberConfig, installed <-chan struct{}) error {
	slot, err := f.takeSlot(ctx)
	if err != nil {
		return err
	}
	c, err := f.startCluster(ctx, m, slot)
	if err != nil || m.Unjoined {
		return err
	}
	select {
	case <-installed:
		return f.join(ctx, newcomer{MemberConfig: m, cluster: c})
	case <-ctx.Done():
		return ctx.Err()
	}
}

// AddMember brings up another member and joins it. If that fails, its processes
// are stopped again, and it may be tried again.
func (f *Fleet) AddMember(ctx context.Context, m MemberConfig) error {
	if f.Cluster(m.Name) != nil {
		return fmt.Errorf("fleet: there is a member %s already", m.Name)
	}
	if m.Mode == "" {
		m.Mode = ModePush
	}
	if err := m.check(); err != nil {
		return err
	}
	installed := make(chan struct{})
	close(installed)
	if err := f.startMember(ctx, m, installed); err != nil {
		return errors.Join(err, f.discard(m.Name))
	}
	return nil
}

// discard stops the processes of a member and forgets it.
func (f *Fleet) discard(member string) error {
	ours := func(name string) bool {
		return name == AgentProcess(member) || slices.Contains(clusterProcesses(member), name)
	}
	err := f.endAll(ours, (*Process).Kill)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.clusters, member)
	maps.DeleteFunc(f.processes, func(name string, _ *Process) bool { return ours(name) })
	return err
}

// Dir holds everything the fleet writes: kubeconfigs, logs, audit logs.
func (f *Fleet) Dir() string { return f.cfg.Dir }

// Cluster returns the hub ("hub") or a member, nil if there is none of that name.
func (f *Fleet) Cluster(name string) *Cluster {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clusters[name]
}

// Client is that of Cluster(cluster), which must be there.
func (f *Fleet) Client(cluster string) client.Client { return f.Cluster(cluster).Client() }

// Kubeconfig is that of Cluster(cluster), which must be there.
func (f *Fleet) Kubeconfig(cluster string) string { return f.Cluster(cluster).Kubeconfig() }

// Clusters returns all clusters, the hub first, then by name.
func (f *Fleet) Clusters() []*Cluster {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*Cluster
	for _, c := range f.clusters {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *Cluster) int {
		switch {
		case a.name == HubName:
			return -1
		case b.name == HubName:
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	return out
}

// Faults injects faults between the product and a cluster; nil without
// Config.Faults, and if there is no such cluster.
func (f *Fleet) Faults(cluster string) *Faults {
	if c := f.Cluster(cluster); c != nil {
		return c.faults
	}
	return nil
}

// Process returns a process by its name, such as hub-controller, agent-us-1,
// eu-1-scheduler or etcd; nil if there is none.
func (f *Fleet) Process(name string) *Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.processes[name]
}

// Processes returns all processes by name, running or not.
func (f *Fleet) Processes() []*Process {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*Process
	for _, p := range f.processes {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Process) int { return strings.Compare(a.name, b.name) })
	return out
}

// Hub is the process of the hub's controllers; nil with NoControllers.
func (f *Fleet) Hub() *Process { return f.Process(HubProcess) }

// Agent is the process of a Pull member's agent; nil if there is none.
func (f *Fleet) Agent(member string) *Process { return f.Process(AgentProcess(member)) }

// Down stops everything and waits for every process: the hub and the agents
// may end in order, the control planes are killed, for their data is not kept.
// Further calls do nothing.
func (f *Fleet) Down() error {
	f.spawn.close() // nothing starts from here on
	err := f.endAll(isProduct, (*Process).Stop)
	err = errors.Join(err, f.endAll(func(string) bool { return true }, (*Process).Kill))
	f.mu.Lock()
	proxies := f.proxies
	f.mu.Unlock()
	for _, p := range proxies {
		err = errors.Join(err, p.Close())
	}
	return err
}

func (f *Fleet) endAll(which func(name string) bool, end func(*Process) error) error {
	var group errgroup.Group
	for _, p := range f.Processes() {
		if which(p.name) {
			group.Go(func() error { return end(p) })
		}
	}
	return group.Wait()
}

// isProduct says whether a process is ours rather than part of a control plane.
func isProduct(name string) bool {
	return name == HubProcess || name == StandbyProcess || strings.HasPrefix(name, agentPrefix)
}

func (f *Fleet) newProcess(name, program string, args []string) *Process {
	p := &Process{
		name: name, path: f.bin.Path(program), args: args,
		log:      f.logPath(name),
		spawn:    f.spawn,
		observed: f.record,
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes[name] = p
	return p
}

func (f *Fleet) logPath(name string) string { return filepath.Join(f.cfg.Dir, logDir, name+".log") }

func (f *Fleet) addCluster(c *Cluster) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clusters[c.name] = c
}

func (f *Fleet) addProxy(p io.Closer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.proxies = append(f.proxies, p)
}

// say reports a step.
func (f *Fleet) say(who, what string) {
	f.saying.Lock()
	defer f.saying.Unlock()
	// Progress is for people; a fleet does not fail for want of a reader.
	_, _ = fmt.Fprintf(f.cfg.Progress, "%6.1f s  %-12s %s\n", time.Since(f.started).Seconds(), who, what)
}

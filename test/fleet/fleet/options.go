package fleet

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
)

// keepEnv, when set, keeps the directories of tests' fleets.
const keepEnv = "FLEET_KEEP"

// startTimeout bounds Start; building the control plane, if it must, included.
const startTimeout = 15 * time.Minute

// Option changes what Start starts. Several options may name the same member.
type Option func(*Config)

// Push adds a member that the hub writes to.
func Push(name string) Option { return member(name, func(m *MemberConfig) { m.Mode = ModePush }) }

// Pull adds a member with an agent.
func Pull(name string) Option { return member(name, func(m *MemberConfig) { m.Mode = ModePull }) }

// Bare makes a member an API server and nothing else: objects are stored, no
// pods come of them. Push, if nothing else is said.
func Bare(name string) Option { return member(name, func(m *MemberConfig) { m.Bare = true }) }

// Unjoined makes a member a cluster that the hub has never heard of.
func Unjoined(name string) Option { return member(name, func(m *MemberConfig) { m.Unjoined = true }) }

// Labels sets the labels of a member's MemberCluster.
func Labels(name string, labels map[string]string) Option {
	return member(name, func(m *MemberConfig) { m.Labels = labels })
}

// WithoutControllers starts neither the hub's nor the agents' processes.
func WithoutControllers() Option { return func(c *Config) { c.NoControllers = true } }

// HubArgs adds to the hub's command line.
func HubArgs(args ...string) Option {
	return func(c *Config) { c.HubArgs = append(c.HubArgs, args...) }
}

// AgentArgs adds to the agents' command lines.
func AgentArgs(args ...string) Option {
	return func(c *Config) { c.AgentArgs = append(c.AgentArgs, args...) }
}

// Scheme replaces the scheme of Cluster.Client.
func Scheme(s *runtime.Scheme) Option { return func(c *Config) { c.Scheme = s } }

// DeployDir takes the CRDs and the RBAC rules from elsewhere than deploy/.
func DeployDir(dir string) Option { return func(c *Config) { c.DeployDir = dir } }

// Fsync makes etcd write through to the disk.
func Fsync() Option { return func(c *Config) { c.Fsync = true } }

// HubEtcd gives the hub's API server an etcd of its own, for Cluster.Snapshot
// and Cluster.Restore.
func HubEtcd() Option { return func(c *Config) { c.HubEtcd = true } }

// WithFaults puts a proxy that can inject faults between the product and every
// API server: Fleet.Faults.
func WithFaults() Option { return func(c *Config) { c.Faults = true } }

// Webhook makes the hub validate MyApps on admission. While the hub is down they
// are admitted unseen.
func Webhook() Option { return func(c *Config) { c.Webhook = true } }

func member(name string, change func(*MemberConfig)) Option {
	return func(c *Config) {
		i := slices.IndexFunc(c.Members, func(m MemberConfig) bool { return m.Name == name })
		if i < 0 {
			c.Members = append(c.Members, MemberConfig{Name: name})
			i = len(c.Members) - 1
		}
		change(&c.Members[i])
	}
}

// QuickHeartbeat makes agents say that they live every 10 s: a test need not wait
// long until one is silent.
const QuickHeartbeat = "--heartbeat-interval=10s"

// QuickFacts makes hub and agents report every second what changes on members.
const QuickFacts = "--facts-interval=1s"

// Start starts a fleet for a test, which fails if that fails, and takes it down
// when the test ends. Its agents have a QuickHeartbeat. Its directory is the test's own, or one that is kept if
// FLEET_KEEP is set. When the test has failed, the ends of the logs of hub and
// agents are logged.
func Start(t testing.TB, opts ...Option) *Fleet {
	t.Helper()
	cfg := Config{Dir: testDir(t), Progress: t.Output(), AgentArgs: []string{QuickHeartbeat}}
	for _, o := range opts {
		o(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	f, err := Up(ctx, cfg)
	if err != nil {
		t.Fatalf("starting a fleet: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			f.logTails(t)
		}
		if err := f.Down(); err != nil {
			t.Errorf("taking the fleet down: %v", err)
		}
	})
	return f
}

func testDir(t testing.TB) string {
	if os.Getenv(keepEnv) == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("", "fleet-")
	if err != nil {
		t.Fatalf("a directory for the fleet: %v", err)
	}
	t.Logf("the fleet's directory is kept: %s", dir)
	return dir
}

func (f *Fleet) logTails(t testing.TB) {
	for _, p := range f.Processes() {
		if isProduct(p.name) {
			t.Logf("the end of %s:\n%s", p.log, p.LogTail(40))
		}
	}
	for _, c := range f.Clusters() {
		if c.faults != nil {
			t.Logf("faults injected on %s:\n%s", c.name, c.faults.Injected())
		}
	}
}

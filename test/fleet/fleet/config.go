package fleet

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	v1 "github.com/example/myapp-hub/api/v1"
)

// HubName is the name of the hub's cluster.
const HubName = "hub"

// Names of the product's processes.
const (
	HubProcess     = "hub-controller"
	StandbyProcess = "hub-standby"
	agentPrefix    = "agent-"
)

// AgentProcess is the name of the process of a Pull member's agent.
func AgentProcess(member string) string { return agentPrefix + member }

// Mode is how workloads get to a member.
type Mode string

// The modes of a member.
const (
	ModePush Mode = "Push"
	ModePull Mode = "Pull"
)

// MemberConfig describes a member.
type MemberConfig struct {
	// Name of the cluster and of its MemberCluster on the hub.
	Name string `json:"name"`
	// Mode is how the hub reaches it. Default: Push.
	Mode Mode `json:"mode"`
	// Labels of the MemberCluster, beside example.com/fleet=local.
	Labels map[string]string `json:"labels,omitempty"`
	// Bare members have an API server and nothing else: no pods, no garbage collection.
	Bare bool `json:"bare,omitempty"`
	// Unjoined members are not registered with the hub.
	Unjoined bool `json:"unjoined,omitempty"`
}

// TenantConfig describes a namespaced member: a namespace of a cluster of the fleet.
type TenantConfig struct {
	// Name of the MemberCluster.
	Name string
	// Cluster is the member on whose cluster it is; that may be Unjoined.
	Cluster string
	// Namespace is made if it is missing. Default: Name.
	Namespace string
	// Mode is how the hub reaches it. Default: Push.
	Mode Mode
	// Labels of the MemberCluster, beside example.com/fleet=local.
	Labels map[string]string
}

// Config describes a fleet.
type Config struct {
	// Dir holds everything the fleet writes. It must be empty, missing or the
	// directory of an earlier fleet, whose remains are removed.
	Dir string
	// Root of the repository. Default: found by walking up from the working directory.
	Root string
	// BinDir holds the binaries. Default: Root/bin.
	BinDir string
	// DeployDir holds crds/ and rbac/. Default: Root/deploy.
	DeployDir string
	// Members of the fleet.
	Members []MemberConfig
	// NoControllers starts neither the hub's nor the agents' processes; the
	// objects they need are made all the same.
	NoControllers bool
	// HubArgs and AgentArgs are added to the command lines.
	HubArgs, AgentArgs []string
	// AgentMetrics makes agents serve /metrics, at the MetricsAddr of their processes.
	AgentMetrics bool
	// HubEnv is added to the environment of the hub's processes: "GOGC=50".
	HubEnv []string
	// HubEtcd gives the hub's API server an etcd of its own, which can be saved
	// and put back: Cluster.Snapshot and Cluster.Restore.
	HubEtcd bool
	// Faults puts an HTTP proxy between the product and every API server that can
	// answer in the API server's place: Fleet.Faults.
	Faults bool
	// Webhook makes the hub validate MyApps on admission: its process gets an
	// address and a certificate to serve with, its API server asks it.
	Webhook bool
	// Fsync makes etcd write through to the disk, as it does in production.
	Fsync bool
	// Scheme of Cluster.Client. Default: client-go's and api/v1.
	Scheme *runtime.Scheme
	// Progress receives a line per step. Default: none.
	Progress io.Writer
}

// complete checks the config and fills in what was left out.
func (c Config) complete() (Config, error) {
	if c.Dir == "" {
		return c, fmt.Errorf("fleet: no directory given")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("fleet: directory %s: %w", c.Dir, err)
	}
	c.Dir = dir
	if c.Root == "" {
		wd, err := os.Getwd()
		if err != nil {
			return c, fmt.Errorf("fleet: working directory: %w", err)
		}
		if c.Root, err = FindRoot(wd); err != nil {
			return c, err
		}
	}
	if c.BinDir == "" {
		c.BinDir = filepath.Join(c.Root, "bin")
	}
	if c.DeployDir == "" {
		c.DeployDir = filepath.Join(c.Root, "deploy")
	}
	if c.Scheme == nil {
		if c.Scheme, err = newScheme(); err != nil {
			return c, err
		}
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	c.Members, err = completeMembers(c.Members)
	return c, err
}

// optionalBinaries are those that the fleet needs beyond a control plane.
func (c Config) optionalBinaries() []string {
	if c.HubEtcd {
		return []string{etcdutl}
	}
	return nil
}

func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(s); err != nil {
		return nil, fmt.Errorf("fleet: scheme of client-go: %w", err)
	}
	if err := v1.AddToScheme(s); err != nil {
		return nil, fmt.Errorf("fleet: scheme of api/v1: %w", err)
	}
	return s, nil
}

func completeMembers(in []MemberConfig) ([]MemberConfig, error) {
	out := make([]MemberConfig, 0, len(in))
	seen := map[string]bool{}
	for _, m := range in {
		if m.Mode == "" {
			m.Mode = ModePush
		}
		if err := m.check(); err != nil {
			return nil, err
		}
		if seen[m.Name] {
			return nil, fmt.Errorf("fleet: member %s is given twice", m.Name)
		}
		seen[m.Name] = true
		out = append(out, m)
	}
	return out, nil
}

var memberName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,54}[a-z0-9])?$`)

func (m MemberConfig) check() error {
	switch {
	case !memberName.MatchString(m.Name):
		return fmt.Errorf("fleet: %q is no name for a member: use at most 56 lower-case letters, digits and '-'", m.Name)
	case m.Name == HubName, m.Name == HubProcess, m.Name == StandbyProcess, strings.HasPrefix(m.Name, agentPrefix):
		return fmt.Errorf("fleet: a member cannot be called %s: that names another part of the fleet", m.Name)
	case m.Mode != ModePush && m.Mode != ModePull:
		return fmt.Errorf("fleet: member %s: mode is %q, not Push or Pull", m.Name, m.Mode)
	}
	return nil
}

var moduleLine = regexp.MustCompile(`(?m)^module github\.com/example/myapp-hub$`)

// FindRoot returns the root of the repository that dir is in.
func FindRoot(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		mod, err := os.ReadFile(filepath.Join(d, "go.mod"))
		if err == nil && moduleLine.Match(mod) {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("fleet: %s is not inside the repository: no go.mod of github.com/example/myapp-hub above it", dir)
		}
	}
}

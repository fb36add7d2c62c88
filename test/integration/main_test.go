// Package integration tests the product on real API servers: the whole hub, its
// agents and members as processes, and the engine against one API server.
package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The members of the shared fleet.
var (
	pushMembers = []string{"push-1", "push-2", "push-3", "push-4"}
	pullMembers = []string{"pull-1", "pull-2"}
	allMembers  = slices.Concat(pushMembers, pullMembers)
)

const (
	// bare is an API server that the hub does not know; the engine is tested on it.
	bare = "bare"
	// soon is ample for anything that takes no timeout on a fleet that is well.
	soon = 30 * time.Second
)

var shared fleet.Shared

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	shared.Main(m)
}

// sharedFleet is one fleet for all tests that leave it as they found it.
func sharedFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	return shared.Get(t, func() fleet.Config {
		cfg := fleet.Config{Webhook: true, AgentMetrics: true, HubArgs: []string{"--v=1", fleet.QuickFacts}, AgentArgs: []string{"--v=1", fleet.QuickHeartbeat, fleet.QuickFacts}}
		for _, name := range pushMembers {
			cfg.Members = append(cfg.Members, fleet.MemberConfig{Name: name, Mode: fleet.ModePush, Labels: map[string]string{expect.NameLabel: name, "mode": "push"}})
		}
		for _, name := range pullMembers {
			cfg.Members = append(cfg.Members, fleet.MemberConfig{Name: name, Mode: fleet.ModePull, Labels: map[string]string{expect.NameLabel: name, "mode": "pull"}})
		}
		cfg.Members = append(cfg.Members, fleet.MemberConfig{Name: bare, Mode: fleet.ModePush, Bare: true, Unjoined: true})
		return cfg
	})
}

// namespace makes a namespace of the test's own on the hub.
func namespace(t *testing.T, f *fleet.Fleet) string {
	t.Helper()
	return expect.OwnNamespace(t, f)
}

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// kubectl runs kubectl against a cluster as its admin.
func kubectl(t *testing.T, c *fleet.Cluster, stdin string, args ...string) (string, error) {
	t.Helper()
	return expect.Kubectl(t, c.Kubeconfig(), stdin, args...)
}

func mustKubectl(t *testing.T, c *fleet.Cluster, stdin string, args ...string) string {
	t.Helper()
	out, err := kubectl(t, c, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Package integration tests the product on real API servers: the whole hub, its
// agents and members as processes, and the engine against one API server.
package integration

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
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

var shared struct {
	once  sync.Once
	fleet *fleet.Fleet
	err   error
	dir   string
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code := m.Run()
	if shared.fleet != nil {
		if err := shared.fleet.Down(); err != nil {
			fmt.Fprintln(os.Stderr, "taking the shared fleet down:", err)
			code = 1
		}
	}
	if code == 0 && shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	} else if shared.dir != "" {
		fmt.Fprintln(os.Stderr, "the shared fleet's logs are kept in", shared.dir)
	}
	os.Exit(code)
}

// sharedFleet is one fleet for all tests that leave it as they found it.
func sharedFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "fleet-"); shared.err != nil {
			return
		}
		cfg := fleet.Config{Webhook: true, Dir: shared.dir, Progress: os.Stderr, HubArgs: []string{"--v=1", fleet.QuickFacts}, AgentArgs: []string{"--v=1", fleet.QuickHeartbeat, fleet.QuickFacts}}
		for _, name := range pushMembers {
			cfg.Members = append(cfg.Members, fleet.MemberConfig{Name: name, Mode: fleet.ModePush, Labels: map[string]string{expect.NameLabel: name, "mode": "push"}})
		}
		for _, name := range pullMembers {
			cfg.Members = append(cfg.Members, fleet.MemberConfig{Name: name, Mode: fleet.ModePull, Labels: map[string]string{expect.NameLabel: name, "mode": "pull"}})
		}
		cfg.Members = append(cfg.Members, fleet.MemberConfig{Name: bare, Mode: fleet.ModePush, Bare: true, Unjoined: true})
		shared.fleet, shared.err = fleet.Up(context.Background(), cfg)
	})
	if shared.err != nil {
		t.Fatalf("starting the shared fleet: %v", shared.err)
	}
	return shared.fleet
}

// namespace makes a namespace of the test's own on the hub.
func namespace(t *testing.T, f *fleet.Fleet) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	expect.Namespace(t, f, name)
	return name
}

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// kubectl runs kubectl against a cluster as its admin.
func kubectl(t *testing.T, c *fleet.Cluster, stdin string, args ...string) (string, error) {
	t.Helper()
	return expect.Kubectl(t, c, stdin, args...)
}

func mustKubectl(t *testing.T, c *fleet.Cluster, stdin string, args ...string) string {
	t.Helper()
	out, err := kubectl(t, c, stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Package trust tests who may do what: how clusters join, what their credentials are
// good for, how they end, and what everybody is denied. All of it is decided by real API
// servers, with the real credentials.
package trust

import (
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	// soon is ample for anything that takes no timeout on a fleet that is well.
	soon = 30 * time.Second
	// newcomer is a cluster that the hub has never heard of.
	newcomer = "newcomer"
	push     = "push"
)

// peers are Pull members whose names are beginnings of each other.
var peers = []string{"a", "ab", "a-b"}

var shared fleet.Shared

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	shared.Main(m)
}

// sharedFleet is one fleet for all tests. Only the newcomer has controllers that make
// pods.
func sharedFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	return shared.Get(t, func() fleet.Config {
		cfg := fleet.Config{Webhook: true, HubArgs: []string{"--v=1"}, AgentArgs: []string{"--v=1", fleet.QuickHeartbeat}}
		for _, name := range slices.Concat(peers, []string{push, newcomer}) {
			m := fleet.MemberConfig{Name: name, Bare: name != newcomer, Labels: map[string]string{expect.NameLabel: name}, Unjoined: name == newcomer}
			m.Mode = fleet.ModePush
			if slices.Contains(peers, name) {
				m.Mode = fleet.ModePull
			}
			cfg.Members = append(cfg.Members, m)
		}
		return cfg
	})
}

// agentConfig reaches the hub with the credential that an agent really has.
func agentConfig(t *testing.T, f *fleet.Fleet, member string) *rest.Config {
	t.Helper()
	config, err := f.AgentConfig(t.Context(), member)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// Package chaos kills, cuts off and restarts parts of the product at random while
// it works, lets its requests fail in every way, and has others fight with it. It
// checks that nothing is lost, doubled, left behind or taken from anybody. With
// -short it does so a few times, otherwise as often as the product promises.
package chaos

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	namespace = "chaos"
	// soon is ample for anything that takes no timeout on a fleet that is well.
	soon = 30 * time.Second
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// seed is random unless SEED says otherwise; it is logged, so that a run can be
// repeated.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	s := rand.Uint64()
	if v := os.Getenv("SEED"); v != "" {
		var err error
		if s, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("SEED: %v", err)
		}
	}
	t.Logf("SEED=%d repeats this run", s)
	return rand.New(rand.NewPCG(s, 0)) //nolint:gosec // a test's dice
}

// times is how often something is done: short with -short, long otherwise.
func times(short, long int) int {
	if testing.Short() {
		return short
	}
	return long
}

// shareMachine lets the short forms of tests run beside each other: they wait most
// of the time. The long forms have the machine to themselves.
func shareMachine(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Parallel()
	}
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func labelled(member string) fleet.Option {
	return fleet.Labels(member, map[string]string{expect.NameLabel: member})
}

// Package placement holds on real API servers what an app's placement promises over many
// changes: what is planned happens, and a member that flaps is left once at the most. With
// -short it does so a few times, otherwise as often as the product promises.
package placement

import (
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const namespace = "placed"

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// times is how often something is done.
func times(short, long int) int {
	if testing.Short() {
		return short
	}
	return long
}

// start is a fleet of members in two regions and two tiers, all of which run pods.
func start(t *testing.T, names ...string) *fleet.Fleet {
	t.Helper()
	log.SetLogger(logr.Discard())
	options := make([]fleet.Option, 0, 2*len(names))
	for i, name := range names {
		options = append(options, fleet.Push(name), fleet.Labels(name, map[string]string{
			"region": []string{"eu", "us"}[i%2], "tier": []string{"gold", "iron"}[i/2%2], "number": fmt.Sprint(i),
		}))
	}
	f := fleet.Start(t, options...)
	// What is not known yet of a member would be known by the time a plan comes true.
	for _, name := range names {
		expect.Member(t, f, time.Minute, name, "is measured", expect.Measured)
	}
	return f
}

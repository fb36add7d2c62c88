package integration

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	takeover      = 30 * time.Second
	leaseDuration = 15 * time.Second // the hub's default
)

// When the hub that works dies, the one that waits takes over. A hub that cannot
// renew its Lease exits by itself before another may begin.
func TestLeaderElection(t *testing.T) {
	f := fleet.Start(t, fleet.Push("eu-1"), fleet.Bare("eu-1"), fleet.Labels("eu-1", map[string]string{expect.NameLabel: "eu-1"}))
	ns := namespace(t, f)
	applied := func(app types.NamespacedName, within time.Duration) {
		t.Helper()
		started := time.Now()
		expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On("eu-1")))
		fleet.Eventually(t, within, "the Deployment of "+app.Name, func(ctx context.Context) error {
			return f.Cluster("eu-1").Client().Get(ctx, app, &appsv1.Deployment{})
		})
		expect.That(t, f, soon, app, "is applied", func(a *v1.MyApp) error {
			return expect.Condition(a, v1.ConditionApplied, "True", v1.ReasonApplied)
		})
		t.Logf("%s was on the member after %s", app.Name, time.Since(started).Round(time.Millisecond))
	}
	applied(key(ns, "first"), soon)

	standby, err := f.StartHubStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	leader := f.Hub()
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	applied(key(ns, "second"), takeover)

	// The hub that works now is cut off.
	cut := f.Cluster(fleet.HubName)
	cut.Partition()
	t.Cleanup(cut.Heal)
	began := time.Now()
	select {
	case <-standby.Exited():
		t.Logf("the leader that was cut off exited after %s", time.Since(began).Round(time.Millisecond))
	case <-time.After(leaseDuration):
		t.Fatalf("the leader still runs %s after it was cut off; its log ends with:\n%s", leaseDuration, standby.LogTail(20))
	}
	cut.Heal()
	if err := leader.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	applied(key(ns, "third"), takeover)

	// Each app was written by one leader, once.
	for _, name := range []string{"first", "second", "third"} {
		if d := expect.Deployment(t, f, "eu-1", key(ns, name)); d.Generation != 1 {
			t.Errorf("the Deployment of %s has generation %d", name, d.Generation)
		}
	}
}

package placement

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// TestFlapsEvictOnce kills the API server of a member over and over. The app that is there
// and could be elsewhere is not carried back and forth: it leaves once at the most.
func TestFlapsEvictOnce(t *testing.T) {
	names := []string{"f-0", "f-1", "f-2", "f-3"}
	f := start(t, names...)
	expect.Namespace(t, f, namespace)
	app := key("web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, func(a *v1.MyApp) {
		a.Spec.Placement = &v1.Placement{NumberOfClusters: ptr.To[int32](2)}
		a.Spec.Failover = &v1.Failover{TolerationSeconds: ptr.To[int64](20)}
	}))
	var flapping string
	expect.That(t, f, 30*time.Second, app, "is Ready", func(a *v1.MyApp) error {
		if len(a.Status.Placements) != 2 || !meta.IsStatusConditionTrue(a.Status.Conditions, v1.ConditionReady) {
			return fmt.Errorf("it is not")
		}
		flapping = a.Status.Placements[0].Cluster
		return nil
	})
	left, was := 0, true
	look := func() {
		t.Helper()
		row := expect.Row(expect.Get(t, f, app), flapping)
		is := row != nil && row.State != v1.PlacementRemoving
		if was && !is {
			left++
		}
		was = is
	}
	flaps := times(4, 200)
	for range flaps {
		if err := f.Cluster(flapping).Crash(); err != nil {
			t.Fatal(err)
		}
		memberReady(t, f, flapping, false)
		look()
		if err := f.Cluster(flapping).Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		memberReady(t, f, flapping, true)
		look()
	}
	if left > 1 {
		t.Errorf("with %d flaps the app has left %s %d times", flaps, flapping, left)
	}
	t.Logf("%d flaps, %d evictions", flaps, left)
	expect.That(t, f, 60*time.Second, app, "is Ready on two members", func(a *v1.MyApp) error {
		if len(a.Status.Placements) != 2 || !meta.IsStatusConditionTrue(a.Status.Conditions, v1.ConditionReady) {
			return fmt.Errorf("it is not")
		}
		return nil
	})
}

func memberReady(t *testing.T, f *fleet.Fleet, member string, want bool) {
	t.Helper()
	fleet.Eventually(t, 60*time.Second, fmt.Sprintf("Ready of %s to be %v", member, want), func(ctx context.Context) error {
		var m v1.MemberCluster
		if err := f.Cluster(fleet.HubName).Client().Get(ctx, types.NamespacedName{Name: member}, &m); err != nil {
			return err
		}
		if is := meta.IsStatusConditionTrue(m.Status.Conditions, v1.ConditionReady); is != want {
			return fmt.Errorf("it is %v", is)
		}
		return nil
	})
}

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
	"github.com/example/myapp-hub/test/multikind/kindfleet"
)

// upgrade takes the hub and the agents to the release of now while an app runs, of which
// no pod notices.
func upgrade(t *testing.T, w world) {
	app := w.web(t, expect.WithService)
	before := w.pods(t, app.Namespace)
	started := time.Now()
	if err := w.Upgrade(t.Context(), w.Current); err != nil {
		t.Fatal(err)
	}
	t.Logf("upgraded in %s", time.Since(started).Round(time.Second))
	// Something has to go through the new hub and the new agents before that counts.
	expect.Edit(t, w.Fleet, app, func(a *v1.MyApp) { a.Labels = map[string]string{"after": "upgrade"} })
	probe := w.webIn(t, app.Namespace, "probe")
	if after := w.pods(t, app.Namespace, "probe"); !slices.Equal(before, after) {
		t.Errorf("pods before the upgrade:\n%s\nand after:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	expect.Ready(t, w.Fleet, w.Soon, app, w.World.Members...)
	w.Remove(t, app)
	w.Remove(t, probe)
}

// Limits of what the processes may take at rest, in bytes.
const (
	hubLimit   = 120 << 20
	agentLimit = 40 << 20

	// restTime is how long each is looked at.
	restTime = 20 * time.Second
)

// atRest measures what hub and agent take when nothing happens.
func atRest(t *testing.T, w world) {
	app := w.web(t, expect.WithService)
	for _, process := range []struct {
		cluster, program string
		limit            int64
	}{{fleet.HubName, "/hub", hubLimit}, {w.Pull, "/agent", agentLimit}} {
		var most int64
		fleet.Consistently(t, restTime, "the memory of "+process.program, func(ctx context.Context) error {
			resident, err := w.Resident(ctx, process.cluster, process.program)
			if err != nil {
				return err
			}
			if most = max(most, resident); most > process.limit {
				return fmt.Errorf("it is %d MiB, more than %d MiB", most>>20, process.limit>>20)
			}
			return nil
		})
		t.Logf("%s takes %d MiB", process.program, most>>20)
	}
	w.Remove(t, app)
}

// podsKilled kills the hub's pod and the agent's in the midst of an update: what they had
// begun is finished.
func podsKilled(t *testing.T, w world) {
	app := w.web(t, expect.WithService)
	expect.Edit(t, w.Fleet, app, func(a *v1.MyApp) { a.Spec.Image = w.Images.Second })
	for _, victim := range []struct{ cluster, name string }{{fleet.HubName, "myapp-hub"}, {w.Pull, "myapp-agent"}} {
		err := w.Client(victim.cluster).DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(fleet.HubNamespace),
			client.MatchingLabels{"app.kubernetes.io/name": victim.name}, client.GracePeriodSeconds(0))
		if err != nil {
			t.Fatalf("killing %s on %s: %v", victim.name, victim.cluster, err)
		}
	}
	expect.Ready(t, w.Fleet, w.Soon, app, w.World.Members...)
	for _, m := range w.World.Members {
		if err := w.Runs(t, m, app, w.Images.Second); err != nil {
			t.Error(err)
		}
	}
	w.Remove(t, app)
}

// nodeRestart restarts the nodes of the members and of the hub, one after the other, with
// an app that runs.
func nodeRestart(t *testing.T, w world) {
	app := w.web(t, expect.WithService)
	for _, cluster := range append([]string{fleet.HubName}, w.World.Members...) {
		started := time.Now()
		if err := w.RestartNode(t.Context(), cluster); err != nil {
			t.Fatal(err)
		}
		fleet.Eventually(t, 2*w.Soon, "the API server of "+cluster, func(ctx context.Context) error {
			return w.Client(cluster).Get(ctx, types.NamespacedName{Name: "default"}, &corev1.Namespace{})
		})
		// A change shows that all of it works again, and not only that rows are as they were.
		image := w.Images.Second
		if expect.Get(t, w.Fleet, app).Spec.Image == image {
			image = w.Images.First
		}
		expect.Edit(t, w.Fleet, app, func(a *v1.MyApp) { a.Spec.Image = image })
		expect.Ready(t, w.Fleet, 2*w.Soon, app, w.World.Members...)
		t.Logf("%s was restarted, and an update was Ready everywhere %s later", cluster, time.Since(started).Round(time.Second))
	}
	w.Remove(t, app)
}

// uninstall leaves what runs on members as it is, and so does installing the hub again.
// With the apps gone first, nothing is left.
func uninstall(t *testing.T, w world) {
	app := w.web(t, expect.WithService)
	before := w.pods(t, app.Namespace)
	w.uninstallHub(t)
	fleet.Consistently(t, 5*time.Second, "the pods of a fleet without a hub", func(context.Context) error {
		if now := w.pods(t, app.Namespace); !slices.Equal(before, now) {
			return fmt.Errorf("pods were:\n%s\nand are:\n%s", strings.Join(before, "\n"), strings.Join(now, "\n"))
		}
		return nil
	})
	if err := w.InstallHub(t.Context(), w.Current); err != nil {
		t.Fatal(err)
	}
	probe := w.webIn(t, app.Namespace, "probe")
	expect.Ready(t, w.Fleet, w.Soon, app, w.World.Members...)
	if after := w.pods(t, app.Namespace, "probe"); !slices.Equal(before, after) {
		t.Errorf("pods before the hub was uninstalled:\n%s\nand after it was installed again:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	w.Remove(t, app)
	w.Remove(t, probe)
	w.uninstallHub(t)
	for _, m := range w.World.Members {
		if left := expect.Objects(t, w.Fleet, m, "", client.MatchingLabels{v1.LabelManagedBy: v1.ManagedBy}); len(left) > 0 {
			t.Errorf("%s still has %v", m, left)
		}
	}
	// What was the chart's is gone; what it was told to keep is there.
	for what, object := range map[string]client.Object{
		"Deployment": &appsv1.Deployment{}, "ServiceAccount": &corev1.ServiceAccount{},
	} {
		err := w.Client(fleet.HubName).Get(t.Context(), types.NamespacedName{Namespace: fleet.HubNamespace, Name: "myapp-hub"}, object)
		if !apierrors.IsNotFound(err) {
			t.Errorf("the hub's %s is still there (%v)", what, err)
		}
	}
	if err := w.Client(fleet.HubName).List(t.Context(), &v1.MemberClusterList{}); err != nil {
		t.Errorf("MemberClusters are gone with the chart: %v", err)
	}
}

func (w world) uninstallHub(t *testing.T) {
	t.Helper()
	if _, err := w.Helm(t.Context(), fleet.HubName, "uninstall", kindfleet.HubRelease, "--wait"); err != nil {
		t.Fatal(err)
	}
}

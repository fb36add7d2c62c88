package scenario

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// World is where scenarios play: a fleet, and what differs between kinds of fleets. All of
// it is required.
type World struct {
	Fleet expect.Fleet
	// Push and Pull are a member of each mode. The label expect.NameLabel of a member is
	// its name.
	Push, Pull string
	// Members are all members that apps without a placement go to.
	Members []string
	// Images become Ready with any arguments and environment, and serve HTTP on port 8080.
	Images Images
	// Soon is ample for what takes no timeout on a fleet that is well.
	Soon time.Duration
	// Prompt is ample for an update that waits for nobody: for pods of members that are
	// well, and for the status, which gathers changes for up to six seconds. The shorter
	// it is the better it tells such an update from one that waits until the hub has
	// noticed that a member is silent.
	Prompt time.Duration
	// Notice is how long the hub may take to notice that a member is silent.
	Notice map[string]time.Duration
	// Cut cuts a member off from the hub and from its agent. heal ends that, and may be
	// called again.
	Cut func(t *testing.T, member string) (heal func())
}

// Images are two that differ.
type Images struct{ First, Second string }

// Scenario is a story, and what is expected in it.
type Scenario struct {
	Name string
	Run  func(*testing.T, World)
}

// All are the scenarios, the plainest first.
func All() []Scenario {
	return []Scenario{
		{"PlainAppWithKubectl", plainAppWithKubectl},
		{"ScaleKeepsRevision", scaleKeepsRevision},
		{"DroppedFieldsAndObjectsGo", droppedFieldsAndObjectsGo},
		{"RecreatedApp", recreatedApp},
		{"Orphan", orphan},
		{"PlacementMoves", placementMoves},
		{"Paused", paused},
		{"ForeignObjectIsNotSeized", foreignObjectIsNotSeized},
		{"DeletedObjectComesBack", deletedObjectComesBack},
		{"PartitionDuringUpdate", PartitionDuringUpdate},
	}
}

// pair are the members that scenarios place their apps on.
func (w World) pair() []string { return []string{w.Push, w.Pull} }

// app is a plain MyApp with the first image.
func (w World) app(key types.NamespacedName, edits ...func(*v1.MyApp)) *v1.MyApp {
	app := expect.App(key.Namespace, key.Name, edits...)
	app.Spec.Image = w.Images.First
	return app
}

// web is the key of an app in a namespace of the test's own.
func (w World) web(t *testing.T) types.NamespacedName {
	t.Helper()
	return types.NamespacedName{Namespace: expect.OwnNamespace(t, w.Fleet), Name: "web"}
}

// Remove deletes an app on the hub and waits until it is gone everywhere.
func (w World) Remove(t *testing.T, key types.NamespacedName) {
	t.Helper()
	expect.Delete(t, w.Fleet, key)
	expect.Gone(t, w.Fleet, w.Soon, key, w.Members...)
}

// kubectl runs kubectl on a cluster, which has to succeed.
func (w World) kubectl(t *testing.T, cluster, stdin string, args ...string) string {
	t.Helper()
	out, err := expect.Kubectl(t, w.Fleet.Kubeconfig(cluster), stdin, args...)
	if err != nil {
		t.Fatalf("kubectl %s on %s: %v\n%s", strings.Join(args, " "), cluster, err, out)
	}
	return out
}

// Runs says which image a member has in the app's Deployment if it is another.
func (w World) Runs(t *testing.T, member string, key types.NamespacedName, image string) error {
	t.Helper()
	if has := expect.Deployment(t, w.Fleet, member, key).Spec.Template.Spec.Containers[0].Image; has != image {
		return fmt.Errorf("the Deployment on %s has image %s, not %s", member, has, image)
	}
	return nil
}

// expectPods waits until a member runs exactly so many pods, all with the image.
func (w World) expectPods(t *testing.T, member, namespace string, count int, image string) {
	t.Helper()
	fleet.Eventually(t, w.Soon, fmt.Sprintf("%d pods with %s on %s", count, image, member), func(ctx context.Context) error {
		var pods corev1.PodList
		if err := w.Fleet.Client(member).List(ctx, &pods, client.InNamespace(namespace)); err != nil {
			return err
		}
		running := 0
		for _, p := range pods.Items {
			if p.DeletionTimestamp != nil {
				continue
			}
			if p.Spec.Containers[0].Image != image {
				return fmt.Errorf("pod %s runs %s", p.Name, p.Spec.Containers[0].Image)
			}
			running++
		}
		if running != count {
			return fmt.Errorf("there are %d", running)
		}
		return nil
	})
}

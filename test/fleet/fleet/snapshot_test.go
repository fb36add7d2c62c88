package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// One fleet for all of these: starting it takes the most time.
func TestSnapshots(t *testing.T) {
	f := fleet.Start(t, fleet.WithoutControllers(), fleet.DeployDir("testdata/deploy"), fleet.HubEtcd(), fleet.Bare("eu-1"))
	hub, member := f.Cluster(fleet.HubName), f.Cluster("eu-1")

	t.Run("a restore goes back to the snapshot", func(t *testing.T) { testRestore(t, hub, member) })
	t.Run("a shared etcd is left alone", func(t *testing.T) { testNoRestore(t, hub, member) })
}

func testRestore(t *testing.T, hub, member *fleet.Cluster) {
	c := hub.Client()
	deleted, changed, created := configMap("deleted-later"), configMap("changed-later"), configMap("created-later")
	changed.Data = map[string]string{"is": "old"}
	mustCreate(t, c, deleted)
	mustCreate(t, c, changed)
	mustCreate(t, member.Client(), configMap("elsewhere"))

	if err := hub.Snapshot(t.Context(), "before"); err != nil {
		t.Fatal(err)
	}
	before := latestVersion(t, c)
	original := changed.ResourceVersion
	changed.Data["is"] = "new"
	if err := c.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, c, created)
	for i := range 50 { // more than the controllers write while the hub starts again
		mustCreate(t, c, configMap(fmt.Sprintf("later-%d", i)))
	}
	after, url := latestVersion(t, c), hub.URL()

	// Twice, for a snapshot can be put back as often as one likes.
	for range 2 {
		if err := hub.Restore(t.Context(), "before"); err != nil {
			t.Fatal(err)
		}
		if hub.URL() != url {
			t.Errorf("the API server moved from %s to %s", url, hub.URL())
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(deleted), deleted); err != nil {
			t.Errorf("what was deleted later: %v", err)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(created), created); !apierrors.IsNotFound(err) {
			t.Errorf("what was created later: %v, want it gone", err)
		}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(changed), changed); err != nil {
			t.Fatal(err)
		}
		if changed.Data["is"] != "old" || changed.ResourceVersion != original {
			t.Errorf("it is %s at version %s, want old at %s", changed.Data["is"], changed.ResourceVersion, original)
		}
		if now := latestVersion(t, c); now < before || now >= after {
			t.Errorf("the resource version is %d; it was %d at the snapshot and %d before the restore", now, before, after)
		}
	}
	// The member has nothing to do with it, and the hub works: its garbage
	// collector too, which has to forget what it has seen.
	if err := member.Client().Get(t.Context(), client.ObjectKeyFromObject(configMap("elsewhere")), configMap("elsewhere")); err != nil {
		t.Error(err)
	}
	orphan := configMap("orphan")
	orphan.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "gone"}}
	mustCreate(t, c, orphan)
	fleet.Eventually(t, patience, "an orphan to be collected", func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(orphan), orphan); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %w", err)
		}
		return nil
	})
}

func testNoRestore(t *testing.T, hub, member *fleet.Cluster) {
	if err := member.Snapshot(t.Context(), "x"); !errors.Is(err, fleet.ErrSharedEtcd) {
		t.Errorf("snapshot of a member: %v", err)
	}
	if err := member.Restore(t.Context(), "x"); !errors.Is(err, fleet.ErrSharedEtcd) {
		t.Errorf("restoring a member: %v", err)
	}
	if err := hub.Snapshot(t.Context(), "../x"); err == nil {
		t.Error("a snapshot was written elsewhere")
	}
	if err := hub.Restore(t.Context(), "never-taken"); err == nil {
		t.Error("a snapshot was restored that is not there")
	}
	if code, err := get(t, hub.Admin(), "/readyz"); err != nil || code != http.StatusOK {
		t.Errorf("the hub after a restore that could not be: %d and %v", code, err)
	}
}

// latestVersion is the resource version of the whole cluster.
func latestVersion(t *testing.T, c client.Client) uint64 {
	t.Helper()
	var list corev1.NamespaceList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	v, err := strconv.ParseUint(list.ResourceVersion, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustCreate(t *testing.T, c client.Client, o client.Object) {
	t.Helper()
	if err := c.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

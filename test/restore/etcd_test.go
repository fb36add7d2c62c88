package restore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	older  = "registry.example.com/web:1"
	newer  = "registry.example.com/web:2"
	newest = "registry.example.com/web:3"
)

func withImage(image string) func(*v1.MyApp) { return func(a *v1.MyApp) { a.Spec.Image = image } }

func withConfig(text string) func(*v1.MyApp) {
	return func(a *v1.MyApp) { a.Spec.Config = map[string]v1.ConfigValue{"app.yaml": v1.ConfigValue(text)} }
}

// past makes a hub with apps and a snapshot of it, and then goes on: what the
// hub has in the snapshot is older in every way in which it can be.
func past(t *testing.T, f *fleet.Fleet, ns string) {
	t.Helper()
	createAll(t, f,
		expect.App(ns, "same"), expect.App(ns, "image", expect.WithService), expect.App(ns, "scale"),
		expect.App(ns, "remade"), expect.App(ns, "taken", func(a *v1.MyApp) { a.Spec.Adoption = v1.AdoptAlways }),
		expect.App(ns, "config", withConfig("level: info")),
		expect.App(ns, "dropped", expect.WithService), expect.App(ns, "deleted"),
	)
	must(t, f.Cluster(fleet.HubName).Snapshot(t.Context(), ns))

	expect.Edit(t, f, key(ns, "image"), withImage(newer))
	expect.Edit(t, f, key(ns, "scale"), func(a *v1.MyApp) { a.Spec.Replicas = ptr.To[int32](3) })
	expect.Edit(t, f, key(ns, "config"), withConfig("level: debug"))
	expect.Edit(t, f, key(ns, "dropped"), func(a *v1.MyApp) { a.Spec.Service = nil })
	for _, name := range []string{"remade", "taken", "deleted"} {
		expect.Delete(t, f, key(ns, name))
	}
	for _, name := range []string{"remade", "taken", "deleted"} {
		expect.Gone(t, f, soon, key(ns, name), members...)
	}
	createAll(t, f,
		expect.App(ns, "remade", withImage(newer)),
		expect.App(ns, "taken", withImage(newer), func(a *v1.MyApp) { a.Spec.Adoption = v1.AdoptAlways }),
		expect.App(ns, "new-1"), expect.App(ns, "new-2", withConfig("level: info")),
	)
	allReady(t, f, []types.NamespacedName{key(ns, "image"), key(ns, "scale"), key(ns, "config"), key(ns, "dropped")})
	// More is lost than what is written before everybody has noticed.
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "other"}}
	hub := f.Cluster(fleet.HubName).Client()
	must(t, hub.Create(t.Context(), other))
	for i := range 500 {
		other.Data = map[string]string{"n": strconv.Itoa(i)}
		must(t, hub.Update(t.Context(), other))
	}
	expect.Edit(t, f, key(ns, "image"), func(a *v1.MyApp) { a.Spec.Replicas = ptr.To[int32](2) })
	allReady(t, f, []types.NamespacedName{key(ns, "image")})
}

// kept fails if an app does not run what it ran before the restore.
func kept(ctx context.Context, f *fleet.Fleet, before world, ns string) error {
	for _, member := range members {
		for name, want := range map[string]string{"same": older, "image": newer, "scale": older, "remade": newer, "taken": newer, "new-1": older} {
			if is, err := image(ctx, f, member, key(ns, name)); err != nil || is != want {
				return fmt.Errorf("%s on %s runs %q (%w), want %s", name, member, is, err, want)
			}
		}
	}
	now, err := observe(ctx, f, ns)
	if err != nil {
		return err
	}
	for _, member := range members {
		for name, uid := range before[member].Objects {
			if now[member].Objects[name] != uid {
				return fmt.Errorf("%s had %s with the UID %s and has %s", member, name, uid, now[member].Objects[name])
			}
		}
		for uid, restarts := range before[member].Pods {
			if is, ok := now[member].Pods[uid]; !ok || is != restarts {
				return fmt.Errorf("%s had a pod %s that restarted %d times; it is there: %t (%d)", member, uid, restarts, ok, is)
			}
		}
	}
	return nil
}

// The hub's etcd goes back to a backup while the hub is stopped, as documented.
func TestEtcdRestore(t *testing.T) {
	f := blank(t)
	const ns = "etcd"
	past(t, f, ns)
	before := mustObserve(t, f, ns)
	ended := shared.pods.restarted(fleet.AgentProcess(pullMember))
	stopHub(t, f)
	since := mark(f)
	restore(t, f, ns)
	started := time.Now()
	startHub(t, f)

	apps := keysOf(appsOf(t, f, ns))
	if len(apps) != 8 {
		t.Fatalf("the hub has %v", apps)
	}
	message := held(t, f, noticed, apps, v1.ReasonHubRestored, releaseCommand)
	t.Logf("held %s after the hub was started: %s", time.Since(started).Round(time.Millisecond), message)
	id, err := identity(t.Context(), f)
	must(t, err)
	if !strings.Contains(id.Data["held"], releaseCommand) {
		t.Errorf("the identity is %v, want it held", id.Data)
	}

	// Edits are accepted and change nothing; another leader stays held.
	expect.Edit(t, f, key(ns, "same"), withImage(newest))
	expect.Delete(t, f, key(ns, "new-2")) // which it does not have
	during := 12 * time.Second            // in which the agent notices
	if testing.Short() {
		stopHub(t, f)
		startHub(t, f)
	} else {
		during = 20 * time.Second // and longer than the takeover
		standby(t, f)
		must(t, shared.pods.stop(f.Hub()))
	}
	fleet.Consistently(t, during, "the hub changes nothing", func(ctx context.Context) error {
		if err := since.untouched(f, nil); err != nil {
			return err
		}
		return kept(ctx, f, before, ns)
	})
	if n := shared.pods.restarted(fleet.AgentProcess(pullMember)) - ended; n == 0 {
		t.Error("the agent has lived through the restore and goes on with what it read before")
	}
	expect.That(t, f, soon, key(ns, "same"), "is held with its edit", func(a *v1.MyApp) error {
		if a.Status.ObservedGeneration != a.Generation {
			return fmt.Errorf("generation %d is not observed", a.Generation)
		}
		return isHeld(a, v1.ReasonHubRestored, releaseCommand)
	})
	release(t, f, message, "1")
	started = time.Now()
	allReady(t, f, apps)
	t.Logf("all apps were as the hub has them %s after the release", time.Since(started).Round(time.Millisecond))
	for _, app := range apps {
		if err := notHeld(expect.Get(t, f, app)); err != nil {
			t.Errorf("%s: %v", app, err)
		}
	}
	after := mustObserve(t, f, ns)
	for _, member := range members {
		for name, want := range map[string]string{"same": newest, "image": older, "remade": older, "taken": older, "deleted": older} {
			if is, err := image(t.Context(), f, member, key(ns, name)); err != nil || is != want {
				t.Errorf("%s on %s runs %q (%v), want %s", name, member, is, err, want)
			}
			if mark := after[member].Marks["Deployment "+name]; name != "deleted" && mark.Epoch != "1" {
				t.Errorf("Deployment %s on %s is of epoch %q", name, member, mark.Epoch)
			}
		}
		// Apps of which the hub knows nothing stay, and are found again.
		for _, name := range []string{"Deployment new-1", "Deployment new-2", "ConfigMap new-2"} {
			if uid := before[member].Objects[name]; uid == "" || after[member].Objects[name] != uid {
				t.Errorf("%s on %s had the UID %s and has %s", name, member, uid, after[member].Objects[name])
			}
		}
	}
	if err := since.noDeletes(f); err != nil {
		t.Error(err)
	}
	createAll(t, f, expect.App(ns, "new-1"))
	again := mustObserve(t, f, ns)
	for _, member := range members {
		if uid := before[member].Objects["Deployment new-1"]; again[member].Objects["Deployment new-1"] != uid {
			t.Errorf("new-1 on %s was made anew, not taken over", member)
		}
	}
	expect.Delete(t, f, key(ns, "image"))
	expect.Gone(t, f, soon, key(ns, "image"), members...)

	if testing.Short() {
		return
	}
	// The same backup once more: it is from before the release.
	stopHub(t, f)
	since = mark(f)
	restore(t, f, ns)
	startHub(t, f)
	message = held(t, f, noticed, apps, v1.ReasonHubRestored, releaseCommand)
	fleet.Consistently(t, 5*time.Second, "the hub changes nothing", func(context.Context) error {
		return since.untouched(f, nil)
	})
	release(t, f, message, "2")
	allReady(t, f, apps)
}

// The hub's etcd goes back to a backup under two replicas of the hub that run on.
func TestEtcdRestoreUnderTheHub(t *testing.T) {
	if testing.Short() {
		t.Skip("restores again")
	}
	f := blank(t)
	const ns = "running"
	past(t, f, ns)
	standby(t, f)
	before := mustObserve(t, f, ns)
	since := mark(f)
	processes := []string{fleet.HubProcess, fleet.StandbyProcess, fleet.AgentProcess(pullMember)}
	ended := map[string]int{}
	for _, name := range processes {
		ended[name] = shared.pods.restarted(name)
	}
	restore(t, f, ns)
	started := time.Now()
	apps := keysOf(appsOf(t, f, ns))
	// What was deleted may come back before the hub has seen anything.
	reappears := func(_ string, e fleet.AuditEvent) bool {
		return e.Verb == "patch" && e.Code == 201 && (e.Name == "deleted" || e.Name == "dropped" && e.Resource == "services")
	}
	fleet.Eventually(t, 2*noticed, "the hold", func(ctx context.Context) error {
		if err := since.untouched(f, reappears); err != nil {
			t.Fatal(err)
		}
		id, err := identity(ctx, f)
		if err != nil {
			return err
		}
		if id.Data["held"] == "" {
			return fmt.Errorf("the identity is %v", id.Data)
		}
		return nil
	})
	t.Logf("held %s after the restore", time.Since(started).Round(time.Millisecond))
	message := held(t, f, noticed, apps, v1.ReasonHubRestored, releaseCommand)
	fleet.Consistently(t, 20*time.Second, "the hub changes nothing", func(ctx context.Context) error {
		if err := since.untouched(f, reappears); err != nil {
			return err
		}
		return kept(ctx, f, before, ns)
	})
	for _, member := range members {
		events, err := since.changes(f, member)
		must(t, err)
		t.Logf("%s: %d creations of what was deleted since\n%s", member, len(events), expect.Describe(events))
	}
	for _, name := range processes {
		if n := shared.pods.restarted(name) - ended[name]; n == 0 {
			t.Errorf("%s goes on with what it has read before the restore", name)
		}
	}
	release(t, f, message, "1")
	allReady(t, f, apps)
	for _, member := range members {
		if is, err := image(t.Context(), f, member, key(ns, "image")); err != nil || is != older {
			t.Errorf("image on %s runs %q (%v), want %s", member, is, err, older)
		}
	}
	if err := f.Cluster(fleet.HubName).Client().Get(t.Context(), key(ns, "new-1"), &v1.MyApp{}); !apierrors.IsNotFound(err) {
		t.Errorf("reading an app that the backup does not have: %v", err)
	}
}

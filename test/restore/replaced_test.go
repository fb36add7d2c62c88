package restore

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// manifests are the apps of which another hub takes over the objects.
func manifests(ns string) []*v1.MyApp {
	apps := []*v1.MyApp{
		expect.App(ns, "web", expect.WithService, withConfig("level: info"), func(a *v1.MyApp) {
			a.Spec.ServiceAccount = &v1.ServiceAccount{}
			a.Spec.Disruption = &v1.Disruption{MinAvailable: ptr.To(intstr.FromInt32(1))}
		}),
		expect.App(ns, "auto", func(a *v1.MyApp) {
			a.Spec.Autoscaling = &v1.Autoscaling{MinReplicas: ptr.To[int32](2), MaxReplicas: 3, TargetCPUUtilization: ptr.To[int32](70)}
		}),
	}
	for i := range 6 {
		apps = append(apps, expect.App(ns, "app-"+strconv.Itoa(i), expect.WithService, func(a *v1.MyApp) { a.Spec.Replicas = ptr.To(int32(i%3 + 1)) }))
	}
	return apps
}

// adopted fails if not every object is the app's that the hub has now, of this
// hub and epoch, and what it was before: no pod may have restarted.
func adopted(ctx context.Context, f *fleet.Fleet, before world, ns, hubID, epoch string) error {
	if err := before.same(ctx, f, ns); err != nil {
		return err
	}
	now, err := observe(ctx, f, ns)
	if err != nil {
		return err
	}
	var apps v1.MyAppList
	if err := f.Cluster(fleet.HubName).Client().List(ctx, &apps, client.InNamespace(ns)); err != nil {
		return err
	}
	uids := map[string]bool{}
	for i := range apps.Items {
		uids[string(apps.Items[i].UID)] = true
	}
	for _, member := range members {
		for name, m := range now[member].Marks {
			if !uids[m.App] || m.HubID != hubID || m.Epoch != epoch {
				return fmt.Errorf("%s on %s has the marks %+v, want hub %s, epoch %s and one of %v", name, member, m, hubID, epoch, slices.Collect(maps.Keys(uids)))
			}
		}
	}
	return nil
}

// An empty hub has the place and the members of one that is lost: it has their
// MemberClusters and kubeconfigs, and an identity of its own.
func TestEmptyHub(t *testing.T) {
	if testing.Short() {
		t.Skip("restores again")
	}
	f := blank(t)
	const ns = "empty"
	createAll(t, f, manifests(ns)...)
	before := mustObserve(t, f, ns)
	old, err := identity(t.Context(), f)
	must(t, err)

	stopHub(t, f)
	since := mark(f)
	restore(t, f, installed)
	must(t, f.Cluster(fleet.HubName).Client().Delete(t.Context(), old.DeepCopy()))
	startHub(t, f)
	expect.Namespace(t, f, ns)
	for _, app := range manifests(ns) {
		expect.Create(t, f, app)
	}
	apps := keysOf(appsOf(t, f, ns))
	message := held(t, f, noticed, apps, v1.ReasonHubReplaced, "ConfigMap hub-identity")
	t.Log(message)
	fleet.Consistently(t, 10*time.Second, "the hub changes nothing", func(ctx context.Context) error {
		if err := since.untouched(f, nil); err != nil {
			return err
		}
		return before.same(ctx, f, ns)
	})

	// What the message says, to the letter.
	says := regexp.MustCompile(`set hubID to (\S+) and epoch to (\d+) in ConfigMap hub-identity`).FindStringSubmatch(message)
	if says == nil {
		t.Fatalf("the message does not say what to set: %s", message)
	}
	out, err := kubectl(t, f.Cluster(fleet.HubName), "-n", fleet.HubNamespace, "patch", "configmap", "hub-identity", "--type=merge",
		"-p", fmt.Sprintf(`{"data":{"hubID":%q,"epoch":%q}}`, says[1], says[2]))
	if err != nil {
		t.Fatal(out)
	}
	if says[1] != old.Data["hubID"] {
		t.Errorf("the message says hub %s, it was %s", says[1], old.Data["hubID"])
	}
	stopHub(t, f)
	startHub(t, f)
	started := time.Now()
	allReady(t, f, apps)
	fleet.Eventually(t, soon, "all to be adopted", func(ctx context.Context) error {
		return adopted(ctx, f, before, ns, says[1], says[2])
	})
	objects, pods := before.count()
	t.Logf("%d of %d objects were adopted and %d of %d pods were left alone %s after the hub was started", objects, objects, pods, pods, time.Since(started).Round(time.Millisecond))
	if err := since.noDeletes(f); err != nil {
		t.Error(err)
	}
	expect.Delete(t, f, key(ns, "web"))
	expect.Gone(t, f, soon, key(ns, "web"), members...)
}

// Apps, their revisions and the identity are restored as objects into another
// cluster: with other UIDs, in any order, without owners and statuses.
func TestObjectsRestoredElsewhere(t *testing.T) {
	if testing.Short() {
		t.Skip("restores again")
	}
	f := blank(t)
	const ns = "elsewhere"
	createAll(t, f, manifests(ns)...)
	hub := f.Cluster(fleet.HubName).Client()
	before := mustObserve(t, f, ns)
	old, err := identity(t.Context(), f)
	must(t, err)
	saved := appsOf(t, f, ns)
	var revisions appsv1.ControllerRevisionList
	must(t, hub.List(t.Context(), &revisions, client.InNamespace(ns)))

	stopHub(t, f)
	since := mark(f)
	restore(t, f, installed)
	// The other cluster is one of which the identity does not know.
	fleet.Eventually(t, soon, "writing the identity", func(ctx context.Context) error {
		id, err := identity(ctx, f)
		if err != nil {
			return err
		}
		id.Data = maps.Clone(old.Data)
		id.Data["clusterUID"] = string(uuid.NewUUID())
		return hub.Update(ctx, id)
	})
	expect.Namespace(t, f, ns)
	rand.Shuffle(len(saved), func(i, j int) { saved[i], saved[j] = saved[j], saved[i] })
	for i := range saved {
		app := &v1.MyApp{ObjectMeta: bare(saved[i].ObjectMeta), Spec: saved[i].Spec}
		app.Finalizers = saved[i].Finalizers
		expect.Create(t, f, app)
	}
	for i := range revisions.Items {
		if i%2 == 0 { // the others are lost
			must(t, hub.Create(t.Context(), &appsv1.ControllerRevision{ObjectMeta: bare(revisions.Items[i].ObjectMeta), Data: revisions.Items[i].Data, Revision: revisions.Items[i].Revision}))
		}
	}
	startHub(t, f)
	apps := keysOf(saved)
	message := held(t, f, noticed, apps, v1.ReasonHubRestored, releaseCommand)
	t.Log(message)
	fleet.Consistently(t, 10*time.Second, "the hub changes nothing", func(ctx context.Context) error {
		if err := since.untouched(f, nil); err != nil {
			return err
		}
		return before.same(ctx, f, ns)
	})
	release(t, f, message, "1")
	started := time.Now()
	allReady(t, f, apps)
	fleet.Eventually(t, soon, "all to be adopted", func(ctx context.Context) error {
		return adopted(ctx, f, before, ns, old.Data["hubID"], "1")
	})
	objects, pods := before.count()
	t.Logf("%d of %d objects were adopted and %d of %d pods were left alone %s after the release", objects, objects, pods, pods, time.Since(started).Round(time.Millisecond))
	if err := since.noDeletes(f); err != nil {
		t.Error(err)
	}
	expect.Delete(t, f, key(ns, "web"))
	expect.Gone(t, f, soon, key(ns, "web"), members...)
}

// bare is what a restore of objects keeps of their metadata.
func bare(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, Labels: m.Labels, Annotations: m.Annotations}
}

// A member that was given up returns with objects of an app that does not exist
// any more. That is no sign of a restore, and what a new app of that name does
// with them is for its policy to say.
func TestGivenUpMemberReturns(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until a member is given up")
	}
	f := blank(t)
	const ns, lost = "given-up", "eu-2"
	app := createAll(t, f, expect.App(ns, "web", expect.WithService))[0]
	before := mustObserve(t, f, ns)
	member := f.Cluster(lost)
	member.Partition()
	t.Cleanup(member.Heal)
	// An order that is under way would still be carried out when it comes back.
	expect.That(t, f, soon, app, "is Unknown", func(a *v1.MyApp) error {
		if row := expect.Row(a, lost); row == nil || row.State != v1.PlacementUnknown {
			return fmt.Errorf("the row of %s is %+v", lost, row)
		}
		return nil
	})
	expect.Delete(t, f, app)
	out, err := kubectl(t, f.Cluster(fleet.HubName), "annotate", "myapp", "web", "-n", ns, "--overwrite", v1.AnnotationForceRemove+"="+lost)
	if err != nil {
		t.Fatal(out)
	}
	expect.Gone(t, f, soon, app, "eu-1", pullMember)
	member.Heal()
	other := createAll(t, f, expect.App(ns, "other"))[0] // the member is back
	left := func(ctx context.Context) (map[string]types.UID, error) {
		w, err := observe(ctx, f, ns)
		if err != nil {
			return nil, err
		}
		objects := w[lost].Objects
		maps.DeleteFunc(objects, func(name string, _ types.UID) bool { return name == "Deployment other" })
		return objects, nil
	}
	calm := func(ctx context.Context) error {
		id, err := identity(ctx, f)
		if err != nil || id.Data["held"] != "" {
			return fmt.Errorf("the identity is %v (%w)", id.Data, err)
		}
		if objects, err := left(ctx); err != nil || !maps.Equal(objects, before[lost].Objects) {
			return fmt.Errorf("%s has %v (%w), it had %v", lost, objects, err, before[lost].Objects)
		}
		return notHeld(expect.Get(t, f, other))
	}
	fleet.Consistently(t, 3*time.Second, "nothing holds the hub", calm)

	expect.Create(t, f, expect.App(ns, "web", expect.WithService, func(a *v1.MyApp) { a.Spec.Adoption = v1.AdoptNever }))
	expect.That(t, f, soon, app, "is refused where the old one was", func(a *v1.MyApp) error {
		for _, m := range members {
			row := expect.Row(a, m)
			if row == nil || m == lost && row.Reason != v1.ReasonNotOwned || m != lost && row.State != v1.PlacementReady {
				return fmt.Errorf("the row of %s is %+v", m, row)
			}
		}
		return notHeld(a)
	})
	must(t, calm(t.Context()))
	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Adoption = v1.AdoptAlways })
	allReady(t, f, []types.NamespacedName{app})
	must(t, calm(t.Context()))
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

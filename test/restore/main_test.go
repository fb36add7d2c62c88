// Package restore tests that a hub which is older than its members, or which
// takes the place of another, deletes and reverts nothing, says so, and takes
// everything over when a person lets it.
package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The members of the fleet.
var members = []string{"eu-1", "eu-2", "us-1"}

const (
	pullMember = "us-1"
	// installed is the snapshot of the hub with its members and without an app.
	installed = "installed"
	// soon is ample for anything that takes no timeout, a takeover included.
	soon = 30 * time.Second
	// noticed is what the hub promises: a minute from its start to the hold.
	noticed = time.Minute
)

var shared struct {
	once  sync.Once
	fleet *fleet.Fleet
	pods  *pods
	err   error
	dir   string
	dirty bool
}

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	code := m.Run()
	if shared.fleet != nil {
		shared.pods.end()
		if err := shared.fleet.Down(); err != nil {
			fmt.Fprintln(os.Stderr, "taking the fleet down:", err)
			code = 1
		}
	}
	if code == 0 && shared.dir != "" && os.Getenv("FLEET_KEEP") == "" {
		_ = os.RemoveAll(shared.dir)
	} else if shared.dir != "" {
		fmt.Fprintln(os.Stderr, "the fleet's logs are kept in", shared.dir)
	}
	os.Exit(code)
}

// blank is the fleet with a hub that has its members, no app and an identity of
// the first epoch, and with members that have nothing.
func blank(t *testing.T) *fleet.Fleet {
	t.Helper()
	shared.once.Do(func() { shared.err = start() })
	if shared.err != nil {
		t.Fatalf("starting the fleet: %v", shared.err)
	}
	f := shared.fleet
	if shared.dirty {
		agent := f.Agent(pullMember)
		stopHub(t, f)
		must(t, shared.pods.stop(agent))
		restore(t, f, installed)
		for _, m := range members {
			wipe(t, f, m)
		}
		startHub(t, f)
		must(t, agent.Restart(t.Context()))
		shared.pods.add(agent)
	}
	shared.dirty = true
	return f
}

func start() error {
	var err error
	if shared.dir, err = os.MkdirTemp("", "fleet-"); err != nil {
		return err
	}
	cfg := fleet.Config{
		Dir: shared.dir, Progress: os.Stderr, HubEtcd: true, AgentArgs: []string{"--v=1", fleet.QuickHeartbeat},
		// A hub that was killed leaves a Lease; the next waits until it has ended.
		HubArgs: []string{"--v=1", "--leader-elect-lease-duration=10s", "--leader-elect-renew-deadline=4s", "--leader-elect-retry-period=500ms"},
	}
	for _, name := range members {
		m := fleet.MemberConfig{Name: name, Mode: fleet.ModePush, Labels: map[string]string{expect.NameLabel: name}}
		if name == pullMember {
			m.Mode = fleet.ModePull
		}
		cfg.Members = append(cfg.Members, m)
	}
	if shared.fleet, err = fleet.Up(context.Background(), cfg); err != nil {
		return err
	}
	shared.pods = keep(shared.fleet.Hub(), shared.fleet.Agent(pullMember))
	return shared.fleet.Cluster(fleet.HubName).Snapshot(context.Background(), installed)
}

// wipe removes from a member all that tests have put there.
func wipe(t *testing.T, f *fleet.Fleet, member string) {
	t.Helper()
	c := f.Cluster(member).Client()
	ours := client.MatchingLabels{v1.LabelManagedBy: v1.ManagedBy}
	var namespaces corev1.NamespaceList
	if err := c.List(t.Context(), &namespaces, ours); err != nil {
		t.Fatal(err)
	}
	for i := range namespaces.Items {
		if err := c.Delete(t.Context(), &namespaces.Items[i]); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	fleet.Eventually(t, soon, "the namespaces of "+member+" to go", func(ctx context.Context) error {
		var left corev1.NamespaceList
		if err := c.List(ctx, &left, ours); err != nil {
			return err
		}
		if len(left.Items) > 0 {
			return fmt.Errorf("%s is there", left.Items[0].Name)
		}
		return nil
	})
}

func key(namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stopHub kills all replicas.
func stopHub(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	for _, name := range []string{fleet.HubProcess, fleet.StandbyProcess} {
		if p := f.Process(name); p != nil {
			must(t, shared.pods.stop(p))
		}
	}
}

// startHub starts the hub, after all replicas were killed. What they have left of
// their Lease is taken away: the next one would wait for its end.
func startHub(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: fleet.HubNamespace, Name: "myapp-hub"}}
	must(t, client.IgnoreNotFound(f.Cluster(fleet.HubName).Client().Delete(t.Context(), lease)))
	must(t, f.Hub().Restart(t.Context()))
	shared.pods.add(f.Hub())
}

// standby starts a second replica of the hub.
func standby(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	p := f.Process(fleet.StandbyProcess)
	if p != nil {
		must(t, p.Restart(t.Context()))
	} else {
		var err error
		p, err = f.StartHubStandby(t.Context())
		must(t, err)
	}
	shared.pods.add(p)
}

// restore puts a snapshot of the hub back.
func restore(t *testing.T, f *fleet.Fleet, snapshot string) {
	t.Helper()
	started := time.Now()
	must(t, f.Cluster(fleet.HubName).Restore(t.Context(), snapshot))
	t.Logf("the restore took %s", time.Since(started).Round(time.Millisecond))
}

// identity reads the ConfigMap of the hub's identity.
func identity(ctx context.Context, f *fleet.Fleet) (*corev1.ConfigMap, error) {
	c := &corev1.ConfigMap{}
	return c, f.Cluster(fleet.HubName).Client().Get(ctx, key(fleet.HubNamespace, v1.HubIdentity), c)
}

// appsOf are the MyApps of a namespace.
func appsOf(t *testing.T, f *fleet.Fleet, namespace string) []v1.MyApp {
	t.Helper()
	var apps v1.MyAppList
	must(t, f.Cluster(fleet.HubName).Client().List(t.Context(), &apps, client.InNamespace(namespace)))
	return apps.Items
}

func keysOf(apps []v1.MyApp) []types.NamespacedName {
	var keys []types.NamespacedName
	for i := range apps {
		keys = append(keys, client.ObjectKeyFromObject(&apps[i]))
	}
	return keys
}

// held waits until all apps are held for the reason, with a message that has the
// text, and gives the message of the first.
func held(t *testing.T, f *fleet.Fleet, within time.Duration, apps []types.NamespacedName, reason, text string) string {
	t.Helper()
	started := time.Now()
	for _, app := range apps {
		expect.That(t, f, within, app, "is Held", func(a *v1.MyApp) error { return isHeld(a, reason, text) })
	}
	t.Logf("all %d apps were held %s after the wait began", len(apps), time.Since(started).Round(time.Millisecond))
	return meta.FindStatusCondition(expect.Get(t, f, apps[0]).Status.Conditions, v1.ConditionHeld).Message
}

func isHeld(app *v1.MyApp, reason, text string) error {
	c := meta.FindStatusCondition(app.Status.Conditions, v1.ConditionHeld)
	switch {
	case c == nil:
		return errors.New("there is no condition Held")
	case c.Status != metav1.ConditionTrue || c.Reason != reason:
		return fmt.Errorf("Held is %s (%s)", c.Status, c.Reason)
	case !strings.Contains(c.Message, text):
		return fmt.Errorf("%q is not in the message: %s", text, c.Message)
	case meta.IsStatusConditionTrue(app.Status.Conditions, v1.ConditionReady):
		return errors.New("it is Ready")
	}
	return nil
}

// notHeld fails for an app that is held.
func notHeld(app *v1.MyApp) error {
	if c := meta.FindStatusCondition(app.Status.Conditions, v1.ConditionHeld); c == nil || c.Status != metav1.ConditionFalse {
		return fmt.Errorf("Held is %+v", c)
	}
	return nil
}

// releaseCommand is what the message of a held app says, and the documentation.
const releaseCommand = "kubectl -n myapp-hub-system annotate configmap hub-identity example.com/release=true"

// release follows the message of a held app to the letter, and waits until the
// hub is in the epoch that begins.
func release(t *testing.T, f *fleet.Fleet, message, epoch string) {
	t.Helper()
	_, command, ok := strings.Cut(message, "kubectl ")
	if !ok {
		t.Fatalf("the message does not say what to do: %s", message)
	}
	started := time.Now()
	out, err := kubectl(t, f.Cluster(fleet.HubName), strings.Fields(command)...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", command, err, out)
	}
	fleet.Eventually(t, soon, "the release", func(ctx context.Context) error {
		id, err := identity(ctx, f)
		if err != nil {
			return err
		}
		if id.Data["held"] != "" || id.Annotations[v1.AnnotationRelease] != "" || id.Data["epoch"] != epoch {
			return fmt.Errorf("the identity is %v with annotations %v, want epoch %s", id.Data, id.Annotations, epoch)
		}
		return nil
	})
	t.Logf("released into epoch %s after %s", epoch, time.Since(started).Round(time.Millisecond))
}

// kubectl runs kubectl against a cluster as its admin.
func kubectl(t *testing.T, c *fleet.Cluster, args ...string) (string, error) {
	t.Helper()
	wd, err := os.Getwd()
	must(t, err)
	root, err := fleet.FindRoot(wd)
	must(t, err)
	path := fleet.Binaries{Root: root, Dir: filepath.Join(root, "bin")}.Path("kubectl")
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--kubeconfig", c.Kubeconfig()}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// marks are the ends of the members' audit logs at a moment.
type marks map[string]int64

func mark(f *fleet.Fleet) marks {
	m := marks{}
	for _, member := range members {
		m[member] = f.Cluster(member).AuditMark()
	}
	return m
}

// changes are the requests by which the product has changed something on a
// member since; what it asked for and was refused is not among them.
func (m marks) changes(f *fleet.Fleet, member string) ([]fleet.AuditEvent, error) {
	events, err := f.Cluster(member).AuditSince(m[member])
	return slices.DeleteFunc(expect.Writes(events), func(e fleet.AuditEvent) bool { return e.Code >= 300 }), err
}

// untouched fails if the product has changed anything on a member since, but for
// what allowed, unless it is nil, lets pass.
func (m marks) untouched(f *fleet.Fleet, allowed func(member string, e fleet.AuditEvent) bool) error {
	for _, member := range members {
		events, err := m.changes(f, member)
		if err != nil {
			return err
		}
		events = slices.DeleteFunc(events, func(e fleet.AuditEvent) bool { return allowed != nil && allowed(member, e) })
		if len(events) > 0 {
			return fmt.Errorf("on %s the product did\n%s", member, expect.Describe(events))
		}
	}
	return nil
}

// noDeletes fails if the product has deleted anything on a member since.
func (m marks) noDeletes(f *fleet.Fleet) error {
	return m.untouched(f, func(_ string, e fleet.AuditEvent) bool { return !strings.HasPrefix(e.Verb, "delete") })
}

// world is what the members run in a namespace.
type world map[string]memberWorld

// memberWorld is what a member runs.
type memberWorld struct {
	// Objects are the UIDs by kind and name, Pods the restarts by UID.
	Objects map[string]types.UID
	Pods    map[types.UID]int32
	// Marks are the UID of the app, the hub's ID and the epoch by kind and name.
	Marks map[string]marked
}

type marked struct{ App, HubID, Epoch string }

// observe reads what the members run in a namespace.
func observe(ctx context.Context, f *fleet.Fleet, namespace string) (world, error) {
	w := world{}
	for _, member := range members {
		c := f.Cluster(member).Client()
		m := memberWorld{Objects: map[string]types.UID{}, Pods: map[types.UID]int32{}, Marks: map[string]marked{}}
		for _, gvk := range expect.Kinds() {
			var list metav1.PartialObjectMetadataList
			list.SetGroupVersionKind(gvk)
			if err := c.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{v1.LabelManagedBy: v1.ManagedBy}); err != nil {
				return nil, fmt.Errorf("listing the %ss of %s: %w", gvk.Kind, member, err)
			}
			for i := range list.Items {
				o := &list.Items[i]
				name := gvk.Kind + " " + o.Name
				m.Objects[name] = o.UID
				m.Marks[name] = marked{o.Labels[v1.LabelAppUID], o.Labels[v1.LabelHubID], o.Annotations[v1.AnnotationHubEpoch]}
			}
		}
		var pods corev1.PodList
		if err := c.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("listing the pods of %s: %w", member, err)
		}
		for i := range pods.Items {
			if pods.Items[i].DeletionTimestamp != nil {
				continue
			}
			for _, s := range pods.Items[i].Status.ContainerStatuses {
				m.Pods[pods.Items[i].UID] += s.RestartCount
			}
		}
		w[member] = m
	}
	return w, nil
}

func mustObserve(t *testing.T, f *fleet.Fleet, namespace string) world {
	t.Helper()
	w, err := observe(t.Context(), f, namespace)
	must(t, err)
	return w
}

// same fails if the members have other objects or pods than before.
func (w world) same(ctx context.Context, f *fleet.Fleet, namespace string) error {
	now, err := observe(ctx, f, namespace)
	if err != nil {
		return err
	}
	for _, member := range members {
		if !maps.Equal(w[member].Objects, now[member].Objects) {
			return fmt.Errorf("%s has the objects %v, it had %v", member, now[member].Objects, w[member].Objects)
		}
		if !maps.Equal(w[member].Pods, now[member].Pods) {
			return fmt.Errorf("%s has the pods %v, it had %v", member, now[member].Pods, w[member].Pods)
		}
	}
	return nil
}

// count is how many objects and pods the members have together.
func (w world) count() (objects, pods int) {
	for _, m := range w {
		objects += len(m.Objects)
		pods += len(m.Pods)
	}
	return objects, pods
}

// createAll creates apps and waits until they are ready on all members.
func createAll(t *testing.T, f *fleet.Fleet, apps ...*v1.MyApp) []types.NamespacedName {
	t.Helper()
	var keys []types.NamespacedName
	for _, app := range apps {
		expect.Namespace(t, f, app.Namespace)
		expect.Create(t, f, app)
		keys = append(keys, client.ObjectKeyFromObject(app))
	}
	allReady(t, f, keys)
	return keys
}

func allReady(t *testing.T, f *fleet.Fleet, apps []types.NamespacedName) {
	t.Helper()
	for _, app := range apps {
		expect.Ready(t, f, soon, app, slices.Clone(members)...)
	}
}

// image is what the app's container runs on a member.
func image(ctx context.Context, f *fleet.Fleet, member string, app types.NamespacedName) (string, error) {
	u, err := expect.Object(ctx, f.Cluster(member), "Deployment", app)
	if err != nil || u == nil {
		return "", errors.Join(err, apierrors.NewNotFound(v1.GroupVersion.WithResource("deployments").GroupResource(), app.Name))
	}
	return expect.Field(u.Object, ".spec.template.spec.containers[0].image")
}

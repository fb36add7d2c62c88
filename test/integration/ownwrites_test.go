package integration

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/consistency"
	"github.com/example/myapp-hub/pkg/hub/app"
	"github.com/example/myapp-hub/pkg/hub/delivery"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// lagging is a client whose cache can be made to lag behind for MyApps.
type lagging struct {
	client.Client
	mu     sync.Mutex
	frozen *v1.MyApp
}

func (l *lagging) freeze(app *v1.MyApp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = app
}

func (l *lagging) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	l.mu.Lock()
	frozen := l.frozen
	l.mu.Unlock()
	if into, ok := o.(*v1.MyApp); ok && frozen != nil && key == client.ObjectKeyFromObject(frozen) {
		frozen.DeepCopyInto(into)
		return nil
	}
	return l.Client.Get(ctx, key, o, opts...)
}

// hubAlone is an API server with the CRDs on which no hub works.
func hubAlone(t *testing.T) (*fleet.Cluster, cluster.Cluster) {
	t.Helper()
	c := sharedFleet(t).Cluster(bare)
	files, err := filepath.Glob("../../deploy/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(data, u); err != nil {
			t.Fatal(err)
		}
		if err := c.Apply(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	cl, err := cluster.New(named(c.Admin(), t.Name()), func(o *cluster.Options) {
		o.Scheme = runtime.NewScheme()
		for _, add := range []func(*runtime.Scheme) error{v1.AddToScheme, clientgoscheme.AddToScheme} {
			if err := add(o.Scheme); err != nil {
				t.Fatal(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	fleet.Eventually(t, soon, "discovery to know MyApps", func(context.Context) error {
		_, err := cl.GetRESTMapper().RESTMapping(v1.GroupVersion.WithKind("MyApp").GroupKind())
		return err
	})
	for _, add := range []func(context.Context, client.FieldIndexer) error{app.AddIndexes, delivery.AddIndexes} {
		if err := add(t.Context(), cl.GetFieldIndexer()); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _ = cl.Start(t.Context()) }()
	return c, cl
}

// named makes a client's requests known in the audit log.
func named(c *rest.Config, name string) *rest.Config {
	c.UserAgent = name
	return c
}

// A status is never decided from a cache that is older than the last write: the
// pass is skipped, and it costs no request.
func TestStatusReadsItsOwnWrites(t *testing.T) {
	c, cl := hubAlone(t)
	ns := "own-writes"
	expectNamespace(t, c, ns)
	a := expect.App(ns, "web")
	if err := c.Client().Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	reader := &lagging{Client: cl.GetClient()}
	r := &app.Reconciler{Client: reader, Live: cl.GetAPIReader(), Reports: delivery.NewReports(), Clock: clock.RealClock{}}
	pass := func() int {
		t.Helper()
		mark := c.AuditMark()
		if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)}); err != nil {
			t.Fatal(err)
		}
		return writesOf(t, c, mark)
	}
	cached(t, cl, a)
	stale := a.DeepCopy()
	if n := pass(); n != 3 {
		t.Errorf("the first pass made %d writes, want the finalizer, the revision and the status", n)
	}
	reader.freeze(stale)
	if n := pass(); n != 0 {
		t.Errorf("on a cache behind its own writes the pass made %d writes, want none", n)
	}
	reader.freeze(nil)
	if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
		t.Fatal(err)
	}
	cached(t, cl, a)
	if n := pass(); n != 0 {
		t.Errorf("with nothing changed the pass made %d writes, want none", n)
	}
}

// A controller starts no worker before its cache has reached what a live list
// shows.
func TestBarrierWaitsForTheCache(t *testing.T) {
	c, cl := hubAlone(t)
	ns := "barrier"
	expectNamespace(t, c, ns)
	a := expect.App(ns, "web")
	if err := c.Client().Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	stale := a.DeepCopy()
	a.Spec.Paused = true
	if err := c.Client().Update(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	reader := &lagging{Client: cl.GetClient(), frozen: stale}
	b := &consistency.Barrier{
		Kind: v1.GroupVersion.WithKind("MyApp"), New: func() client.Object { return &v1.MyApp{} },
		Live: cl.GetAPIReader(), Cached: reader,
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := b.WaitForSync(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with a cache that stays behind: %v, want to wait until the deadline", err)
	}
	done := make(chan error, 1)
	go func() { done <- b.WaitForSync(t.Context()) }()
	// An app that was listed and is deleted before the cache shows it must not
	// be waited for.
	if err := c.Client().Delete(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	reader.freeze(nil)
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("with a cache that has caught up: %v", err)
		}
	case <-time.After(soon):
		t.Error("the barrier waits although the cache has caught up")
	}
}

func cached(t *testing.T, cl cluster.Cluster, want *v1.MyApp) {
	t.Helper()
	fleet.Eventually(t, soon, "the cache to have the app", func(ctx context.Context) error {
		have := &v1.MyApp{}
		if err := cl.GetCache().Get(ctx, client.ObjectKeyFromObject(want), have); err != nil {
			return err
		}
		if have.ResourceVersion != want.ResourceVersion {
			return errors.New("it is at version " + have.ResourceVersion)
		}
		return nil
	})
}

// writesOf counts the writes of the test's named client since a mark.
func writesOf(t *testing.T, c *fleet.Cluster, mark int64) int {
	t.Helper()
	events, err := c.AuditSince(mark)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range events {
		if e.Write() && e.UserAgent == t.Name() {
			n++
		}
	}
	return n
}

func expectNamespace(t *testing.T, c *fleet.Cluster, name string) {
	t.Helper()
	if err := c.Client().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		t.Fatal(err)
	}
}

// A status that was decided from an older object than the API server has is refused
// with a conflict, and what a status no longer has is removed.
func TestStatusConflicts(t *testing.T) {
	c, cl := hubAlone(t)
	expectNamespace(t, c, "status-conflicts")
	a := expect.App("status-conflicts", "web")
	if err := c.Client().Create(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	cached(t, cl, a)
	reconcileWith := func(hub client.Client) reconcile.Result {
		t.Helper()
		r := &app.Reconciler{Client: hub, Live: cl.GetAPIReader(), Reports: delivery.NewReports(), Clock: clock.RealClock{}}
		result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(a)})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	update := func() {
		t.Helper()
		if err := c.Client().Update(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		cached(t, cl, a)
	}
	read := func() {
		t.Helper()
		if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
			t.Fatal(err)
		}
		cached(t, cl, a)
	}
	reconcileWith(cl.GetClient())
	if read(); a.Status.Revision == "" || a.Status.ObservedGeneration != 1 {
		t.Fatalf("%+v", a.Status)
	}

	stale := a.DeepCopy()
	stale.Generation = 7 // something to write
	a.Labels = map[string]string{"edited": "yes"}
	update()
	behind := &lagging{Client: cl.GetClient()}
	behind.freeze(stale)
	if result := reconcileWith(behind); result.RequeueAfter == 0 {
		t.Errorf("%+v; want another try after a conflict", result)
	}
	if read(); a.Status.ObservedGeneration != 1 {
		t.Errorf("a stale status was written: %+v", a.Status)
	}

	a.Spec.HealthRules = []v1.HealthRule{{Kind: "Database", Group: "example.org", Ready: "object.("}}
	update()
	reconcileWith(cl.GetClient())
	if read(); a.Status.Revision != "" || a.Status.ObservedGeneration != a.Generation || len(a.Status.Conditions) != len(v1.AppConditions()) {
		t.Errorf("of a spec that is not valid: %+v; want no revision", a.Status)
	}
}

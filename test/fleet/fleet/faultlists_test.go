package fleet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

func testEmptyList(t *testing.T, c faulty) {
	c.faults.Set(fleet.Rule{Fault: fleet.FaultEmptyList, Match: asks("list", "configmaps")})
	list, err := c.victim.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) > 0 || list.Continue != "" || list.ResourceVersion == "" || list.ResourceVersion == "0" {
		t.Errorf("%d items, continue %q, version %q; want an empty list at a version", len(list.Items), list.Continue, list.ResourceVersion)
	}
	if _, err := c.victim.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion}); err != nil {
		t.Errorf("watching from there: %v", err)
	}
	// The API server's own answer must differ, or nothing was shown.
	if there := names(t, c.Client()); len(there) < 3 {
		t.Errorf("%v are there", there)
	}
}

func testEmptyInformer(t *testing.T, c faulty) {
	c.faults.Set(fleet.Rule{Fault: fleet.FaultEmptyList})
	factory := informers.NewSharedInformerFactoryWithOptions(c.victim, 0, informers.WithNamespace("default"))
	informer := factory.Core().V1().ConfigMaps()
	stop := make(chan struct{})
	defer func() { close(stop); factory.Shutdown() }()
	synced := informer.Informer().HasSynced
	factory.Start(stop)
	if !cache.WaitForCacheSync(t.Context().Done(), synced) {
		t.Fatal("the informer did not sync")
	}
	if got := informer.Informer().GetStore().ListKeys(); len(got) > 0 {
		t.Errorf("the informer has %v, want nothing", got)
	}
	if c.faults.Injected()[fleet.Injection{Fault: fleet.FaultEmptyList, Verb: "watch", Resource: "configmaps"}] == 0 {
		t.Errorf("the informer did not list by a watch:\n%s", c.faults.Injected())
	}
	mustCreate(t, c.Client(), configMap("new-to-the-informer"))
	fleet.Eventually(t, patience, "what comes later to be seen", func(context.Context) error {
		if got := informer.Informer().GetStore().ListKeys(); !slices.Equal(got, []string{"default/new-to-the-informer"}) {
			return fmt.Errorf("the informer has %v", got)
		}
		return nil
	})
}

func testIncompleteList(t *testing.T, c faulty) {
	c.faults.Set(fleet.Rule{Fault: fleet.FaultIncompleteList})
	list, err := c.victim.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Continue == "" {
		t.Errorf("%d items and continue %q, want one and more to come", len(list.Items), list.Continue)
	}
	var got []string
	err = pager.New(pager.SimplePageFunc(func(o metav1.ListOptions) (runtime.Object, error) {
		return c.victim.CoreV1().ConfigMaps("default").List(t.Context(), o)
	})).EachListItem(t.Context(), metav1.ListOptions{}, func(o runtime.Object) error {
		got = append(got, o.(*corev1.ConfigMap).Name)
		return nil
	})
	if want := names(t, c.Client()); err != nil || !slices.Equal(got, want) {
		t.Errorf("who asks on gets %v and %v, want %v", got, err, want)
	}
}

func testTruncated(t *testing.T, c faulty) {
	c.faults.Set(fleet.Rule{Fault: fleet.FaultTruncated, Count: 1})
	cfg := c.AdminViaProxy()
	httpClient, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := httpClient.Get(cfg.Host + "/api/v1/namespaces/default/configmaps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil || resp.StatusCode != http.StatusOK || len(b) == 0 || int64(len(b)) >= resp.ContentLength || json.Valid(b) {
		t.Errorf("%s with %d of %d bytes and %v; want 200 and half of it", resp.Status, len(b), resp.ContentLength, err)
	}
	c.faults.Set(fleet.Rule{Fault: fleet.FaultTruncated})
	if _, err := c.victim.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err == nil {
		t.Error("a client took half a list for a list")
	}
}

func testCutWatch(t *testing.T, c faulty) {
	c.faults.Set(fleet.Rule{Fault: fleet.FaultCutWatch, After: 700 * time.Millisecond})
	started := time.Now()
	w := mustWatch(t, c.victim)
	mustCreate(t, c.Client(), configMap("before-the-cut"))
	mustSee(t, w, watch.Added, "before-the-cut")
	select {
	case e, ok := <-w.ResultChan(): // client-go may say in an event of its own that the stream broke
		if took := time.Since(started); ok && e.Type != watch.Error || took < 600*time.Millisecond {
			t.Errorf("after %s: %s; want the end after 700 ms", took, e.Type)
		}
	case <-time.After(patience):
		t.Error("the watch goes on")
	}
}

func testCutWatches(t *testing.T, c faulty) {
	w := mustWatch(t, c.victim)
	if n := c.faults.CutWatches(); n == 0 {
		t.Error("there was none to cut")
	}
	select {
	case e, ok := <-w.ResultChan():
		if ok && e.Type != watch.Error {
			t.Errorf("got %s, want the end", e.Type)
		}
	case <-time.After(patience):
		t.Error("the watch goes on")
	}
	mustCreate(t, c.Client(), configMap("after-the-cut"))
	w = mustWatch(t, c.victim)
	mustCreate(t, c.Client(), configMap("long-after-the-cut"))
	mustSee(t, w, watch.Added, "long-after-the-cut")
}

// names of all ConfigMaps in the namespace default, in order.
func names(t *testing.T, c client.Client) []string {
	t.Helper()
	var list corev1.ConfigMapList
	if err := c.List(t.Context(), &list, client.InNamespace("default")); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, o := range list.Items {
		out = append(out, o.Name)
	}
	return out
}

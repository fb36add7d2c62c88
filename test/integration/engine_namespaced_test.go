package integration

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// newNamespacedEngine works on a member that is the namespace home. Its owner is
// the app shop/web of the hub.
func newNamespacedEngine(t *testing.T) *engineTest {
	t.Helper()
	e := newEngineTestOf(t)
	e.home, e.owner.Namespace = e.owner.Namespace, "shop"
	if err := e.c.Client().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.home}}); err != nil {
		t.Fatal(err)
	}
	return e
}

// sibling is another app of the hub on the same member.
func (e *engineTest) sibling(namespace, name string, uid types.UID) *engineTest {
	other := *e
	other.owner.Namespace, other.owner.Name, other.owner.UID = namespace, name, uid
	return &other
}

// All that a namespaced member gets is in its namespace, the inventory included,
// and apps of other namespaces of the hub stay apart there.
func TestNamespacedMemberKeepsToItsNamespace(t *testing.T) {
	e := newNamespacedEngine(t)
	var mu sync.Mutex
	seen := map[apply.App]bool{}
	e.onChange = func(app apply.App) {
		mu.Lock()
		defer mu.Unlock()
		seen[app] = true
	}
	e.restart()
	other := e.sibling("blog", "news", "uid-2")
	config := func(in *render.Input) { in.Template.Config = map[string]v1.ConfigValue{"a": "1"} }
	web, news := e.render(config), other.render(config)
	e.settle(web)
	other.settle(news)

	for _, m := range slices.Concat(web, news) {
		if live := e.live(m); live.GetNamespace() != e.home {
			t.Errorf("%s is in namespace %s", m, live.GetNamespace())
		}
	}
	selector := e.deployment().Spec.Selector.MatchLabels
	if selector[v1.LabelApp] != "web" || selector[v1.LabelAppNamespace] != "shop" {
		t.Errorf("the Deployment selects pods by %v, want app and namespace", selector)
	}
	inventory := &corev1.ConfigMap{}
	if err := e.c.Client().Get(t.Context(), client.ObjectKey{Namespace: e.home, Name: "myapp-hub-inventory"}, inventory); err != nil || inventory.Data["ConfigMap"] == "" {
		t.Errorf("the inventory has %v (%v), want ConfigMap", inventory.Data, err)
	}
	for _, absent := range []string{"shop", "blog"} {
		if err := e.c.Client().Get(t.Context(), client.ObjectKey{Name: absent}, &corev1.Namespace{}); !apierrors.IsNotFound(err) {
			t.Errorf("namespace %s: %v; want none", absent, err)
		}
	}
	// Of what it has written itself the engine tells nobody.
	for _, name := range []string{"web", "news"} {
		if err := expect.Change(t.Context(), e.c, "Deployment", key(e.home, name), `{"metadata":{"annotations":{"example.org/touched":"yes"}}}`); err != nil {
			t.Fatal(err)
		}
	}
	fleet.Eventually(t, soon, "events of both apps", func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		for _, o := range []apply.Owner{e.owner, other.owner} {
			if !seen[apply.App{NamespacedName: types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, UID: o.UID}] {
				return errors.New("no event of " + o.String())
			}
		}
		return nil
	})
	e.removed()
	for _, m := range news {
		other.live(m) // fails if it is gone
	}
	other.removed()
}

// Two apps of one name cannot be in one namespace: the second is told so, touches
// nothing, and its removal takes nothing of the first.
func TestNamespacedMemberNameConflict(t *testing.T) {
	e := newNamespacedEngine(t)
	e.restart()
	second := e.sibling("blog", "web", "uid-2")
	e.owner.Stamp.HubVersion = "1000"
	manifests := e.render()
	e.settle(manifests)
	for _, policy := range []v1.AdoptionPolicy{v1.AdoptNever, v1.AdoptAlways} {
		second.policies.Adoption = policy
		mark := e.c.AuditMark()
		change, ok := second.pass(second.render()).Trouble()
		if !ok || change.Reason != v1.ReasonNameConflict || change.Action != apply.Refused || apply.RetryAfter(apply.ChangeSet{Changes: []apply.Change{change}}) == 0 {
			t.Fatalf("adoption %s: %+v; want %s, and another look", policy, change, v1.ReasonNameConflict)
		}
		says(t, change.Message, "namespace shop", e.home, "rename")
		for _, r := range e.requests(mark) {
			if !strings.HasPrefix(r, "get ") && !strings.HasPrefix(r, "patch ") {
				t.Errorf("adoption %s: it asked to %s", policy, r)
			}
		}
	}
	if stamps := e.engine.StampsOf(types.NamespacedName{Namespace: "blog", Name: "web"}); len(stamps) != 0 {
		t.Errorf("stamps of blog/web: %v; the objects are shop/web's", stamps)
	}
	if stamps := e.engine.StampsOf(types.NamespacedName{Namespace: "shop", Name: "web"}); len(stamps) != len(manifests) {
		t.Errorf("stamps of shop/web: %v; want %d", stamps, len(manifests))
	}
	second.removed()
	e.settle(manifests)
	e.removed()
	second.settle(second.render())
}

// The namespace is somebody else's to make.
func TestNamespacedMemberWithoutItsNamespace(t *testing.T) {
	e := newEngineTestOf(t)
	e.home, e.owner.Namespace = e.owner.Namespace, "shop"
	e.restart()
	manifests := e.render()
	change, ok := e.pass(manifests).Trouble()
	if !ok || change.Reason != v1.ReasonNamespaceMissing {
		t.Errorf("%+v; want %s", change, v1.ReasonNamespaceMissing)
	}
	says(t, change.Message, e.home, "create it")
	if err := e.c.Client().Get(t.Context(), client.ObjectKey{Name: e.home}, &corev1.Namespace{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace: %v; want none", err)
	}
	if err := e.c.Client().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: e.home}}); err != nil {
		t.Fatal(err)
	}
	e.settle(manifests)
}

// What belongs to the whole cluster is refused, and what is rendered for another
// place is not applied.
func TestNamespacedMemberRefusesWhatIsElsewhere(t *testing.T) {
	e := newNamespacedEngine(t)
	e.restart()
	change, ok := e.pass(e.render(func(in *render.Input) { in.Cluster.Namespace = "" })).Trouble()
	if !ok || change.Reason != v1.ReasonNotPermitted {
		t.Errorf("rendered for the whole cluster: %+v; want %s", change, v1.ReasonNotPermitted)
	}
	says(t, change.Message, e.home)
	change, ok = e.pass(e.render(withManifests(deviceClass))).Trouble()
	if !ok || change.Reason != v1.ReasonNotPermitted {
		t.Errorf("a DeviceClass: %+v; want %s", change, v1.ReasonNotPermitted)
	}
}

// The inventory of kinds is nobody's to take: by it removals are confirmed after a
// restart.
func TestInventoryIsNoApps(t *testing.T) {
	e := newNamespacedEngine(t)
	e.restart()
	manifests := e.render(func(in *render.Input) { in.Template.Config = map[string]v1.ConfigValue{"a": "1"} })
	for i := range manifests {
		if manifests[i].GVK.Kind == "ConfigMap" {
			manifests[i].Name = "myapp-hub-inventory"
		}
	}
	mark := e.c.AuditMark()
	change, _ := e.apply(manifests, e.observe()).Trouble()
	if change.Action != apply.Refused || change.Reason != v1.ReasonNotPermitted {
		t.Errorf("want a refusal: %+v", change)
	}
	says(t, change.Message, "inventory", "another")
	e.asks(mark)
}

package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

func labelled(namespace string, labels map[string]string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "some-name", Labels: labels}}
}

func TestHandler(t *testing.T) {
	marked := labelled("shop", map[string]string{v1.LabelApp: "web", v1.LabelAppUID: "u", v1.LabelAppNamespace: "ignored"})
	tenant := labelled("team-a", map[string]string{v1.LabelApp: "web", v1.LabelAppUID: "u", v1.LabelAppNamespace: "shop"})
	foreign := labelled("shop", nil)
	web := []App{{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "web"}, UID: "u"}}
	for _, tt := range []struct {
		reason    string
		namespace string
		event     func(toolscache.ResourceEventHandler)
		want      []App
	}{
		{"added", "", func(h toolscache.ResourceEventHandler) { h.OnAdd(marked, false) }, web},
		{"changed, and somebody put the marks on", "", func(h toolscache.ResourceEventHandler) { h.OnUpdate(foreign, marked) }, web},
		{"changed, and somebody took the marks off", "", func(h toolscache.ResourceEventHandler) { h.OnUpdate(marked, foreign) }, web},
		{"deleted", "", func(h toolscache.ResourceEventHandler) { h.OnDelete(marked) }, web},
		{"deleted while the watch was down", "", func(h toolscache.ResourceEventHandler) {
			h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "shop/x", Obj: marked})
		}, web},
		{"not an app's", "", func(h toolscache.ResourceEventHandler) { h.OnAdd(foreign, false) }, nil},
		{"no object at all", "", func(h toolscache.ResourceEventHandler) { h.OnAdd("x", false) }, nil},
		{"of a namespaced member", "team-a", func(h toolscache.ResourceEventHandler) { h.OnAdd(tenant, false) }, web},
		{"of a namespaced member, without the app's namespace", "team-a", func(h toolscache.ResourceEventHandler) {
			h.OnAdd(labelled("team-a", map[string]string{v1.LabelApp: "web", v1.LabelAppUID: "u"}), false)
		}, nil},
	} {
		var got []App
		e := New(Config{Namespace: tt.namespace, OnChange: func(app App, _ bool) { got = append(got, app) }})
		tt.event(e.handler(serviceGVK.GroupKind(), newStore()))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

// Our own last write brings no pass where the pass that wrote it has said all.
func TestOwnWritesSayNothing(t *testing.T) {
	at := metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "o", ResourceVersion: "7", Generation: 2, Labels: map[string]string{v1.LabelApp: "web", v1.LabelAppUID: "u"}}
	plain := func(edit func(*metav1.ObjectMeta)) metav1.Object {
		m := &metav1.PartialObjectMetadata{ObjectMeta: at}
		edit(&m.ObjectMeta)
		return m
	}
	rollout := func(observed int64) metav1.Object {
		return &appsv1.Deployment{ObjectMeta: at, Status: appsv1.DeploymentStatus{ObservedGeneration: observed}}
	}
	same := func(*metav1.ObjectMeta) {}
	other := schema.GroupVersionKind{Group: "example.org", Version: "v1", Kind: "Database"}
	for _, tt := range []struct {
		reason string
		gvk    schema.GroupVersionKind
		object metav1.Object
		want   bool
	}{
		{"a Service as we wrote it", serviceGVK, plain(same), false},
		{"a Service that somebody has changed since", serviceGVK, plain(func(m *metav1.ObjectMeta) { m.ResourceVersion = "8" }), true},
		{"another one in its place", serviceGVK, plain(func(m *metav1.ObjectMeta) { m.UID = "p" }), true},
		{"one that we have not written", serviceGVK, plain(func(m *metav1.ObjectMeta) { m.Name = "news" }), true},
		{"a Deployment that the cluster has not taken up", deploymentGVK, rollout(1), false},
		{"a Deployment of which the cluster will say no more", deploymentGVK, rollout(2), true},
		{"an object whose health may be in it already", other, plain(same), true},
	} {
		told := 0
		e := New(Config{OnChange: func(App, bool) { told++ }})
		m := manifest.Manifest{GVK: tt.gvk, Namespace: "shop", Name: "web", Hash: "h", Raw: []byte(`{}`)}
		e.memory.wrote(m, m.Raw, &metav1.PartialObjectMetadata{ObjectMeta: at})
		h := e.handler(tt.gvk.GroupKind(), newStore())
		h.OnAdd(tt.object, false)
		h.OnUpdate(plain(func(m *metav1.ObjectMeta) { m.ResourceVersion = "6" }), tt.object)
		if (told == 2) != tt.want || told == 1 {
			t.Errorf("%s: told %d times of a creation and an update, want told: %v", tt.reason, told, tt.want)
		}
		h.OnDelete(tt.object)
		if want := map[bool]int{false: 1, true: 3}[tt.want]; told != want {
			t.Errorf("%s: a deletion is always told", tt.reason)
		}
	}
}

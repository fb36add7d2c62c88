package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	v1 "github.com/example/myapp-hub/api/v1"
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
		e := New(Config{Namespace: tt.namespace, OnChange: func(app App) { got = append(got, app) }})
		tt.event(e.handler())
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

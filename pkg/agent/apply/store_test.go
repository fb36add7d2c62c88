package apply

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
)

// The store shows what the events have told, whatever the marks were before.
func TestStoreFollowsEvents(t *testing.T) {
	object := func(name, version, app, uid string) *metav1.PartialObjectMetadata {
		o := labelled("shop", map[string]string{v1.LabelApp: app, v1.LabelAppUID: uid})
		o.Name, o.ResourceVersion = name, version
		return o
	}
	type shown struct{ of, named []string }
	s := newStore()
	h := New(Config{OnChange: func(App, bool) {}}).handler(serviceGVK.GroupKind(), s)
	versions := func(objects []*record) (versions []string) {
		for _, r := range objects {
			versions = append(versions, r.name+"@"+r.version)
		}
		slices.Sort(versions)
		return versions
	}
	first, second := object("web", "1", "web", "u"), object("admin", "2", "web", "u")
	newer, unmarked, nameless := object("web", "3", "web", "u"), object("web", "4", "web", ""), object("web", "5", "", "u")
	for _, tt := range []struct {
		reason string
		event  func()
		want   shown
	}{
		{"one object", func() { h.OnAdd(first, true) }, shown{[]string{"web@1"}, []string{"web@1"}}},
		{"another one", func() { h.OnAdd(second, false) }, shown{[]string{"admin@2", "web@1"}, []string{"admin@2", "web@1"}}},
		{"a change", func() { h.OnUpdate(first, newer) }, shown{[]string{"admin@2", "web@3"}, []string{"admin@2", "web@3"}}},
		{"the UID is taken off", func() { h.OnUpdate(newer, unmarked) }, shown{[]string{"admin@2"}, []string{"admin@2", "web@4"}}},
		{"the name instead", func() { h.OnUpdate(unmarked, nameless) }, shown{[]string{"admin@2", "web@5"}, []string{"admin@2"}}},
		{"seen once more", func() { h.OnAdd(second, false) }, shown{[]string{"admin@2", "web@5"}, []string{"admin@2"}}},
		{"deleted", func() { h.OnDelete(nameless) }, shown{[]string{"admin@2"}, []string{"admin@2"}}},
		{"deleted with other marks than the last event had", func() { h.OnDelete(object("admin", "6", "api", "")) }, shown{}},
	} {
		before := s.of("u")
		kept := slices.Clone(before)
		tt.event()
		got := shown{versions(s.of("u")), versions(s.named(types.NamespacedName{Namespace: "shop", Name: "web"}))}
		if !slices.Equal(got.of, tt.want.of) || !slices.Equal(got.named, tt.want.named) {
			t.Errorf("%s: %v, want %v", tt.reason, got, tt.want)
		}
		if !slices.Equal(before, kept) {
			t.Errorf("%s: what a reader has was changed", tt.reason)
		}
		all := 0
		for range s.all() {
			all++
		}
		union := map[string]bool{}
		for _, v := range slices.Concat(tt.want.of, tt.want.named) {
			union[v] = true
		}
		if all != len(union) {
			t.Errorf("%s: %d objects in all, want %d", tt.reason, all, len(union))
		}
	}
	if len(s.byUID)+len(s.byName) != 0 {
		t.Errorf("apps that are gone are kept: %v, %v", s.byUID, s.byName)
	}
}

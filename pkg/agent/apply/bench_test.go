package apply

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// covering is the tree of the fields of a manifest whose lists are atomic, as an
// API server records it for whoever applied it.
func covering(object map[string]any) map[string]any {
	tree := map[string]any{}
	for key, value := range object {
		children, ok := value.(map[string]any)
		if ok {
			tree["f:"+key] = covering(children)
			continue
		}
		tree["f:"+key] = map[string]any{}
	}
	return tree
}

// BenchmarkUnchanged is a pass over an app of which nothing has changed: a
// Service and a Deployment that the cache shows as they were applied.
func BenchmarkUnchanged(b *testing.B) {
	e := New(Config{Member: "eu-1"})
	observed := newObserved("web", "shop")
	manifests := []manifest.Manifest{made(b, "Service", "web", "1"), made(b, "Deployment", "web", "1")}
	for _, m := range manifests {
		var object map[string]any
		if err := json.Unmarshal(m.Raw, &object); err != nil {
			b.Fatal(err)
		}
		tree, err := json.Marshal(covering(object))
		if err != nil {
			b.Fatal(err)
		}
		observed.add(m.GVK.GroupKind(), newRecord(&metav1.ObjectMeta{
			Namespace: m.Namespace, Name: m.Name, UID: "u", ResourceVersion: "100",
			Annotations: map[string]string{v1.AnnotationContentHash: m.Hash, v1.AnnotationAppGeneration: "1"},
			ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: v1.FieldManager, Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(string(tree)),
			}},
		}))
		e.watches.kinds[m.GVK.GroupKind()] = kindWatch{gvk: m.GVK, synced: func() bool { return true }}
	}
	owner := Owner{HubID: "hub-a", Namespace: "shop", Name: "web", UID: "a", Stamp: manifest.Stamp{Generation: 1}}
	for range 2 { // once to find that nothing was lost
		if _, err := e.Apply(b.Context(), owner, manifests, v1.Policies{}, observed); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("check", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !e.atRest(owner, manifests, observed) {
				b.Fatal("something is to be done")
			}
		}
	})
	b.Run("pass", func(b *testing.B) { benchmarkPass(b, e, owner, manifests, observed) })
}

func benchmarkPass(b *testing.B, e *Engine, owner Owner, manifests []manifest.Manifest, observed Observed) {
	b.ReportAllocs()
	for b.Loop() {
		set, err := e.Apply(b.Context(), owner, manifests, v1.Policies{}, observed)
		if err != nil {
			b.Fatal(err)
		}
		for _, change := range set.Changes {
			if change.Action != Unchanged || !strings.Contains(change.Object, "web") {
				b.Fatalf("a request would have been made: %+v", change)
			}
		}
	}
}

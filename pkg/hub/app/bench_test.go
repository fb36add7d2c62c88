package app

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
)

// BenchmarkPass is one pass over an app about which there is nothing new, as most
// passes are.
func BenchmarkPass(b *testing.B) {
	for _, rows := range []int{5, 1000} {
		b.Run(fmt.Sprintf("%d rows of 1000 members", rows), func(b *testing.B) {
			h, r := settled(b, rows, 1000)
			request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(h.app)}
			b.ReportAllocs()
			for b.Loop() {
				if result, err := r.Reconcile(b.Context(), request); err != nil || result.RequeueAfter != 0 {
					b.Fatalf("%+v, %v", result, err)
				}
			}
		})
	}
}

// BenchmarkStatusPatch is the body of the write that one more report leads to.
func BenchmarkStatusPatch(b *testing.B) {
	h, _ := settled(b, 1000, 1000)
	next := h.app.Status.DeepCopy()
	next.Placements[500].State, next.Placements[500].LastTransitionTime = v1.PlacementProgressing, metav1.NewTime(noon.Add(time.Hour))
	b.ReportAllocs()
	var data []byte
	for b.Loop() {
		var err error
		if data, err = statusPatch(h.app, next); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(data)), "B/patch")
	if !json.Valid(data) {
		b.Fatal("not JSON")
	}
}

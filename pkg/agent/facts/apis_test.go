package facts

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

func TestAPIs(t *testing.T) {
	verbs := metav1.Verbs{"create", "get"}
	got := APIs([]*metav1.APIResourceList{
		{GroupVersion: "v1", APIResources: []metav1.APIResource{
			{Name: "services", Kind: "Service", Namespaced: true, Verbs: verbs},
			{Name: "services/proxy", Kind: "ServiceProxyOptions", Namespaced: true, Verbs: verbs},
			{Name: "nodes", Kind: "Node", Verbs: verbs},
			{Name: "other-services", Kind: "Service", Namespaced: true, Verbs: verbs},
		}},
		{GroupVersion: "apps/v1", APIResources: []metav1.APIResource{
			{Name: "deployments", Kind: "Deployment", Namespaced: true, Verbs: verbs},
			{Name: "deployments/scale", Kind: "Scale", Namespaced: true, Verbs: verbs},
		}},
		{GroupVersion: "metrics.k8s.io/v1beta1", APIResources: []metav1.APIResource{{Name: "pods", Kind: "PodMetrics", Namespaced: true, Verbs: metav1.Verbs{"get"}}}},
		{GroupVersion: "hostile.example.com/v1", APIResources: []metav1.APIResource{{Name: "x", Kind: "\x1b[31m", Namespaced: true, Verbs: verbs}, {Name: "y", Kind: strings.Repeat("Y", 500), Namespaced: true, Verbs: verbs}}},
	})
	if diff := cmp.Diff([]string{"apps/v1/Deployment", "v1/Service"}, got); diff != "" {
		t.Errorf("what is in namespaces and can be created, once and in order (-want +got):\n%s", diff)
	}
}

func TestKeep(t *testing.T) {
	last := []string{"a.example.com/v1/A", "a.example.com/v1beta1/A", "gone.example.com/v1/G", "v1/Service"}
	got := Keep([]string{"v1/Service"}, last, []schema.GroupVersion{{Group: "a.example.com", Version: "v1"}})
	if diff := cmp.Diff([]string{"a.example.com/v1/A", "v1/Service"}, got); diff != "" {
		t.Errorf("what could not be asked for stays (-want +got):\n%s", diff)
	}
}

// Whatever is reported is within the bounds of the schema once it is bounded, or the hub
// could not write it.
func TestBoundedFitsTheSchema(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		apis := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`([a-c.]{1,9}/)?v1/[A-C]{1,460}`)), 0, 50).Draw(t, "apis")
		for range rapid.SampledFrom([]int{0, 3000}).Draw(t, "more") {
			apis = append(apis, fmt.Sprintf("v1/K%d%s", len(apis), strings.Repeat("x", len(apis)%200)))
		}
		b := Bounded(v1.MemberReportSpec{
			KubernetesVersion: rapid.OneOf(rapid.String(), rapid.StringMatching(`v1\.[0-9]{1,90}`)).Draw(t, "version"),
			CapacityUnknown:   v1.CapacityUnknown(rapid.SampledFrom([]string{"", "Unreadable", "no reason"}).Draw(t, "unknown")),
			Capacity:          &v1.Capacity{Allocatable: v1.Amounts{CPUMillis: rapid.Int64().Draw(t, "cpu")}},
			APIs:              apis,
		})
		length := 0
		for _, api := range b.APIs {
			length += len(api)
			if len(api) > MaxAPILength || !apiName.MatchString(api) {
				t.Fatalf("%q", api)
			}
		}
		cpu := b.Capacity.Allocatable.CPUMillis
		if len(b.APIs) > MaxAPIs || length > MaxAPIsLength || !slices.IsSorted(b.APIs) || len(slices.Compact(slices.Clone(b.APIs))) != len(b.APIs) ||
			len(b.KubernetesVersion) > MaxVersionLength || cpu < 0 || cpu > maxAmount || b.CapacityUnknown != "" {
			t.Fatalf("%d kinds of %d characters, version %q, %d cores, unknown %q", len(b.APIs), length, b.KubernetesVersion, cpu, b.CapacityUnknown)
		}
		if !Equal(b, Bounded(b)) {
			t.Fatal("what is bounded changes when it is bounded again")
		}
	})
}

func TestNext(t *testing.T) {
	capacity := &v1.Capacity{Allocatable: v1.Amounts{CPUMillis: 4000, MemoryMiB: 1024, Pods: 64}}
	last := v1.MemberReportSpec{KubernetesVersion: "v1.36.3", APIs: []string{"v1/Service"}, Capacity: capacity}
	got := Next(last, v1.MemberReportSpec{CapacityUnknown: v1.CapacityForbidden})
	want := v1.MemberReportSpec{KubernetesVersion: "v1.36.3", APIs: []string{"v1/Service"}, CapacityUnknown: v1.CapacityForbidden}
	if !Equal(got, want) {
		t.Errorf("what could not be asked for stays, what is not known is not: %+v", got)
	}
	got = Next(last, v1.MemberReportSpec{KubernetesVersion: "v1.37.0", APIs: []string{"v1/Pod"}, Capacity: &v1.Capacity{Allocatable: v1.Amounts{CPUMillis: 4001, MemoryMiB: 1024, Pods: 64}}})
	want = v1.MemberReportSpec{KubernetesVersion: "v1.37.0", APIs: []string{"v1/Pod"}, Capacity: capacity}
	if !Equal(got, want) {
		t.Errorf("what is known counts: %+v %+v", got, got.Capacity)
	}
}

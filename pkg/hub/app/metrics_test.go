package app

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

// listed is a cache that has apps.
type listed struct {
	client.Reader
	apps []v1.MyApp
}

func (l listed) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1.MyAppList).Items = l.apps
	return nil
}

func TestAppsAreCountedByCondition(t *testing.T) {
	app := func(conditions ...metav1.Condition) v1.MyApp {
		return v1.MyApp{Status: v1.MyAppStatus{Conditions: conditions}}
	}
	is := func(condition string, status metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: condition, Status: status}
	}
	cache := listed{apps: []v1.MyApp{
		app(is(v1.ConditionReady, "True"), is(v1.ConditionStalled, "False")),
		app(is(v1.ConditionReady, "True"), is(v1.ConditionStalled, "False")),
		app(is(v1.ConditionReady, "False"), is(v1.ConditionStalled, "True")),
		app(is(v1.ConditionReady, "Unknown"), is("SomebodyElses", "True")),
		app(),
	}}
	elected := make(chan struct{})
	registry := prometheus.NewRegistry()
	if err := registry.Register(newAppCounts(cache, elected)); err != nil {
		t.Fatal(err)
	}
	if got := gathered(t, registry); len(got) > 0 {
		t.Errorf("a hub that does not lead counts apps: %v", got)
	}
	close(elected)
	got := gathered(t, registry)
	want := map[string]float64{
		"Ready True": 2, "Ready False": 1, "Ready Unknown": 2,
		"Stalled True": 1, "Stalled False": 2, "Stalled Unknown": 2,
	}
	for _, condition := range v1.AppConditions() {
		if condition != v1.ConditionReady && condition != v1.ConditionStalled {
			want[condition+" True"], want[condition+" False"], want[condition+" Unknown"] = 0, 0, 5
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counted otherwise (-want +got):\n%s", diff)
	}
}

// gathered are the values of a registry by the values of their labels.
func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, sample := range family.GetMetric() {
			values[sample.GetLabel()[0].GetValue()+" "+sample.GetLabel()[1].GetValue()] = sample.GetGauge().GetValue()
		}
	}
	return values
}

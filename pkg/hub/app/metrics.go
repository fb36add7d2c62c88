package app

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	v1 "github.com/example/myapp-hub/api/v1"
)

// registerMetrics exposes how many apps there are, by their conditions.
func registerMetrics(mgr manager.Manager) error {
	if err := metrics.Registry.Register(newAppCounts(mgr.GetCache(), mgr.Elected())); err != nil {
		return fmt.Errorf("registering the metric of apps: %w", err)
	}
	return nil
}

// appCounts counts the MyApps of the cache when it is asked. It has no label per app:
// there are as many series for one app as for ten thousand.
type appCounts struct {
	cache client.Reader
	// elected is closed once this process leads. The others know the apps, too, and
	// would count them again.
	elected <-chan struct{}
	apps    *prometheus.Desc
}

func newAppCounts(cache client.Reader, elected <-chan struct{}) *appCounts {
	return &appCounts{cache: cache, elected: elected, apps: prometheus.NewDesc("myapp_hub_apps",
		"MyApps by the status of a condition; a condition that is missing is Unknown. Only the leader counts.",
		[]string{"condition", "status"}, nil)}
}

// Describe implements prometheus.Collector.
func (c *appCounts) Describe(descs chan<- *prometheus.Desc) { descs <- c.apps }

// Collect implements prometheus.Collector.
func (c *appCounts) Collect(samples chan<- prometheus.Metric) {
	select {
	case <-c.elected:
	default:
		return
	}
	var apps v1.MyAppList
	// Reading from the cache does not fail once it runs, and what does must not take all
	// other metrics along.
	if err := c.cache.List(context.Background(), &apps, client.UnsafeDisableDeepCopy); err != nil {
		return
	}
	type verdict struct {
		condition string
		status    metav1.ConditionStatus
	}
	counts := map[verdict]int{}
	for i := range apps.Items {
		for _, condition := range apps.Items[i].Status.Conditions {
			counts[verdict{condition.Type, condition.Status}]++
		}
	}
	for _, condition := range v1.AppConditions() {
		yes, no := counts[verdict{condition, metav1.ConditionTrue}], counts[verdict{condition, metav1.ConditionFalse}]
		for status, n := range map[metav1.ConditionStatus]int{
			metav1.ConditionTrue: yes, metav1.ConditionFalse: no, metav1.ConditionUnknown: len(apps.Items) - yes - no,
		} {
			samples <- prometheus.MustNewConstMetric(c.apps, prometheus.GaugeValue, float64(n), condition, string(status))
		}
	}
}

package delivery

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// registerMetrics exposes how many requests wait for their member.
func registerMetrics(g *gates) {
	metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "myapp_hub_delivery_parked",
		Help: "Deliveries that wait for their member: it is disconnected, not synced, or at its limit of concurrent requests.",
	}, func() float64 { return float64(g.parked()) }))
}

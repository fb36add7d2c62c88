package delivery

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// registerMetrics exposes how many requests wait for their member.
func registerMetrics(g *gates) error {
	parked := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "myapp_hub_delivery_parked",
		Help: "Deliveries that wait for their member: it is disconnected, not synced, or at its limit of concurrent requests.",
	}, func() float64 { return float64(g.parked()) })
	if err := metrics.Registry.Register(parked); err != nil {
		return fmt.Errorf("registering the delivery metrics: %w", err)
	}
	return nil
}

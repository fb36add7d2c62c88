package apply

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// corrections counts objects that somebody had changed on a member and that were
// restored.
var corrections = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "myapp_drift_corrections_total",
	Help: "Objects that somebody had changed on a member and that were restored.",
}, []string{"member"})

// RegisterMetrics makes the engine's counters visible to Prometheus.
func RegisterMetrics() error { return metrics.Registry.Register(corrections) }

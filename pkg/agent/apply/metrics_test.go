package apply

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Prometheus sees no increase in a counter that is there only after it.
func TestCorrectionsAreCountedFromNought(t *testing.T) {
	New(Config{Member: "never-corrected"})
	registry := prometheus.NewRegistry()
	if err := registry.Register(corrections); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var members []string
	for _, family := range families {
		for _, sample := range family.GetMetric() {
			members = append(members, sample.GetLabel()[0].GetValue())
		}
	}
	if !slices.Contains(members, "never-corrected") {
		t.Errorf("the counters are those of %q", members)
	}
}

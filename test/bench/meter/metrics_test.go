package meter

import (
	"math"
	"strings"
	"testing"
)

const page = `# HELP depth of the queue
# TYPE depth gauge
depth{name="app",priority="0"} 2
depth{name="app",priority="1"} 3
depth{name="delivery"} 4
depths 9
goroutines 120
wal_bucket{le="0.001"} 50
wal_bucket{le="0.002"} 90
wal_bucket{le="0.004"} 100
wal_bucket{le="+Inf"} 100
wal_sum 0.2
`

func TestMetrics(t *testing.T) {
	m, err := ParseMetrics(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		reason string
		got    float64
		want   float64
	}{
		{"a series without labels", m.Sum("goroutines"), 120},
		{"all series of a name, and of no other that begins so", m.Sum("depth"), 9},
		{"those with a label", m.Sum("depth", `name="app"`), 5},
		{"no such series", m.Sum("nothing"), 0},
		{"half of the observations are in the first bucket", m.Quantile("wal", 0.5), 0.001},
		{"between two bounds", m.Quantile("wal", 0.95), 0.003},
		{"no such histogram", m.Quantile("nothing", 0.5), 0},
	} {
		if math.Abs(tt.got-tt.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", tt.reason, tt.got, tt.want)
		}
	}
	m.Add(Metrics{`wal_bucket{le="+Inf"}`: 100, "goroutines": 1})
	if m["goroutines"] != 121 || m.Quantile("wal", 0.99) != 0.004 {
		t.Errorf("beyond the last bound nothing is known but the bound: %v", m)
	}
	for _, broken := range []string{"depth", "depth x"} {
		if _, err := ParseMetrics(strings.NewReader(broken)); err == nil {
			t.Errorf("%q was understood", broken)
		}
	}
}

package report

import (
	"math"
	"slices"
)

// Spread is what several runs gave for one figure.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	// N is the number of runs; the rest is zero without any.
	N int `json:"n"`
}

// SpreadOf sums up the figures of runs.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	median := sorted[n/2]
	if n%2 == 0 {
		median = (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return Spread{Median: median, Min: sorted[0], Max: sorted[n-1], N: n}
}

// Wide is true when the largest figure is more than factor times the smallest.
func (s Spread) Wide(factor float64) bool { return s.N > 1 && s.Max > factor*s.Min }

// Quantile is the smallest value that at least the share q of the values does
// not exceed (nearest rank), zero without values.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Ratios are those of pairs of runs, the n-th of one to the n-th of the other.
// A run without a partner, or with one of zero, is left out.
func Ratios(of, to []float64) []float64 {
	var ratios []float64
	for i := range min(len(of), len(to)) {
		if to[i] != 0 {
			ratios = append(ratios, of[i]/to[i])
		}
	}
	return ratios
}

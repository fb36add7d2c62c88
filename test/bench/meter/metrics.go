package meter

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Metrics are the samples of a /metrics page by series: name and labels as they
// are written there.
type Metrics map[string]float64

// ParseMetrics reads the text format of Prometheus, without times of samples.
func ParseMetrics(page io.Reader) (Metrics, error) {
	m := Metrics{}
	lines := bufio.NewScanner(page)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			return nil, fmt.Errorf("no value in %q", line)
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("value of %q: %w", line[:at], err)
		}
		m[line[:at]] = value
	}
	return m, lines.Err()
}

// Sum adds up the series of a name that have all the labels, written as
// key="value".
func (m Metrics) Sum(name string, labels ...string) float64 {
	sum := 0.0
	for series, value := range m {
		base, rest, _ := strings.Cut(series, "{")
		if base == name && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(rest, l) }) {
			sum += value
		}
	}
	return sum
}

// Add adds the samples of other to those of m: counters of several processes.
func (m Metrics) Add(other Metrics) {
	for series, value := range other {
		m[series] += value
	}
}

// Quantile is the value of a histogram that the share q does not exceed, by
// linear interpolation within its bucket; zero if nothing was observed. Beyond the
// last bound it is that bound.
func (m Metrics) Quantile(histogram string, q float64) float64 {
	type bucket struct{ bound, count float64 }
	var buckets []bucket
	for series, count := range m {
		label, ok := strings.CutPrefix(series, histogram+`_bucket{le="`)
		if !ok {
			continue
		}
		bound, err := strconv.ParseFloat(strings.TrimSuffix(label, `"}`), 64)
		if err == nil {
			buckets = append(buckets, bucket{bound, count})
		}
	}
	slices.SortFunc(buckets, func(a, b bucket) int { return cmp.Compare(a.bound, b.bound) })
	if len(buckets) == 0 {
		return 0
	}
	rank := q * buckets[len(buckets)-1].count
	below := bucket{}
	for _, b := range buckets {
		if b.count >= rank && b.count > below.count {
			if math.IsInf(b.bound, 1) {
				return below.bound
			}
			return below.bound + (b.bound-below.bound)*(rank-below.count)/(b.count-below.count)
		}
		below = b
	}
	return 0
}

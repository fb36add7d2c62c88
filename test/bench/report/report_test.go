package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		reason string
		values []float64
		want   Spread
	}{
		{"nothing was measured", nil, Spread{}},
		{"one run is its own median", []float64{3}, Spread{Median: 3, Min: 3, Max: 3, N: 1}},
		{"the middle one, whatever the order", []float64{9, 1, 2}, Spread{Median: 2, Min: 1, Max: 9, N: 3}},
		{"between the middle two", []float64{4, 1, 2, 9}, Spread{Median: 3, Min: 1, Max: 9, N: 4}},
	} {
		if diff := cmp.Diff(tt.want, SpreadOf(tt.values)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[99-i] = float64(i + 1)
	}
	for _, tt := range []struct {
		reason string
		values []float64
		q      float64
		want   float64
	}{
		{"no values", nil, 0.99, 0},
		{"half of a hundred", hundred, 0.5, 50},
		{"one of a hundred is beyond", hundred, 0.99, 99},
		{"of few values the 99th percentile is the largest", []float64{2, 3, 1}, 0.99, 3},
		{"the smallest", hundred, 0, 1},
		{"the largest", hundred, 1, 100},
	} {
		if got := Quantile(tt.values, tt.q); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.reason, got, tt.want)
		}
	}
}

func TestRatiosAreOfPairs(t *testing.T) {
	for _, tt := range []struct {
		reason string
		of, to []float64
		want   []float64
	}{
		{"the n-th to the n-th: both were slow in the second pair", []float64{2, 20}, []float64{1, 10}, []float64{2, 2}},
		{"a run without a partner", []float64{2, 3}, []float64{1}, []float64{2}},
		{"nothing to compare with", []float64{2, 3}, []float64{0, 1}, []float64{3}},
	} {
		if diff := cmp.Diff(tt.want, Ratios(tt.of, tt.to)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

// scenario has pairs of runs of one figure.
func scenario(m Measure, floor, hub []float64) Scenario {
	m.Key, m.Name = "figure", "figure"
	s := Scenario{Name: "S1", Title: "a test", Measures: []Measure{m}}
	for i := range max(len(floor), len(hub)) {
		if i < len(floor) {
			s.Runs = append(s.Runs, Run{Contender: Floor, Values: map[string]float64{"figure": floor[i]}})
		}
		if i < len(hub) {
			s.Runs = append(s.Runs, Run{Contender: Hub, Values: map[string]float64{"figure": hub[i]}})
		}
	}
	return s
}

func TestNotes(t *testing.T) {
	table := Table(Results{Notes: []string{"only half of it"}, Scenarios: []Scenario{scenario(Measure{}, nil, []float64{1})}})
	if lines := strings.Split(table, "\n"); len(lines) < 3 || lines[1] != "only half of it" {
		t.Errorf("a note comes before the figures:\n%s", table)
	}
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		measure      Measure
		floor, hub   []float64
		want         string
	}{
		{"no goal", "nothing is asked", Measure{}, []float64{1}, []float64{9}, ""},
		{"within", "the goal itself is reached", Measure{Goal: AtMost(1.25)}, []float64{4}, []float64{5}, "ok"},
		{"missed", "by the share of the goal", Measure{Goal: AtMost(1.25)}, []float64{4}, []float64{6}, "MISSED by 20 %"},
		{"pairs", "the median of the pairs counts, not the pair of the medians", Measure{Goal: AtMost(1.25)}, []float64{10, 11, 19}, []float64{12, 20, 20}, "ok"},
		{"noisy", "the floor varied more than twofold", Measure{Goal: AtMost(1.25)}, []float64{1, 2.1}, []float64{1, 1}, "too noisy"},
		{"counted", "a count is believed all the same", Measure{Goal: AtMost(1.25), Counted: true}, []float64{1, 2.1}, []float64{1, 1}, "ok"},
		{"no hub", "there is no ratio", Measure{Goal: AtMost(1.25)}, []float64{1}, nil, "no data"},
		{"no floor", "there is no ratio", Measure{Goal: AtMost(1.25)}, nil, []float64{1}, "no data"},
		{"absolute", "the floor does not matter", Measure{Goal: Below(2)}, nil, []float64{1, 2, 9}, "ok"},
		{"absolute missed", "by the share of the goal", Measure{Goal: Below(2)}, []float64{100}, []float64{3}, "MISSED by 50 %"},
		{"nothing allowed", "of nothing there is no share", Measure{Goal: Below(0)}, nil, []float64{3}, "MISSED"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rows := Rows(scenario(tt.measure, tt.floor, tt.hub))
			if len(rows) != 1 || rows[0].Verdict() != tt.want {
				t.Errorf("%s: %+v", tt.reason, rows)
			}
		})
	}
}

func TestAnyMissed(t *testing.T) {
	good := scenario(Measure{Goal: AtMost(2)}, []float64{1}, []float64{1})
	bad := scenario(Measure{Goal: AtMost(2)}, []float64{1}, []float64{3})
	if AnyMissed(Results{Scenarios: []Scenario{good}}) || !AnyMissed(Results{Scenarios: []Scenario{good, bad}}) {
		t.Error("one missed goal is enough, and needed")
	}
}

func results() Results {
	return Results{
		Started: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), Commit: "abc",
		Machine: Machine{OS: "linux", Arch: "amd64", CPUs: 2, Go: "go1", LoadBefore: 0.5, LoadAfter: 2, Fsync99: 0.00425},
		Scenarios: []Scenario{
			scenario(Measure{Goal: AtMost(1.25), Unit: "s"}, []float64{10.04, 11}, []float64{12, 12.5}),
			scenario(Measure{Goal: Below(4)}, nil, []float64{5}),
			scenario(Measure{}, []float64{0.01234}, []float64{210}),
		},
	}
}

func TestTable(t *testing.T) {
	const want = `2026-05-04 12:00 UTC, linux/amd64, 2 CPUs, go1, load 0.5 before and 2.0 after, etcd's fsync p99 4.25 ms, commit abc

S1: a test (medians of 2 and 2 runs, [min–max])
  MEASURE    C0              HUB             RATIO             GOAL      VERDICT
  figure, s  10.5 [10.0–11]  12.2 [12–12.5]  1.17 [1.14–1.20]  ≤ 1.25 ×  ok

S1: a test (one run of the hub)
  MEASURE  HUB  GOAL  VERDICT
  figure   5    ≤ 4   MISSED by 25 %

S1: a test (medians of 1 and 1 runs, [min–max])
  MEASURE  C0     HUB  RATIO  GOAL  VERDICT
  figure   0.012  210  17018        
`
	if diff := cmp.Diff(want, Table(results())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJSONHasRawFiguresAndRows(t *testing.T) {
	b, err := JSON(results())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Scenarios []Scenario
		Rows      []Row
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(results().Scenarios, got.Scenarios); diff != "" {
		t.Errorf("the raw figures can be read again (-want +got):\n%s", diff)
	}
	if len(got.Rows) != 3 || got.Rows[1].Outcome != Missed {
		t.Errorf("rows: %+v", got.Rows)
	}
}

func TestChart(t *testing.T) {
	r := results()
	r.Scenarios[0].Name = "S<1"
	svg := Chart(r)
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the chart is no XML: %v\n%s", err, svg)
		}
	}
	if n := strings.Count(svg, `height="14"`); n != 2 {
		t.Errorf("%d bars: a row has one if it has a ratio", n)
	}
	if n := strings.Count(svg, "#c00"); n != 1 {
		t.Errorf("%d marks: a bar has one if it has a goal", n)
	}
	for _, part := range strings.Split(svg, `x="`)[1:] {
		if strings.HasPrefix(part, "-") {
			t.Errorf("something is left of the chart: %s", part)
		}
	}
}

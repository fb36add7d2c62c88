package report

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Table is the results for people: the median of each figure with its smallest
// and largest, the ratio of the pairs, the goal and the verdict.
func Table(r Results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s/%s, %d CPUs, %s, load %.1f before and %.1f after", r.Started.UTC().Format("2006-01-02 15:04 MST"),
		r.Machine.OS, r.Machine.Arch, r.Machine.CPUs, r.Machine.Go, r.Machine.LoadBefore, r.Machine.LoadAfter)
	if r.Machine.Fsync99 > 0 {
		fmt.Fprintf(&b, ", etcd's fsync p99 %s ms", number(1000*r.Machine.Fsync99))
	}
	if r.Commit != "" {
		fmt.Fprintf(&b, ", commit %s", r.Commit)
	}
	b.WriteString("\n")
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "%s\n", note)
	}
	for _, s := range r.Scenarios {
		fmt.Fprintf(&b, "\n%s: %s (%s)\n", s.Name, s.Title, s.runs())
		table(&b, Rows(s), s.count(Floor) > 0)
	}
	return b.String()
}

// runs says what the figures of a scenario are made of.
func (s Scenario) runs() string {
	floor, hub := s.count(Floor), s.count(Hub)
	switch {
	case floor > 0:
		return fmt.Sprintf("medians of %d and %d runs, [min–max]", floor, hub)
	case hub == 1:
		return "one run of the hub"
	}
	return fmt.Sprintf("medians of %d runs of the hub, [min–max]", hub)
}

func (s Scenario) count(contender string) (n int) {
	for _, r := range s.Runs {
		if r.Contender == contender {
			n++
		}
	}
	return n
}

// table leaves the columns out that need a floor if there is none.
func table(b *strings.Builder, rows []Row, floor bool) {
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	line := func(name, c0, hub, ratio, goal, verdict string) {
		cells := []string{"  " + name, c0, hub, ratio, goal, verdict}
		if !floor {
			cells = []string{"  " + name, hub, goal, verdict}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	line("MEASURE", "C0", "HUB", "RATIO", "GOAL", "VERDICT")
	for _, r := range rows {
		line(r.title(), spread(r.Floor), spread(r.Hub), spread(r.Ratio), r.goal(), r.Verdict())
	}
	_ = w.Flush() // a Builder takes everything
}

func (r Row) title() string {
	if r.Unit == "" {
		return r.Name
	}
	return r.Name + ", " + r.Unit
}

func (r Row) goal() string {
	switch {
	case r.Goal == nil:
		return ""
	case r.Goal.Absolute:
		return "≤ " + number(r.Goal.Most)
	default:
		return "≤ " + number(r.Goal.Most) + " ×"
	}
}

func spread(s Spread) string {
	switch s.N {
	case 0:
		return "–"
	case 1:
		return number(s.Median)
	}
	return fmt.Sprintf("%s [%s–%s]", number(s.Median), number(s.Min), number(s.Max))
}

// number has three significant digits, and all digits of a whole number.
func number(v float64) string {
	switch {
	case v == float64(int64(v)) || v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10 || v <= -10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 0.1 || v <= -0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// JSON is everything: the raw figures of each run, and the rows made of them.
func JSON(r Results) ([]byte, error) {
	var rows []Row
	for _, s := range r.Scenarios {
		rows = append(rows, Rows(s)...)
	}
	b, err := json.MarshalIndent(struct {
		Results
		Rows []Row `json:"rows"`
	}{r, rows}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the results: %w", err)
	}
	return append(b, '\n'), nil
}

package report

import "fmt"

// Outcome is how a row stands to its goal.
type Outcome string

// The outcomes.
const (
	OK     Outcome = "ok"
	Missed Outcome = "MISSED"
	// TooNoisy: the floor itself varied so much that the ratio says nothing.
	TooNoisy Outcome = "too noisy"
	// NoData: a contender has no figures.
	NoData Outcome = "no data"
	// NoGoal: nothing is asked of the figure.
	NoGoal Outcome = ""
)

// noisy is how much larger the floor's largest figure may be than its smallest.
const noisy = 2

// Row is a measure with its figures and its verdict.
type Row struct {
	Scenario string `json:"scenario"`
	Measure
	Floor Spread `json:"floor"`
	Hub   Spread `json:"hub"`
	// Ratio is of the pairs of runs.
	Ratio   Spread  `json:"ratio"`
	Outcome Outcome `json:"outcome,omitempty"`
	// Over is by what share the goal was missed: 0.12 is 12 %.
	Over float64 `json:"over,omitempty"`
}

// Rows are the rows of a scenario's table.
func Rows(s Scenario) []Row {
	rows := make([]Row, 0, len(s.Measures))
	for _, m := range s.Measures {
		floor, hub := s.values(Floor, m.Key), s.values(Hub, m.Key)
		rows = append(rows, judge(Row{
			Scenario: s.Name, Measure: m,
			Floor: SpreadOf(floor), Hub: SpreadOf(hub), Ratio: SpreadOf(Ratios(hub, floor)),
		}))
	}
	return rows
}

// judge gives a verdict by the first line that holds:
//
//	nothing is asked                                 none
//	the figures that it is about are missing         no data
//	the goal is a ratio, and the floor varies twofold too noisy
//	the median is at most the goal                   ok
//	otherwise                                        missed
func judge(r Row) Row {
	if r.Goal == nil {
		return r
	}
	figure := r.Ratio
	if r.Goal.Absolute {
		figure = r.Hub
	}
	switch {
	case figure.N == 0:
		r.Outcome = NoData
	case !r.Goal.Absolute && !r.Counted && r.Floor.Wide(noisy):
		r.Outcome = TooNoisy
	case figure.Median <= r.Goal.Most:
		r.Outcome = OK
	default:
		r.Outcome = Missed
		if r.Goal.Most > 0 {
			r.Over = figure.Median/r.Goal.Most - 1
		}
	}
	return r
}

// Verdict is the outcome in words.
func (r Row) Verdict() string {
	if r.Outcome == Missed && r.Over > 0 {
		return fmt.Sprintf("%s by %.0f %%", Missed, 100*r.Over)
	}
	return string(r.Outcome)
}

// AnyMissed is true when some goal was missed.
func AnyMissed(r Results) bool {
	for _, s := range r.Scenarios {
		for _, row := range Rows(s) {
			if row.Outcome == Missed {
				return true
			}
		}
	}
	return false
}

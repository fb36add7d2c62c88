package rollout

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // windows name time zones, and an image may have none

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

// Rules are the rollout of one spec, compiled once and used in every pass. They are safe
// for concurrent use.
type Rules struct {
	// err says what of the rollout cannot be used.
	err error

	progressive    bool
	steps          []rule
	maxUnavailable intstr.IntOrString
	maxFailures    int
	onFailure      v1.RolloutFailurePolicy
	windows        []window
	// last is the rule of the step of the members that no other step chooses.
	last rule
}

// rule is one of spec.rollout.steps.
type rule struct {
	name string
	// definition is all that was said of the step.
	definition string
	names      []string // sorted; nil for all
	selector   labels.Selector
	share      *intstr.IntOrString
	sortBy     string
	concurrent *intstr.IntOrString
	soak       time.Duration
	approval   v1.RolloutApproval
	gates      []gate
	deadline   time.Duration
}

// gate is what must hold before a step is done.
type gate struct {
	name      string
	condition *Condition
	timeout   time.Duration
	// question is what is asked for the value; it has no address if nothing is.
	question Question
}

// Question is what a gate asks a Prometheus, again and again.
type Question struct {
	// Step is the hash of the step, Gate the name of the gate.
	Step, Gate     string
	Address, Query string
	// Interval is the time between two answers, Count how many in a row must do.
	Interval time.Duration
	Count    int
}

// Measured are the answers to a question.
type Measured struct {
	// Values are the last ones in a row, the latest last: Count at the most.
	Values []float64
	// Problem says why there is no value; empty if there is none yet.
	Problem string
}

// window is a time that comes again and again.
type window struct {
	opens    cron.Schedule
	duration time.Duration
	zone     *time.Location
}

// restStep is the name of the step of the members that no other chooses.
const restStep = "rest"

// Defaults of spec.rollout, as its fields say.
const (
	defaultDeadline = 600 * time.Second
	defaultTimeout  = 600 * time.Second
	defaultInterval = 30 * time.Second
)

// RulesOf compiles spec.rollout. What cannot be compiled gives nobody a new revision; Err
// says what it is.
func RulesOf(spec *v1.MyAppSpec) *Rules {
	r := &Rules{maxUnavailable: intstr.FromString("25%"), onFailure: v1.RolloutPause}
	if spec.Rollout == nil || spec.Rollout.Type != v1.RolloutProgressive {
		return r
	}
	r.progressive = true
	r.err = r.compile(spec.Rollout)
	return r
}

// Err is what of the rollout cannot be used; nil if all can.
func (r *Rules) Err() error { return r.err }

// Progressive is true if a new revision goes from step to step.
func (r *Rules) Progressive() bool { return r.progressive }

func (r *Rules) compile(spec *v1.Rollout) error {
	if spec.MaxUnavailable != nil {
		if r.maxUnavailable = *spec.MaxUnavailable; !counts(spec.MaxUnavailable) {
			return errors.New("spec.rollout.maxUnavailable: " + notCounting)
		}
	}
	if spec.MaxFailures != nil {
		r.maxFailures = int(*spec.MaxFailures)
	}
	if spec.OnFailure != "" {
		r.onFailure = spec.OnFailure
	}
	deadline := seconds(spec.ProgressDeadlineSeconds, defaultDeadline)
	r.last = rule{name: restStep, definition: restStep, selector: labels.Everything(), deadline: deadline}
	for i := range spec.Steps {
		if spec.Steps[i].Name == restStep {
			return fmt.Errorf("spec.rollout.steps[%d].name: rest is the last step, of the members that no other chooses: name it otherwise", i)
		}
		step, err := ruleOf(&spec.Steps[i], deadline)
		if err != nil {
			return fmt.Errorf("spec.rollout.steps[%d].%w", i, err)
		}
		r.steps = append(r.steps, step)
	}
	for i := range spec.Windows {
		w, err := windowOf(&spec.Windows[i])
		if err != nil {
			return fmt.Errorf("spec.rollout.windows[%d].%w", i, err)
		}
		r.windows = append(r.windows, w)
	}
	return nil
}

func ruleOf(spec *v1.RolloutStep, deadline time.Duration) (rule, error) {
	definition, err := json.Marshal(spec)
	if err != nil {
		return rule{}, err
	}
	r := rule{
		name: spec.Name, definition: string(definition), names: slices.Sorted(slices.Values(spec.ClusterNames)),
		share: spec.Share, sortBy: spec.SortBy, concurrent: spec.MaxConcurrent,
		soak: seconds(spec.SoakSeconds, 0), approval: spec.Approval, deadline: seconds(spec.ProgressDeadlineSeconds, deadline),
	}
	for field, n := range map[string]*intstr.IntOrString{"share": spec.Share, "maxConcurrent": spec.MaxConcurrent} {
		if !counts(n) {
			return r, errors.New(field + ": " + notCounting)
		}
	}
	if r.selector, err = placement.Compile(spec.ClusterSelector); err != nil {
		return r, fmt.Errorf("clusterSelector: %w", err)
	}
	for i := range spec.Gates {
		g := gate{name: spec.Gates[i].Name, timeout: seconds(spec.Gates[i].TimeoutSeconds, defaultTimeout)}
		if g.condition, err = CompileCondition(spec.Gates[i].Expression, spec.Gates[i].Prometheus != nil); err != nil {
			return r, fmt.Errorf("gates[%d].expression: %w", i, err)
		}
		if q := spec.Gates[i].Prometheus; q != nil {
			g.question = Question{
				Gate: g.name, Address: q.Address, Query: q.Query,
				Interval: seconds(spec.Gates[i].IntervalSeconds, defaultInterval), Count: 1,
			}
			if n := spec.Gates[i].Count; n != nil {
				g.question.Count = int(*n)
			}
			if needs := time.Duration(g.question.Count-1) * g.question.Interval; needs >= g.timeout {
				return r, fmt.Errorf("gates[%d]: %d answers %s apart take %s, and timeoutSeconds ends it after %s: raise it, or ask for fewer", i, g.question.Count, g.question.Interval, needs, g.timeout)
			}
		} else if spec.Gates[i].Count != nil || spec.Gates[i].IntervalSeconds != nil {
			return r, fmt.Errorf("gates[%d]: count and intervalSeconds are about prometheus: set it, or remove them", i)
		}
		r.gates = append(r.gates, g)
	}
	return r, nil
}

// fiveFields are a minute, hour, day, month and day of the week.
var fiveFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

func windowOf(spec *v1.ChangeWindow) (window, error) {
	w := window{duration: time.Duration(spec.DurationSeconds) * time.Second, zone: time.UTC}
	if strings.Contains(spec.Schedule, "TZ=") {
		return w, fmt.Errorf("schedule: %q: set timeZone instead of TZ", spec.Schedule)
	}
	var err error
	if w.opens, err = fiveFields.Parse(spec.Schedule); err != nil {
		return w, fmt.Errorf("schedule: %q is not five fields of cron, such as 0 22 * * 1-5: %w", spec.Schedule, err)
	}
	if leapYear := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC); w.opens.Next(leapYear).IsZero() {
		return w, fmt.Errorf("schedule: %q never comes: name a day that there is", spec.Schedule)
	}
	switch spec.TimeZone {
	case "":
	case "Local":
		return w, fmt.Errorf("timeZone: %q is another one on each machine: name a zone such as Europe/Berlin", spec.TimeZone)
	default:
		if w.zone, err = time.LoadLocation(spec.TimeZone); err != nil {
			return w, fmt.Errorf("timeZone: %q is not known: name a zone such as Europe/Berlin", spec.TimeZone)
		}
	}
	return w, nil
}

// open is true inside a window, or if there are none; otherwise next is when the first one
// opens, zero for never.
func (r *Rules) open(now time.Time) (open bool, next time.Time) {
	if len(r.windows) == 0 {
		return true, time.Time{}
	}
	for i := range r.windows {
		w := &r.windows[i]
		// The latest opening that can still be open is the first after this.
		if opened := w.opens.Next(now.In(w.zone).Add(-w.duration)); !opened.IsZero() && !opened.After(now) {
			return true, time.Time{}
		}
		if opens := w.opens.Next(now.In(w.zone)); !opens.IsZero() && (next.IsZero() || opens.Before(next)) {
			next = opens
		}
	}
	return false, next
}

func seconds(n *int32, otherwise time.Duration) time.Duration {
	if n == nil {
		return otherwise
	}
	return time.Duration(*n) * time.Second
}

const notCounting = "use a number from 1 to 10000, or a percentage from 1% to 100%"

// counts is true for a number or percentage that is at least one. The schema cannot say it
// of numbers.
func counts(n *intstr.IntOrString) bool {
	return n == nil || n.Type == intstr.String || n.IntVal >= 1 && n.IntVal <= 10_000
}

// of is a number, or a percentage of all rounded up; at least one.
func of(n *intstr.IntOrString, all int) int {
	// The schema admits numbers and percentages only; with another text nothing is allowed.
	is, err := intstr.GetScaledValueFromIntOrPercent(n, all, true)
	if err != nil {
		return 1
	}
	return max(1, is)
}

package placement

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Rules are the placement of one spec, compiled once and used in every pass. They are
// safe for concurrent use.
type Rules struct {
	settings

	// last is what was said of the fleet that was last asked about.
	last atomic.Pointer[matching]
}

// settings are the rules themselves.
type settings struct {
	// err says what of the placement cannot be used. The API server does not admit such.
	err error

	names      []string // sorted; nil for all
	selector   labels.Selector
	expression *Expression
	// usesCapacity is true if the expression may ask for what members have.
	usesCapacity bool
	tolerations  []v1.Toleration
	number       int // 0 for all
	spread       []v1.SpreadConstraint
	preferences  []weighted
	groups       []group
	failBack     v1.FailBackPolicy

	divided  bool
	division v1.DivisionType
	weights  []weighted
	min, max int32 // max is 0 for no limit

	failover failover
}

// weighted is a weight for the members that a selector chooses.
type weighted struct {
	selector labels.Selector
	weight   int32
}

// group is one of the ordered groups.
type group struct {
	name     string
	names    []string // sorted; nil for all
	selector labels.Selector
}

// failover are the numbers of spec.failover.
type failover struct {
	tolerationSeconds, graceSeconds int64
	budgetPercent                   int32
}

// Defaults of spec.failover, as its fields say.
const (
	defaultTolerationSeconds = 300
	defaultGraceSeconds      = 600
	defaultBudgetPercent     = 20
)

// RulesOf compiles spec.placement and spec.failover. What cannot be compiled places
// nothing and removes nothing; Err says what it is.
func RulesOf(spec *v1.MyAppSpec) *Rules {
	r := &Rules{settings: settings{selector: labels.Everything(), failover: failover{defaultTolerationSeconds, defaultGraceSeconds, defaultBudgetPercent}}}
	if f := spec.Failover; f != nil {
		r.failover.tolerationSeconds = value(f.TolerationSeconds, defaultTolerationSeconds)
		r.failover.graceSeconds = value(f.GracePeriodSeconds, defaultGraceSeconds)
		r.failover.budgetPercent = value(f.BudgetPercent, defaultBudgetPercent)
	}
	if p := spec.Placement; p != nil {
		r.err = r.compile(p)
	}
	return r
}

// Err is what of the placement cannot be used; nil if all can.
func (r *Rules) Err() error { return r.err }

// Divided is true if spec.replicas is for all members together.
func (r *Rules) Divided() bool { return r.divided }

func (r *Rules) compile(p *v1.Placement) error {
	const field = "spec.placement."
	var err error
	if r.selector, err = Compile(p.ClusterSelector); err != nil {
		return fmt.Errorf(field+"clusterSelector: %w", err)
	}
	if p.Expression != "" {
		if r.expression, err = CompileExpression(p.Expression); err != nil {
			return fmt.Errorf(field+"expression: %w", err)
		}
	}
	r.usesCapacity = strings.Contains(p.Expression, "free") || strings.Contains(p.Expression, "allocatable")
	r.names, r.tolerations, r.spread = sorted(p.ClusterNames), p.Tolerations, p.Spread
	r.number, r.failBack = int(value(p.NumberOfClusters, 0)), p.FailBack
	for i := range p.Preferences {
		w, err := weightedOf(&p.Preferences[i].ClusterSelector, p.Preferences[i].Weight)
		if err != nil {
			return fmt.Errorf(field+"preferences[%d].clusterSelector: %w", i, err)
		}
		r.preferences = append(r.preferences, w)
	}
	for i := range p.Groups {
		g := group{name: p.Groups[i].Name, names: sorted(p.Groups[i].ClusterNames)}
		if g.selector, err = Compile(p.Groups[i].ClusterSelector); err != nil {
			return fmt.Errorf(field+"groups[%d].clusterSelector: %w", i, err)
		}
		r.groups = append(r.groups, g)
	}
	return r.compileReplicas(p.ReplicaScheduling)
}

func (r *Rules) compileReplicas(s *v1.ReplicaScheduling) error {
	if s == nil || s.Type != v1.ReplicasDivided {
		return nil
	}
	r.divided, r.division = true, s.Divide
	r.min, r.max = value(s.MinPerCluster, 0), value(s.MaxPerCluster, 0)
	for i := range s.Weights {
		w, err := weightedOf(&s.Weights[i].ClusterSelector, s.Weights[i].Weight)
		if err != nil {
			return fmt.Errorf("spec.placement.replicaScheduling.weights[%d].clusterSelector: %w", i, err)
		}
		r.weights = append(r.weights, w)
	}
	return nil
}

func weightedOf(c *v1.ClusterSelector, weight int32) (weighted, error) {
	selector, err := Compile(c)
	return weighted{selector, weight}, err
}

func sorted(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

// listed is true if a sorted list has the name, or there is no list.
func listed(names []string, name string) bool {
	if names == nil {
		return true
	}
	_, ok := slices.BinarySearch(names, name)
	return ok
}

// copy is one that can be changed, without what is remembered.
func (r *Rules) copy() *Rules { return &Rules{settings: r.settings} }

// takesOver is true if other members run what one that is lost would have: where each
// eligible member has its own copy anyway, leaving one helps nobody.
func (r *Rules) takesOver() bool { return r.number > 0 || len(r.groups) > 0 || r.divided }

func value[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// Action is what happens to an app on one member.
type Action string

const (
	// Joins: the member gets the app.
	Joins Action = "joins"
	// Leaves: the app leaves the member.
	Leaves Action = "leaves"
	// Waits: the app is to leave the member, and stays until others are ready or the member
	// answers.
	Waits Action = "is to be left"
	// Scales: the member gets another number of pods.
	Scales Action = "scales"
	// Updates: the member gets other objects.
	Updates Action = "updates"
)

// Member is what happens to an app on one member.
type Member struct {
	Cluster string `json:"cluster"`
	// Action is what happens; Step says when, from 1 on: those of one step at once, each
	// step when the one before it is done.
	Action Action `json:"action"`
	Step   int    `json:"step"`
	// From and To are the numbers of pods.
	From int32 `json:"from"`
	To   int32 `json:"to"`
	// Reason is one of the v1.Reason constants, Message says it for a person.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Plan is what an edit does to an app.
type Plan struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Members are those for which something changes, in the order in which it does.
	Members []Member `json:"members"`
	// Unchanged is how many members have the app and keep it as it is.
	Unchanged int `json:"unchanged"`
	// Summary says how many members have the app in the end, and why the others do not.
	Summary string `json:"summary"`
	// Asks is what the hub asks for before it goes on, Hash what an acknowledgement quotes;
	// empty if nothing.
	Asks string `json:"asks,omitempty"`
	Hash string `json:"hash,omitempty"`
	// Problems says why nothing changes at all; empty if it does.
	Problems string `json:"problems,omitempty"`
	// Diffs are what becomes of the objects.
	Diffs []Diff `json:"diffs,omitempty"`
}

// Changes is true if the edit changes something on a member, or stops the hub.
func (p *Plan) Changes() bool { return len(p.Members) > 0 || len(p.Diffs) > 0 || p.Asks != "" }

// State is an app and what is known of the members.
type State struct {
	App *v1.MyApp
	Fleet
	// Clusters are the members as rendering sees them.
	Clusters map[string]render.Cluster
}

// StateOf is the part of a State that the members make. States of many apps may share it.
func StateOf(members []v1.MemberCluster) State {
	s := State{Clusters: make(map[string]render.Cluster, len(members))}
	for i := range members {
		s.Members = append(s.Members, placement.MemberOf(&members[i]))
		s.Clusters[members[i].Name] = render.ClusterOf(&members[i])
	}
	slices.SortFunc(s.Members, func(a, b placement.Member) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// Input is what the placement of the app is decided from.
func (s *State) Input() placement.Input {
	s.Numbers = numbers(s)
	return Input(s.App, SpecOf(s.App), s.Fleet)
}

// Of compares what is with what would be. The rows are those of the app as it would be.
func Of(before, after State) (Plan, error) {
	p := Plan{Namespace: after.App.Namespace, Name: after.App.Name, Members: []Member{}}
	in := after.Input()
	forecast := placement.Foresee(in)
	p.Summary, p.Problems = forecast.Last.Message, in.Invalid
	p.Asks, p.Hash = forecast.Last.Question.Message, forecast.Last.Question.Plan
	touched := map[string]bool{}
	for step, changes := range forecast.Steps {
		for i := range changes {
			p.Members = append(p.Members, memberOf(&changes[i], step+1))
			touched[changes[i].Cluster] = true
		}
	}
	runs := map[string]bool{}
	for i := range forecast.Last.Verdicts {
		v := &forecast.Last.Verdicts[i]
		runs[v.Cluster] = v.Outcome == placement.Run
	}
	kept := slices.DeleteFunc(slices.Clone(forecast.Rows), func(r v1.PlacementRow) bool { return !runs[r.Cluster] })
	updated, err := p.compare(before, after, kept)
	if err != nil {
		return p, err
	}
	turns := after.turns(kept)
	for _, name := range updated {
		if !touched[name] {
			row := rowOf(forecast.Rows, name)
			m := Member{
				Cluster: name, Action: Updates, Step: 1, From: row.Replicas, To: row.Replicas,
				Reason: v1.ReasonUpdating, Message: "its objects change",
			}
			if turn, ok := turns[name]; ok {
				m.Step, m.Reason = turn.Number, v1.ReasonRollingOut
				m.Message = fmt.Sprintf("its objects change in step %s (%d of %d) of the rollout", turn.Step, turn.Number, turn.Total)
			}
			p.Members = append(p.Members, m)
			touched[name] = true
		}
	}
	for i := range forecast.Rows {
		if !touched[forecast.Rows[i].Cluster] {
			p.Unchanged++
		}
	}
	slices.SortStableFunc(p.Members, func(a, b Member) int {
		if a.Step != b.Step {
			return a.Step - b.Step
		}
		return strings.Compare(a.Cluster, b.Cluster)
	})
	return p, nil
}

// turns says in which step of the rollout members get the revision; nil if all get it at once.
func (s *State) turns(rows []v1.PlacementRow) map[string]rollout.Turn {
	if len(s.App.Status.Placements) == 0 {
		return nil // The first revision goes to all at once.
	}
	members := make(map[string]labels.Set, len(rows))
	for i := range rows {
		members[rows[i].Cluster] = s.Clusters[rows[i].Cluster].Labels
	}
	return rollout.RulesOf(&s.App.Spec).Turns(members)
}

func memberOf(c *placement.Change, step int) Member {
	m := Member{Cluster: c.Cluster, Step: step, From: c.From, To: c.Replicas, Reason: c.Reason, Message: c.Message}
	switch {
	case c.Outcome == placement.Remove:
		m.Action, m.To = Leaves, 0
	case c.Outcome == placement.Leave:
		m.Action, m.To = Waits, c.From
	case c.New:
		m.Action = Joins
	case c.Replicas == c.From:
		m.Action, m.Message = Updates, c.Cluster+" keeps the app after all"
	default:
		m.Action = Scales
	}
	return m
}

// numbers are the pods that the spec wants on each member.
func numbers(s *State) map[string]int32 {
	n := make(map[string]int32, len(s.Clusters))
	for name, cluster := range s.Clusters {
		n[name] = render.Replicas(&s.App.Spec, cluster)
	}
	return n
}

func rowOf(rows []v1.PlacementRow, name string) v1.PlacementRow {
	i := slices.IndexFunc(rows, func(r v1.PlacementRow) bool { return r.Cluster == name })
	if i < 0 {
		return v1.PlacementRow{}
	}
	return rows[i]
}

// String is the plan in one line.
func (p *Plan) String() string {
	counts := map[Action]int{}
	for _, m := range p.Members {
		counts[m.Action]++
	}
	var parts []string
	for _, a := range []Action{Joins, Leaves, Waits, Scales, Updates} {
		if n := counts[a]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", count(n), words(a, n)))
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing changes on any member")
	}
	return strings.Join(parts, ", ")
}

func count(n int) string {
	if n == 1 {
		return "1 member"
	}
	return fmt.Sprintf("%d members", n)
}

// words is an action of one member or of several.
func words(a Action, n int) string {
	if n == 1 {
		return string(a)
	}
	if a == Waits {
		return "are to be left"
	}
	return strings.TrimSuffix(string(a), "s")
}

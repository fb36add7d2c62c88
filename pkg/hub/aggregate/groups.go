package aggregate

import (
	"fmt"
	"strings"

	v1 "github.com/example/myapp-hub/api/v1"
)

// group is some of the rows, as far as a condition speaks of them.
type group struct {
	count int
	// first are the first of them, at most as many as are named anywhere.
	first [mostNamed]*v1.PlacementRow
	// worst is the first of the worst: one that needs a person, else one that
	// failed.
	worst *v1.PlacementRow
}

// mostNamed is how many members a message names at most.
const mostNamed = 10

func (g *group) add(r *v1.PlacementRow) {
	if g.count < len(g.first) {
		g.first[g.count] = r
	}
	if g.count == 0 || rank(r) < rank(g.worst) {
		g.worst = r
	}
	g.count++
}

func rank(r *v1.PlacementRow) int {
	switch {
	case v1.NeedsPerson(r.Reason):
		return 0
	case r.State == v1.PlacementFailed:
		return 1
	default:
		return 2
	}
}

// groups are the rows by what they mean for the conditions. A row can be in
// several.
type groups struct {
	// wanted are the rows whose members are to run the app, notUpdated those that
	// do not have what the spec says, telling those of them that say why.
	wanted              int
	notUpdated, telling group
	// inTrouble have failed, or have what nothing but a person or somebody else
	// on the member changes; refused need a person.
	inTrouble, refused group
	// underWay are not ready, and without trouble; down have no ready pod.
	underWay, down group
	// unknown do not answer, leaving keep the app until others are ready, removing are
	// losing it, older do not obey this hub: what they have is from a newer state of it,
	// or from another hub.
	unknown, leaving, removing, older group
	// hold is why nothing is changed, nil if it is.
	hold *Hold
}

// put adds a row to the groups it is in.
func (g *groups) put(r *v1.PlacementRow, current bool) {
	if r.Reason == v1.ReasonHubRestored || r.Reason == v1.ReasonHubReplaced {
		g.older.add(r)
	}
	switch r.State {
	case v1.PlacementRemoving:
		g.removing.add(r)
	case v1.PlacementLeaving:
		g.leaving.add(r)
	}
	if !wanted(r) {
		return
	}
	g.wanted++
	if !current {
		g.notUpdated.add(r)
		if speaksForItself(r.Reason) {
			g.telling.add(r)
		}
	}
	if down(r) {
		g.down.add(r)
	}
	switch {
	case r.State == v1.PlacementUnknown:
		g.unknown.add(r)
	case r.State == v1.PlacementReady && current:
	case r.State == v1.PlacementFailed || v1.NeedsPerson(r.Reason) || r.Reason == v1.ReasonDrifted:
		g.inTrouble.add(r)
		if v1.NeedsPerson(r.Reason) {
			g.refused.add(r)
		}
	case r.State == v1.PlacementPending || r.State == v1.PlacementProgressing:
		g.underWay.add(r)
	}
}

// down is true for a member that answers and has no ready pod where one should be.
func down(r *v1.PlacementRow) bool {
	return r.Replicas > 0 && r.ReadyReplicas == 0 && r.State != v1.PlacementUnknown
}

// speaksForItself is true for reasons of rows that say more as the reason of a
// condition than that the member failed.
func speaksForItself(reason string) bool {
	switch reason {
	case v1.ReasonDrifted, v1.ReasonContested, v1.ReasonConflict, v1.ReasonNotPermitted,
		v1.ReasonNameConflict, v1.ReasonNamespaceMissing, v1.ReasonKindMissing, v1.ReasonSecretMissing, v1.ReasonRenderError, v1.ReasonHubRestored, v1.ReasonHubReplaced:
		return true
	}
	return false
}

// blame is the reason and message about rows in trouble. The word is given to
// the worst.
func blame(g *group, total int) (reason, message string) {
	what := "not as wanted on "
	if g.worst.State == v1.PlacementFailed {
		what = "failed on "
	}
	reason = v1.ReasonMemberFailed
	if speaksForItself(g.worst.Reason) {
		reason = g.worst.Reason
	}
	return reason, what + names(g, total) + "; " + says(g.worst)
}

// names lists members, sorted and cut: "3 of 40: a, b, c". With total 0 it
// lists them without counting.
func names(g *group, total int) string {
	const most = 3
	var list []string
	for _, r := range g.first[:min(most, g.count)] {
		list = append(list, r.Cluster)
	}
	s := strings.Join(list, ", ")
	if more := g.count - most; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	if total == 0 {
		return s
	}
	return fmt.Sprintf("%d of %d: %s", g.count, total, s)
}

// details names the members and says the first one's trouble in full.
func details(g *group, total int) string {
	return names(g, total) + "; " + says(g.first[0])
}

func says(r *v1.PlacementRow) string { return r.Cluster + ": " + r.Message }

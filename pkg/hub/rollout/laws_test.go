package rollout

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

// hold holds a pass to the rules that every pass keeps. It counts by itself: what the
// planner counts is not asked.
func (w *world) hold(s State, next Result) {
	if problem := broken(s, next, metav1.NewTime(w.now), w.worked); problem != "" {
		w.t.Fatalf("%s: %s\n%s", w.now.Sub(w.begun), problem, w.story())
	}
}

// broken says which rule a pass does not keep; empty if it keeps all. worked has
// MEMBER/REVISION for what was ever ready where.
func broken(s State, next Result, now metav1.Time, worked map[string]string) string {
	before := map[string]v1.PlacementRow{}
	if s.Rollout == nil {
		return ""
	}
	for _, r := range s.Rollout.Observed {
		before[r.Cluster] = r
	}
	if problem := idempotent(s, next, now); problem != "" {
		return problem
	}
	status := next.Status
	if status == nil {
		return ""
	}
	if status.Reason == "" || status.Message == "" {
		return "nothing is said"
	}
	if n := len([]rune(status.Message)); n > 1024 {
		return fmt.Sprintf("the message has %d characters", n)
	}
	run := map[string]bool{}
	for _, v := range s.Verdicts {
		run[v.Cluster] = v.Outcome == placement.Run
	}
	var unready, updated []string
	placed, serving, underWay := 0, 0, 0
	for _, r := range next.Rows {
		was, had := before[r.Cluster]
		had = had && was.IsPlaced()
		if !had || !r.IsPlaced() {
			continue
		}
		placed++
		ready := was.State == v1.PlacementReady && was.Updated
		moved := was.Revision != r.Revision
		failing := was.Revision == s.Revision && (slices.Contains(status.AcceptedFailures, r.Cluster) || s.Rollout.Rules.onFailure == v1.RolloutContinue || s.Rollout.Rules.maxFailures > 0 || status.StableRevision == s.Revision)
		switch {
		case !ready && !failing:
			unready = append(unready, r.Cluster)
		case ready && moved:
			updated = append(updated, r.Cluster)
		}
		if was.Revision == s.Revision && !ready && !failing && was.State != v1.PlacementUnknown {
			underWay++
		}
		if !moved {
			continue
		}
		if was.ReadyReplicas > 0 && r.Revision == s.Revision && was.State != v1.PlacementFailed && was.Revision == status.StableRevision {
			serving++
		}
		if !run[r.Cluster] {
			return fmt.Sprintf("%s may not be changed, and goes from %s to %s", r.Cluster, was.Revision, r.Revision)
		}
		if problem := allowed(status, was, r, worked); problem != "" {
			return problem
		}
	}
	most := of(&s.Rollout.Rules.maxUnavailable, placed)
	if rolling := status.Phase == v1.RolloutProgressing || status.Phase == v1.RolloutCompleted; rolling && len(updated) > 0 && len(unready)+len(updated) > most {
		return fmt.Sprintf("%v are not ready and %v are updated, of %d at most", unready, updated, most)
	}
	if serving > 0 && serving+underWay > most {
		return fmt.Sprintf("%d members that have ready pods are updated while %d are, of %d at most", serving, underWay, most)
	}
	if back := status.Phase == v1.RolloutRollingBack; back && len(updated) > most {
		return fmt.Sprintf("%v go back at once, of %d at most", updated, most)
	}
	if problem := inReverse(s, next, before); problem != "" {
		return problem
	}
	return inOrderOfSteps(s, next, before)
}

// inReverse: on the way back a member on which the revision works keeps it until none of a
// later step has it, and no more of a step go back at one time than maxConcurrent.
func inReverse(s State, next Result, before map[string]v1.PlacementRow) string {
	if next.Status.Phase != v1.RolloutRollingBack {
		return ""
	}
	later, keeps := "", ""
	for _, st := range slices.Backward(stepsOf(s, next)) {
		moved, onTheWay := 0, 0
		for _, m := range st.members {
			was := before[m.name]
			i := slices.IndexFunc(next.Rows, func(r v1.PlacementRow) bool { return r.Cluster == m.name })
			if i < 0 {
				continue
			}
			back := was.Revision == s.Revision && next.Rows[i].Revision != s.Revision
			ready := was.State == v1.PlacementReady && was.Updated
			switch {
			case back && ready && later != "":
				return fmt.Sprintf("%s goes back while %s of a later step keeps the revision", m.name, later)
			case back && ready:
				moved++
			case was.Revision == s.Revision && next.Rows[i].Revision == s.Revision:
				keeps = m.name
			}
			if was.Revision != s.Revision && was.RevisionTime != nil && was.State == v1.PlacementPending {
				onTheWay++
			}
		}
		if st.concurrent != nil && moved > 0 && moved > of(st.concurrent, len(st.members)) {
			return fmt.Sprintf("%d members of step %s go back at once, with %d on their way", moved, st.name, onTheWay)
		}
		later = keeps
	}
	return ""
}

// stepsOf are the steps of those that are to run the app.
func stepsOf(s State, next Result) []step {
	var members []member
	for _, v := range s.Verdicts {
		if v.Outcome == placement.Run {
			members = append(members, member{name: v.Cluster, labels: s.Rollout.Labels(v.Cluster)})
		}
	}
	return s.Rollout.Rules.divide(members, s.Revision, next.Status.Generation)
}

// idempotent: the same again changes nothing.
func idempotent(s State, next Result, now metav1.Time) string {
	if s.Rollout == nil {
		return ""
	}
	if s.Rollout.Status != nil && next.Status != s.Rollout.Status && SameStatus(s.Rollout.Status, next.Status) {
		return "the status is the same, and is given anew"
	}
	again, r := s, *s.Rollout
	r.Status = next.Status
	again.Rollout, again.Rows = &r, next.Rows
	// Those that were told something have not been heard about it.
	told := map[string]bool{}
	old := map[string]int64{}
	for _, row := range s.Rows {
		old[row.Cluster] = row.Decision
	}
	r.Observed = slices.Clone(next.Rows)
	for i, row := range next.Rows {
		told[row.Cluster] = row.Decision != old[row.Cluster]
		if !told[row.Cluster] {
			for _, seen := range s.Rollout.Observed {
				if seen.Cluster == row.Cluster {
					r.Observed[i].State, r.Observed[i].Updated, r.Observed[i].ReadyReplicas = seen.State, seen.Updated, seen.ReadyReplicas
					r.Observed[i].LastTransitionTime = seen.LastTransitionTime
				}
			}
		}
	}
	heard := r.Heard
	r.Heard = func(name string) bool { return !told[name] && heard(name) }
	second := Next(again, now)
	for i := range second.Rows {
		if second.Rows[i].Revision != next.Rows[i].Revision {
			return fmt.Sprintf("the same again gives %s to %s after %s", second.Rows[i].Revision, second.Rows[i].Cluster, next.Rows[i].Revision)
		}
	}
	return ""
}

// allowed: once a revision has failed nobody else gets it, and only those that have it lose
// it, to the last one that worked there.
func allowed(status *v1.RolloutStatus, was, r v1.PlacementRow, worked map[string]string) string {
	failed := slices.Contains(status.FailedRevisions, r.Revision)
	switch status.Phase {
	case v1.RolloutPaused, v1.RolloutRollingBack, v1.RolloutRolledBack:
	default:
		if failed && r.Revision != status.StableRevision {
			return fmt.Sprintf("%s gets %s, which has failed", r.Cluster, r.Revision)
		}
		return ""
	}
	if failed {
		return fmt.Sprintf("%s gets %s, which has failed", r.Cluster, r.Revision)
	}
	if status.Phase != v1.RolloutPaused && was.Revision != status.Revision && !slices.Contains(status.FailedRevisions, was.Revision) {
		return fmt.Sprintf("%s goes back from %s, which did not fail", r.Cluster, was.Revision)
	}
	if worked[r.Cluster+"/"+r.Revision] == "" && r.Revision != status.StableRevision {
		return fmt.Sprintf("%s goes back to %s, which never worked there", r.Cluster, r.Revision)
	}
	return ""
}

// inOrderOfSteps: no member of a step gets the revision while one of a step before, that
// answers, has not proved it.
func inOrderOfSteps(s State, next Result, before map[string]v1.PlacementRow) string {
	if next.Status.Phase != v1.RolloutProgressing || next.Status.StableRevision == s.Revision {
		return ""
	}
	steps := stepsOf(s, next)
	revisions := map[string]string{}
	for _, r := range next.Rows {
		revisions[r.Cluster] = r.Revision
	}
	for i, st := range steps {
		done := slices.Contains(next.Status.CompletedSteps, st.hash)
		for _, m := range st.members {
			was, had := before[m.name]
			if revisions[m.name] != s.Revision || had && was.Revision == s.Revision {
				continue
			}
			for _, earlier := range steps[:i] {
				if !slices.Contains(next.Status.CompletedSteps, earlier.hash) {
					return fmt.Sprintf("%s of step %s gets %s, and step %s is not done", m.name, st.name, s.Revision, earlier.name)
				}
			}
			if limit := st.concurrent; limit != nil && !done && had {
				if n := underWay(s, next, st, before); n > of(limit, len(st.members)) {
					return fmt.Sprintf("%d members of step %s are updated at once", n, st.name)
				}
			}
		}
	}
	return ""
}

// underWay counts the members of a step that were updated and are not ready.
func underWay(s State, next Result, st step, before map[string]v1.PlacementRow) (n int) {
	for _, m := range st.members {
		i := slices.IndexFunc(next.Rows, func(r v1.PlacementRow) bool { return r.Cluster == m.name })
		if i < 0 || next.Rows[i].Revision != s.Revision || next.Rows[i].PreviousRevision == "" {
			continue
		}
		was := before[m.name]
		tolerated := s.Rollout.Rules.maxFailures > 0 || s.Rollout.Rules.onFailure == v1.RolloutContinue || slices.Contains(next.Status.AcceptedFailures, m.name)
		if was.Revision != s.Revision || was.State != v1.PlacementReady && was.State != v1.PlacementUnknown && !tolerated {
			n++
		}
	}
	return n
}

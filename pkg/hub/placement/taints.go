package placement

import (
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Taint is a taint of a member.
type Taint struct {
	Key, Value string
	Effect     v1.TaintEffect
	// Since is when the hub first saw it, for effect NoExecute. It is zero until that is on
	// record: then it makes no app leave.
	Since time.Time
}

// tolerates is true if a toleration is for a taint, as with nodes and pods.
func tolerates(t *v1.Toleration, taint *Taint) bool {
	return (t.Key == "" || t.Key == taint.Key) &&
		(t.Effect == "" || t.Effect == taint.Effect) &&
		(t.Operator == v1.TolerationExists || t.Value == taint.Value)
}

// tolerated says whether a taint is tolerated, and if not for ever, for how long.
func (r *Rules) tolerated(taint *Taint) (tolerated, forever bool, limit time.Duration) {
	for i := range r.tolerations {
		t := &r.tolerations[i]
		if !tolerates(t, taint) {
			continue
		}
		if t.TolerationSeconds == nil {
			return true, true, 0
		}
		// The shortest counts, as with pods.
		if d := seconds(*t.TolerationSeconds); !tolerated || d < limit {
			tolerated, limit = true, d
		}
	}
	if !tolerated && taint.Key == v1.TaintUnreachable && taint.Effect == v1.TaintNoExecute {
		return true, false, seconds(r.failover.tolerationSeconds)
	}
	return tolerated, false, limit
}

// strain is what a member's taints do to an app.
type strain struct {
	// repels is the taint that lets the app not come; nil if there is none.
	repels *Taint
	// evicts is the taint that has the app leave, from at on; nil if there is none.
	evicts *Taint
	at     time.Time
	// unwelcome is how many taints with PreferNoSchedule are not tolerated.
	unwelcome int
}

// strainOf looks at all taints of a member. The silence of a member counts from when
// somebody listened.
func (r *Rules) strainOf(m *Member, listening time.Time) strain {
	var s strain
	for i := range m.Taints {
		taint := &m.Taints[i]
		tolerated, forever, limit := r.tolerated(taint)
		switch taint.Effect {
		case v1.TaintPreferNoSchedule:
			if !tolerated {
				s.unwelcome++
			}
		case v1.TaintNoSchedule:
			if !tolerated && s.repels == nil {
				s.repels = taint
			}
		case v1.TaintNoExecute:
			if tolerated && forever {
				continue
			}
			// Nor does an app come that would leave again. That a member does not answer is
			// said without its taint.
			if taint.Key != v1.TaintUnreachable && (s.repels == nil || s.repels.Effect != v1.TaintNoExecute) {
				s.repels = taint
			}
			since := taint.Since
			if taint.Key == v1.TaintUnreachable && since.Before(listening) {
				since = listening
			}
			if at := since.Add(limit); !taint.Since.IsZero() && (s.evicts == nil || at.Before(s.at)) {
				s.evicts, s.at = taint, at
			}
		}
	}
	return s
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

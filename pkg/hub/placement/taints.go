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

// tolerated says whether a taint is tolerated, and if not for ever, for how long: for the
// shortest time that any toleration of it says, as with pods.
func (r *Rules) tolerated(taint *Taint) (tolerated, forever bool, limit time.Duration) {
	limited := false
	for i := range r.tolerations {
		t := &r.tolerations[i]
		if !tolerates(t, taint) {
			continue
		}
		tolerated = true
		if t.TolerationSeconds == nil {
			continue
		}
		if d := seconds(*t.TolerationSeconds); !limited || d < limit {
			limited, limit = true, d
		}
	}
	if !tolerated && taint.Key == v1.TaintUnreachable && taint.Effect == v1.TaintNoExecute {
		return true, false, seconds(r.failover.tolerationSeconds)
	}
	return tolerated, tolerated && !limited, limit
}

// strain is what a member's taints do to an app.
type strain struct {
	// repels is the taint that lets the app not come; nil if there is none.
	repels *Taint
	// evicts is the taint that has the app leave, from evictAt on; nil if there is none.
	evicts  *Taint
	evictAt time.Time
	// silence is the taint that says that the member does not answer, if it is not
	// tolerated longer than until silentAt; nil if there is none.
	silence  *Taint
	silentAt time.Time
	// unwelcome is how many taints with PreferNoSchedule are not tolerated.
	unwelcome int
}

// first is the taint that has the app leave first; nil if there is none.
func (s *strain) first() *Taint {
	if s.evicts == nil || s.silence != nil && s.silentAt.Before(s.evictAt) {
		return s.silence
	}
	return s.evicts
}

func (s *strain) until(t *Taint) time.Time {
	if t == s.silence {
		return s.silentAt
	}
	return s.evictAt
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
			if !forever {
				s.noExecute(taint, limit, listening)
			}
		}
	}
	return s
}

func (s *strain) noExecute(taint *Taint, limit time.Duration, listening time.Time) {
	if taint.Key == v1.TaintUnreachable {
		// That a member does not answer keeps others away without its taint.
		since := taint.Since
		if since.Before(listening) {
			since = listening
		}
		s.silence, s.silentAt = taint, since.Add(limit)
		return
	}
	// Nor does an app come that would leave again.
	if s.repels == nil || s.repels.Effect != v1.TaintNoExecute {
		s.repels = taint
	}
	if at := taint.Since.Add(limit); !taint.Since.IsZero() && (s.evicts == nil || at.Before(s.evictAt)) {
		s.evicts, s.evictAt = taint, at
	}
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

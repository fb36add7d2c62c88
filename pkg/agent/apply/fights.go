package apply

import (
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
)

// A field that somebody changes back each time it is corrected is not fought
// over for ever. The n-th correction of an object within fightWindow waits
// correctionDelay(n) after the one before; from contestedFrom on the fight is
// reported, until the object has been left alone for as long as the next
// correction would wait. A correction that the API server refuses counts too.
const (
	fightWindow   = 10 * time.Minute
	contestedFrom = 3
)

func correctionDelay(n int) time.Duration {
	delays := []time.Duration{0, time.Second, 10 * time.Second, time.Minute}
	if n <= len(delays) {
		return delays[n-1]
	}
	return 5 * time.Minute
}

// fight is the history of an object's corrections.
type fight struct {
	count   int
	last    time.Time
	message string
	// refused is why the last correction failed, "" if it did not.
	refused string
}

// due is how long the next correction has to wait.
func (f fight) due(now time.Time) time.Duration {
	if f.count == 0 || now.Sub(f.last) > fightWindow {
		return 0
	}
	return max(0, f.last.Add(correctionDelay(f.count+1)).Sub(now))
}

// corrected is the fight after one more correction, which was refused or not.
func (f fight) corrected(message, refused string, now time.Time) fight {
	if now.Sub(f.last) > fightWindow {
		f.count = 0
	}
	return fight{count: f.count + 1, last: now, message: message, refused: refused}
}

// contested is how long the fight is still reported if nothing happens, zero if
// there is none.
func (f fight) contested(now time.Time) time.Duration {
	if f.count < contestedFrom || f.refused != "" {
		return 0
	}
	return f.due(now)
}

// report is the change that says that an object is fought over.
func (f fight) report(object string, retry time.Duration) Change {
	if f.refused != "" {
		return Change{Object: object, Action: Drifted, Reason: f.refused, Message: f.message, Retry: retry}
	}
	if f.count < contestedFrom {
		return Change{Object: object, Action: Drifted, Reason: v1.ReasonDrifted, Message: f.message, Retry: retry}
	}
	return Change{
		Object: object, Action: Drifted, Reason: v1.ReasonContested, Retry: retry,
		Message: Shorten(f.message + ". It is changed back each time it is corrected; it is corrected less and less often. Stop the other writer, or list the fields in spec.drift.ignore"),
	}
}

package apply

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// grace is how long a member may take to carry out a request that it has not
// answered. A removal within that time is looked at once more: a late creation
// would otherwise be left behind by an app that is gone.
const grace = 10 * time.Second

// Unanswered remembers when a write for an app got no answer from a member. The
// zero value is ready for use; it is safe for concurrent use.
type Unanswered struct {
	mu   sync.Mutex
	last map[unansweredKey]time.Time
}

type unansweredKey struct {
	member string
	app    types.UID
}

func (u *Unanswered) note(member string, app types.UID, err error, now time.Time) {
	if !Unreachable(err) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = map[unansweredKey]time.Time{}
	}
	for key, at := range u.last {
		if now.Sub(at) > grace {
			delete(u.last, key)
		}
	}
	u.last[unansweredKey{member, app}] = now
}

// wait is how long it takes until no write for the app can still be carried out.
func (u *Unanswered) wait(member string, app types.UID, now time.Time) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.last[unansweredKey{member, app}]
	if !ok {
		return 0
	}
	return at.Add(grace).Sub(now)
}

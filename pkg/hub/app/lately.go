package app

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// latelyFor is for how long it counts that an app was taken off a member: as long as
// whoever relabels or taints a fleet one after the other may need.
const latelyFor = 10 * time.Minute

// lately is which members apps were taken off in the last minutes. After a start it is
// empty. The zero value is ready for use; it is safe for concurrent use.
type lately struct {
	mu  sync.Mutex
	off map[types.NamespacedName][]departure
}

type departure struct {
	member string
	at     time.Time
}

// add enters what was decided.
func (l *lately) add(app types.NamespacedName, members []string, now time.Time) {
	if len(members) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.off == nil {
		l.off = map[types.NamespacedName][]departure{}
	}
	for _, m := range members {
		l.off[app] = append(l.off[app], departure{m, now})
	}
}

// of are the members that count, each once.
func (l *lately) of(app types.NamespacedName, now time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := slices.DeleteFunc(l.off[app], func(d departure) bool { return now.Sub(d.at) > latelyFor })
	if len(kept) == 0 {
		delete(l.off, app)
		return nil
	}
	l.off[app] = kept
	members := make([]string, 0, len(kept))
	for _, d := range kept {
		members = append(members, d.member)
	}
	slices.Sort(members)
	return slices.Compact(members)
}

// forget drops an app that is gone.
func (l *lately) forget(app types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.off, app)
}

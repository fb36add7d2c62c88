package quota

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Ledger has what every app of a namespace with a quota was last allowed. It is safe for
// concurrent use; the zero value is ready.
type Ledger struct {
	mu         sync.Mutex
	namespaces map[string]*page
}

// page is one namespace. Its version grows with every entry that grows.
type page struct {
	version int64
	entries map[types.UID]Usage
}

// App is an app of the namespace as the cache shows it.
type App struct {
	UID types.UID
	// Has is what it has by its rows. It is asked for only if the ledger does not know.
	Has func() Usage
}

// Others is what the other apps of a namespace have; apps are all that there are. The
// version is to be given to Claim.
func (l *Ledger) Others(namespace string, app types.UID, apps []App) (others Usage, version int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.namespaces == nil {
		l.namespaces = map[string]*page{}
	}
	p := l.namespaces[namespace]
	if p == nil {
		p = &page{entries: map[types.UID]Usage{}}
		l.namespaces[namespace] = p
	}
	maps.DeleteFunc(p.entries, func(known types.UID, _ Usage) bool {
		return !slices.ContainsFunc(apps, func(a App) bool { return a.UID == known })
	})
	for _, a := range apps {
		if a.UID == app {
			continue
		}
		usage, known := p.entries[a.UID]
		if !known {
			usage = a.Has()
			p.entries[a.UID] = usage
		}
		others = others.Plus(usage)
	}
	return others, p.version
}

// Claim enters what an app is to have. It is false if others were allowed more since the
// version was read: then it has to be decided anew.
func (l *Ledger) Claim(namespace string, app types.UID, usage Usage, version int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.namespaces[namespace]
	if p == nil || p.version != version {
		return false
	}
	if before := p.entries[app]; usage.exceeds(before) {
		p.version++
	}
	p.entries[app] = usage
	return true
}

// Forget drops a namespace that has no quota.
func (l *Ledger) Forget(namespace string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.namespaces, namespace)
}

// exceeds is true if there is more of anything.
func (u Usage) exceeds(other Usage) bool {
	for name := range u.Clusters {
		if !other.Clusters[name] {
			return true
		}
	}
	return u.Replicas > other.Replicas || u.CPU > other.CPU || u.Memory > other.Memory
}

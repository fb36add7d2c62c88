package main

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/example/myapp-hub/test/bench/floor/plan"
)

const (
	// slotsPerMember and slots are the hub's own limits of requests in flight.
	slotsPerMember = 8
	slots          = 128
)

// version is a Floor in one state of its spec.
type version struct {
	key        types.NamespacedName
	uid        types.UID
	image      string
	generation int64
}

// app is a Floor on its way to the members.
type app struct {
	version
	// fresh is true until the app was on its members once.
	fresh bool
	// pending are the members where it is not ready yet.
	pending map[string]bool
	// applied are the generations of the Deployments that were applied.
	applied map[string]int64
}

// floor is all that C0 knows.
type floor struct {
	objects []plan.Object
	hub     *hub
	members map[string]*member
	slots   chan struct{}

	mu   sync.Mutex
	apps map[types.NamespacedName]*app
}

func newFloor(objects []plan.Object) *floor {
	return &floor{
		objects: objects, members: map[string]*member{},
		slots: make(chan struct{}, slots), apps: map[types.NamespacedName]*app{},
	}
}

// want is told of a Floor. The work begins if it is new or has another image.
func (f *floor) want(v version) {
	f.mu.Lock()
	a := f.apps[v.key]
	switch {
	case a == nil || a.uid != v.uid:
		a = &app{fresh: true}
		f.apps[v.key] = a
	case a.image == v.image:
		f.mu.Unlock()
		return
	}
	a.version = v
	a.pending, a.applied = map[string]bool{}, map[string]int64{}
	for name := range f.members {
		a.pending[name] = true
	}
	f.mu.Unlock()
	for _, m := range f.members {
		m.queue.Add(v.key)
	}
}

func (f *floor) forget(key types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.apps, key)
}

// task is what is to be applied to a member: all objects of a new app, else
// those that have its image.
func (f *floor) task(key types.NamespacedName) (v version, objects []plan.Object, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.apps[key]
	if a == nil {
		return version{}, nil, false
	}
	if a.fresh {
		return a.version, f.objects, true
	}
	for _, o := range f.objects {
		if o.HasImage() {
			objects = append(objects, o)
		}
	}
	return a.version, objects, true
}

// applied is told of the generation of a Deployment that was applied.
func (f *floor) applied(v version, member string, generation int64) {
	f.mu.Lock()
	if a := f.apps[v.key]; a != nil && a.version == v {
		a.applied[member] = generation
	}
	f.mu.Unlock()
	f.look(v.key, member)
}

// look sees whether an app has become ready on a member, and on all.
func (f *floor) look(key types.NamespacedName, member string) {
	generation, ready := f.members[member].ready(key)
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.apps[key]
	if a == nil || !ready || a.applied[member] == 0 || generation < a.applied[member] || !a.pending[member] {
		return
	}
	delete(a.pending, member)
	if len(a.pending) == 0 {
		a.fresh = false
		f.hub.queue.Add(a.version)
	}
}

// fill puts an app and a member in the place of the placeholders.
func fill(content string, v version, m *member) []byte {
	return []byte(strings.NewReplacer(
		plan.Namespace, v.key.Namespace, plan.App, v.key.Name, plan.UID, string(v.uid),
		plan.Member, m.name, plan.Home, m.namespace, plan.Image, v.image,
	).Replace(content))
}

// complain says on standard error what is being tried again.
func complain(err error) { fmt.Fprintln(os.Stderr, "floor: trying again:", err) }

package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
	"github.com/example/myapp-hub/pkg/hub/placement"
	"github.com/example/myapp-hub/pkg/hub/render"
)

// fleet is what the MemberClusters say: as placement, as render and as aggregate
// see it. Passes share it: nothing in it may be changed.
type fleet struct {
	members  []placement.Member // ordered by name
	clusters map[string]render.Cluster
	reach    map[string]aggregate.Member

	// cutOff is when most of the fleet was silent last; zero for never.
	cutOff time.Time
	// capacity is true if that of any member is known.
	capacity bool

	mu sync.Mutex
	// even are maps in which every member has the same number of pods, by number.
	even map[int32]map[string]int32
}

func fleetOf(members []v1.MemberCluster) *fleet {
	f := &fleet{
		members:  make([]placement.Member, 0, len(members)),
		clusters: make(map[string]render.Cluster, len(members)),
		reach:    make(map[string]aggregate.Member, len(members)),
	}
	for i := range members {
		m := &members[i]
		reach := aggregate.Member{Exists: true, LastHeard: m.Status.LastHeardTime}
		if ready := meta.FindStatusCondition(m.Status.Conditions, v1.ConditionReady); ready != nil {
			reach.Ready, reach.Message = ready.Status == "True", ready.Message
		}
		f.reach[m.Name] = reach
		f.clusters[m.Name] = render.ClusterOf(m)
		f.members = append(f.members, placement.MemberOf(m))
		f.capacity = f.capacity || m.Status.Capacity != nil
	}
	slices.SortFunc(f.members, func(a, b placement.Member) int { return strings.Compare(a.Name, b.Name) })
	return f
}

// mostEven is how many maps are kept: there are few numbers of pods that many apps
// have in common.
const mostEven = 64

// numbers are the pods that a spec wants on each member. Specs without an override
// of replicas, which most are, share them: a thousand apps on a thousand members
// would have a million otherwise.
func (f *fleet) numbers(spec *v1.MyAppSpec) map[string]int32 {
	if spec.Autoscaling == nil && slices.ContainsFunc(spec.Overrides, func(o v1.Override) bool { return o.Replicas != nil }) {
		return replicas(spec, f.clusters)
	}
	n := render.Replicas(spec, render.Cluster{})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.even[n] == nil {
		if f.even == nil || len(f.even) >= mostEven {
			f.even = map[int32]map[string]int32{}
		}
		f.even[n] = replicas(spec, f.clusters)
	}
	return f.even[n]
}

// fleets keeps the fleet for as long as the cache shows the same, since a pass
// comes with every report and members change seldom. The zero value is ready for
// use, and looks anew each time; it is safe for concurrent use.
type fleets struct {
	mu     sync.Mutex
	store  memberStore
	events int // events about members so far
	// clock tells when the hub was cut off last; it may be nil.
	clock clock.PassiveClock
	// cutOff is when most members were silent for the last time that a fleet was made.
	cutOff time.Time
	last   *fleet
	at     version
}

// memberStore is the cache's store of MemberClusters. It changes the version
// together with what it holds, and before anybody is told: no pass decides on a
// fleet that is older than the cache when its event came.
type memberStore interface {
	LastStoreSyncResourceVersion() string
}

// version is what a fleet was made from. The events are counted too, for a store
// that was restored can come to a resourceVersion a second time.
type version struct {
	store  string
	events int
}

// watch sets where the version is to be had.
func (f *fleets) watch(store memberStore) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.store, f.last = store, nil
}

// listen sets the clock.
func (f *fleets) listen(c clock.PassiveClock) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clock = c
}

// changed counts an event.
func (f *fleets) changed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events++
}

// now is the fleet that the cache shows.
func (f *fleets) now(ctx context.Context, cache client.Reader) (*fleet, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	is := version{events: f.events}
	if f.store != nil {
		is.store = f.store.LastStoreSyncResourceVersion() // before the list, which may be newer
		if f.last != nil && is.store != "" && is == f.at {
			return f.last, nil
		}
	}
	var members v1.MemberClusterList
	if err := cache.List(ctx, &members, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing MemberClusters: %w", err)
	}
	was := f.last
	f.last, f.at = fleetOf(members.Items), is
	if f.clock != nil && (placement.CutOff(f.last.members) || was != nil && placement.CutOff(was.members)) {
		f.cutOff = f.clock.Now()
	}
	f.last.cutOff = f.cutOff
	return f.last, nil
}

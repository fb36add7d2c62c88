package restore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// poll is how often a held hub looks for a release, and tries again what failed.
const poll = 2 * time.Second

// Store is what the guard needs of the hub's API server. Everything is read live.
type Store interface {
	// Read gives the ConfigMap of the hub's identity.
	Read(ctx context.Context) (*corev1.ConfigMap, error)
	// Write replaces it. It is a conflict if it was changed since it was read.
	Write(ctx context.Context, c *corev1.ConfigMap) error
	// Cluster is the UID of the hub's cluster.
	Cluster(ctx context.Context) (types.UID, error)
	// Version is a resourceVersion that the API server has reached.
	Version(ctx context.Context) (string, error)
}

// Guard knows whether the hub may change anything. It is safe for concurrent
// use; it answers from memory but for Ahead, and holds no lock while it asks the
// API server.
type Guard struct {
	store     Store
	namespace string
	log       logr.Logger
	// wake has room for one: there is something to write.
	wake chan struct{}

	mu    sync.Mutex
	epoch int64
	held  string
	// unwritten is true while the hold is not on record, changes counts what
	// happened in memory: what was read before does not replace it.
	unwritten bool
	changes   int64
	// seen is the highest resourceVersion of the hub, highest the highest epoch on
	// members.
	seen      string
	highest   int64
	listeners []func()
}

// New makes a guard. It knows nothing before Load.
func New(store Store, namespace string, log logr.Logger) *Guard {
	return &Guard{store: store, namespace: namespace, log: log, wake: make(chan struct{}, 1)}
}

// Epoch is the hub's epoch: a release begins the next one.
func (g *Guard) Epoch() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.epoch
}

// Held says why the hub may change nothing, if that is so.
func (g *Guard) Held() (message string, held bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held, g.held != ""
}

// OnChange adds a function that is called after a hold has begun or ended.
func (g *Guard) OnChange(changed func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners = append(g.listeners, changed)
}

// Hold stops the hub at once: it may change nothing on any member until it is
// released. The first evidence counts. It is recorded by Start.
func (g *Guard) Hold(_ context.Context, evidence string) {
	g.mu.Lock()
	if g.held != "" {
		g.mu.Unlock()
		return
	}
	g.held, g.unwritten = message(g.namespace, evidence), true
	g.changes++
	g.mu.Unlock()
	g.log.Info("The hub holds: it is older than its members", "evidence", evidence)
	g.notify()
}

func (g *Guard) notify() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
	g.mu.Lock()
	listeners := g.listeners
	g.mu.Unlock()
	for _, changed := range listeners {
		changed()
	}
}

// Saw notes a resourceVersion of a MyApp that the hub's API server has issued.
func (g *Guard) Saw(resourceVersion string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if newer(resourceVersion, g.seen) {
		g.seen = resourceVersion
	}
}

// SawEpoch notes the epoch of an object on a member. The epoch that a release
// begins is higher than all of them: the hub may have been released before, after
// its backup was made.
func (g *Guard) SawEpoch(epoch int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.highest = max(g.highest, epoch)
}

// Ahead is true when a resourceVersion that an object on a member is stamped with
// is greater than any that the hub's API server has issued: the API server has
// forgotten what it once said. Ask only about stamps of the hub's own epoch;
// those of earlier ones may well be greater. A stamp that is missing or cannot
// be read says nothing. It makes a request only if the stamp is greater than all
// that was seen.
func (g *Guard) Ahead(ctx context.Context, stamped string) (bool, error) {
	g.mu.Lock()
	seen := g.seen
	g.mu.Unlock()
	if !newer(stamped, seen) {
		return false, nil
	}
	// Never an answer that was asked for earlier: it may be older than the stamp.
	now, err := g.store.Version(ctx)
	if err != nil {
		return false, err
	}
	g.Saw(now)
	return newer(stamped, now), nil
}

// newer compares two resourceVersions; any is newer than none.
func newer(a, b string) bool {
	if b == "" {
		b = "1"
	}
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}

// Load reads the identity. It has to be called before the first decision of a
// leader: what an earlier leader has recorded counts.
func (g *Guard) Load(ctx context.Context) error {
	for {
		g.mu.Lock()
		before := g.changes
		g.mu.Unlock()
		id, err := g.read(ctx)
		if apierrors.IsConflict(err) {
			continue // Another process has recorded the cluster at the same time.
		}
		if err != nil {
			return err
		}
		if g.adopt(id, before) {
			return nil
		}
	}
}

// read gives the identity to start with; it records the cluster of a first start.
func (g *Guard) read(ctx context.Context) (identity, error) {
	stored, id, cluster, err := g.observe(ctx)
	if err != nil {
		return id, err
	}
	next := start(id, cluster, g.namespace)
	if id.cluster == "" {
		if err := g.store.Write(ctx, next.into(stored)); err != nil {
			return id, fmt.Errorf("recording the cluster of the hub: %w", err)
		}
	}
	return next, nil
}

func (g *Guard) observe(ctx context.Context) (*corev1.ConfigMap, identity, string, error) {
	stored, err := g.store.Read(ctx)
	if err != nil {
		return nil, identity{}, "", err
	}
	id, err := parse(stored)
	if err != nil {
		return nil, id, "", err
	}
	cluster, err := g.store.Cluster(ctx)
	return stored, id, string(cluster), err
}

// adopt takes over what was read, unless something has happened since.
func (g *Guard) adopt(id identity, before int64) bool {
	g.mu.Lock()
	if g.changes != before {
		g.mu.Unlock()
		return false
	}
	g.epoch = id.epoch
	turned := !g.unwritten && (g.held == "") != (id.held == "")
	if !g.unwritten {
		g.held = id.held
	}
	g.changes++
	g.mu.Unlock()
	if turned {
		g.notify()
	}
	return true
}

// Start records a hold and looks for its release, until ctx ends. It makes no
// request while the hub is not held.
func (g *Guard) Start(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
		case <-timer.C:
		}
		held, ok := g.Held()
		if !ok {
			continue
		}
		if err := g.settle(ctx, held); err != nil && ctx.Err() == nil {
			g.log.Error(err, "Cannot record the hold or look for its release; it is tried again")
		}
		timer.Reset(poll)
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: one hub writes.
func (g *Guard) NeedLeaderElection() bool { return true }

// settle records the hold, or ends it if a person has asked for that.
func (g *Guard) settle(ctx context.Context, held string) error {
	stored, id, cluster, err := g.observe(ctx)
	if err != nil {
		return err
	}
	g.mu.Lock()
	highest := g.highest
	g.mu.Unlock()
	next, released := step(id, held, cluster, highest)
	if next != id {
		if err := g.store.Write(ctx, next.into(stored)); err != nil {
			return err
		}
	}
	g.mu.Lock()
	g.unwritten = false
	g.changes++
	if released {
		g.epoch, g.held = next.epoch, ""
	}
	g.mu.Unlock()
	if released {
		g.log.Info("The hub was released: what it has now is what members are to have", "epoch", next.epoch, "held", held)
		g.notify()
	}
	return nil
}

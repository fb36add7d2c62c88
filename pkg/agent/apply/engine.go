package apply

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/fields"
	"github.com/example/myapp-hub/pkg/manifest"
)

// RequestTimeout is the deadline of every single request to a cluster. It is
// set by context: a timeout on the client would end watches too.
const RequestTimeout = 5 * time.Second

// MaxObjects is how many objects of apps a cluster may show, whoever made them. It is
// what some 25,000 apps have.
const MaxObjects = 100_000

// Owner is the app on whose behalf the engine acts.
type Owner struct {
	// HubID is the identity of the app's hub.
	HubID           string
	Namespace, Name string
	UID             types.UID
	// Stamp says how far the hub and the app are. Objects that carry a newer one
	// are not touched.
	Stamp manifest.Stamp
}

// String names the app: "shop/web".
func (o Owner) String() string { return o.Namespace + "/" + o.Name }

func (o Owner) key() types.NamespacedName {
	return types.NamespacedName{Namespace: o.Namespace, Name: o.Name}
}

// Config is what an Engine works with.
type Config struct {
	// Member is the name of the member.
	Member string
	// Namespace is where all objects are if the member is a namespace of a cluster
	// that others use too. Empty: each app's are in the namespace that it has on the
	// hub.
	Namespace string
	// Tenants is true if the clients act, in each namespace, as a ServiceAccount there.
	Tenants bool
	// Cache holds what CacheOptions says. It may be started later.
	Cache cache.Cache
	// Metadata writes to the cluster and reads from it live, Dynamic reads whole
	// objects, Mapper knows the kinds. See NewMapper.
	Metadata metadata.Interface
	Dynamic  dynamic.Interface
	Mapper   meta.RESTMapper
	// Discover makes a mapper like it that remembers nothing.
	Discover func() (meta.RESTMapper, error)
	// OnChange is called when an object of an app is seen for the first time, has
	// changed or is gone; initial is true for one that was there when the watch began.
	// It must not block.
	OnChange func(app App, initial bool)
	// OnFlood is called when there are more objects of apps than MaxObjects. It must not
	// block. Nil: there may be any number.
	OnFlood func()
	// OnSync is called when a kind that an app waits for has been listed.
	OnSync func()
	// Held is asked before each write; nothing is written while it is true, for the
	// reason that the message gives. It must answer at once. Nil is never.
	Held func() (message string, held bool)
	// Covered is shared by the engines of many members. Nil: the engine has its own.
	Covered *Covered
	// Unanswered remembers requests that got no answer, longer than the Engine
	// lives.
	Unanswered *Unanswered
}

// Engine puts manifests on one cluster. It is safe for concurrent use for
// different owners.
type Engine struct {
	member     string
	namespace  string
	tenants    bool
	cache      cache.Cache
	metadata   metadata.Interface
	dynamic    dynamic.Interface
	mapper     meta.RESTMapper
	discover   func() (meta.RESTMapper, error)
	onChange   func(App, bool)
	onFlood    func()
	onSync     func()
	held       func() (message string, held bool)
	unanswered *Unanswered
	memory     *memory
	rights     rights
	watches    watches
	objects    atomic.Int64 // how many the stores have
}

// New makes the engine of a member. It must be started before it is used.
func New(c Config) *Engine {
	e := &Engine{
		member: c.Member, namespace: c.Namespace, tenants: c.Tenants, cache: c.Cache, metadata: c.Metadata, dynamic: c.Dynamic, mapper: c.Mapper, discover: c.Discover,
		onChange: c.OnChange, onFlood: c.OnFlood, onSync: c.OnSync, held: c.Held, unanswered: c.Unanswered,
		memory: newMemory(c.Covered),
	}
	e.watches.kinds = map[kindKey]kindWatch{}
	corrections.WithLabelValues(c.Member) // an increase from nothing is none to Prometheus
	return e
}

// Member is the name of the member that the engine works on.
func (e *Engine) Member() string { return e.member }

// Namespace is where all objects are on a namespaced member, else empty.
func (e *Engine) Namespace() string { return e.namespace }

// home is the namespace of the owner's objects on the cluster.
func (e *Engine) home(owner Owner) string { return cmp.Or(e.namespace, owner.Namespace) }

// Apply brings the owner's objects to the manifests, in their order, and then
// prunes what is no longer wanted. observed must have been read after the cache
// was synced. An object that is refused is in the ChangeSet; the objects after
// it are not tried, and nothing is pruned. One that somebody has changed and that
// cannot be corrected keeps nothing else from being done: it has the content that
// the objects after it need. The error is of a kind that a retry may mend.
func (e *Engine) Apply(ctx context.Context, owner Owner, manifests []manifest.Manifest, policies v1.Policies, observed Observed) (ChangeSet, error) {
	set := ChangeSet{Hash: manifest.SetHash(manifests)}
	if e.atRest(owner, manifests, observed) {
		set.Changes = unchanged(manifests)
		return set, nil
	}
	if change, newer := e.newerThan(owner, observed); newer {
		set.Changes = []Change{change}
		return set, nil
	}
	change, ok, err := e.prepare(ctx, e.home(owner), manifests)
	if err != nil {
		if change, ok = e.refusalOf(manifests[0], err); !ok {
			return set, err
		}
		set.Changes = []Change{change}
		return set, nil
	}
	if !ok {
		set.Changes = []Change{change}
		return set, nil
	}
	if change, ok, err := e.permitted(ctx, e.home(owner), manifests, observed); err != nil || !ok {
		if err == nil {
			set.Changes = []Change{change}
		}
		return set, err
	}
	e.memory.keep(owner.UID, manifests)
	for _, m := range manifests {
		change, err := e.applyOne(ctx, target{owner: owner, policies: policies, Manifest: m}, observed)
		if err != nil {
			refusal, ok := e.refusalOf(m, err)
			if !ok {
				e.unanswered.note(e.member, owner.UID, err, time.Now())
				return set, fmt.Errorf("applying %s: %w", m, err)
			}
			change = refusal
		}
		set.Changes = append(set.Changes, change)
		if change.Action == Refused {
			return set, nil
		}
	}
	pruned, err := e.prune(ctx, owner, manifests, observed)
	set.Changes = append(set.Changes, pruned...)
	return set, err
}

// Compare is Apply without the writes: an object that Apply would write is
// refused, for the reason given.
func Compare(manifests []manifest.Manifest, observed Observed, reason, message string) ChangeSet {
	set := ChangeSet{Hash: manifest.SetHash(manifests)}
	for _, m := range manifests {
		change := Change{Object: m.String(), Action: Unchanged}
		if hash, _ := observed.HashOf(m); hash != m.Hash {
			change = refused(m, reason, "not as wanted: %s", message)
		}
		set.Changes = append(set.Changes, change)
	}
	return set
}

// unmarked is true for an object of the owner from which somebody has taken the
// mark by which the cache knows it.
func (e *Engine) unmarked(m metav1.Object, owner Owner) bool {
	l := m.GetLabels()
	return l[v1.LabelHubID] == owner.HubID && l[v1.LabelAppUID] == string(owner.UID) && l[v1.LabelMember] == "" &&
		fields.Ours(m.GetManagedFields(), v1.FieldManager) != ""
}

// placed is true for an object of the owner, marked or not.
func (e *Engine) placed(m metav1.Object, owner Owner) bool {
	return e.ours(m, owner) || e.unmarked(m, owner)
}

// ours is true for an object that this hub placed on this member for the owner.
func (e *Engine) ours(m metav1.Object, owner Owner) bool {
	return e.hasMarks(newRecord(m), owner)
}

// hasMarks is ours of a record.
func (e *Engine) hasMarks(r *record, owner Owner) bool {
	return !r.isCopy() && r.mark(v1.LabelHubID) == owner.HubID && r.member.Value() == e.member && r.mark(v1.LabelAppUID) == string(owner.UID)
}

// isCopy is true for an object that a controller made for one of ours and gave
// our labels, as EndpointSlices have those of their Service: it has an owner on
// the cluster and nothing from us.
func isCopy(m metav1.Object) bool {
	return len(m.GetOwnerReferences()) > 0 && fields.Ours(m.GetManagedFields(), v1.FieldManager) == ""
}

package members

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	v1 "github.com/example/myapp-hub/api/v1"
)

var (
	_ multicluster.Provider         = &Provider{}
	_ multicluster.ProviderRunnable = &Provider{}
)

// Options are what members needs to know.
type Options struct {
	// Namespace is the hub's own namespace, in which the kubeconfig Secrets
	// are. Required.
	Namespace string
	// Username is the hub's own name on its API server, which gets the right to
	// write Secrets into mailboxes. Required.
	Username string
	// Mapper maps the kinds that are written to members, without discovery: a
	// member that is slow to answer discovery must not delay a Session. Required.
	Mapper func(*rest.Config, *http.Client) (meta.RESTMapper, error)
	// CacheOptions says what the cache of a member's Session holds; namespace is that
	// of a namespaced member, else empty. It is called once for each Session. Required.
	CacheOptions func(member, namespace string) cache.Options
	// FactsInterval is the least time between two reports of what changes on a Push member:
	// version, kinds, capacity. Default: none, nothing is measured.
	FactsInterval time.Duration
	// Scheme is that of the clients of members. Default: client-go's.
	Scheme *runtime.Scheme
	// Clock is for tests. Default: the real one.
	Clock clock.Clock
	// Log receives what happens to connections. Default: discarded.
	Log logr.Logger
}

// Provider owns the connection to each Push member. It is the cluster provider
// of the multicluster manager, which starts it when this process leads.
type Provider struct {
	options Options
	pace    pace
	changes changes

	mu      sync.Mutex
	ctx     context.Context // of Start; nil before
	aware   multicluster.Aware
	stopped bool
	slots   map[string]*slot
	running sync.WaitGroup
}

// slot is the connections of one member. At most one of them is running; the
// others wait for it to end.
type slot struct {
	// current is nil when the member was dropped.
	current *connection
	// last is closed when every connection of the slot has ended.
	last <-chan struct{}
}

// New returns a Provider without connections.
func New(options Options) (*Provider, error) {
	if options.Namespace == "" || options.Username == "" || options.Mapper == nil || options.CacheOptions == nil {
		return nil, errors.New("members: Namespace, Username, Mapper and CacheOptions are required")
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Scheme == nil {
		options.Scheme = scheme.Scheme
	}
	return &Provider{options: options, pace: defaultPace(), slots: map[string]*slot{}}, nil
}

// Start launches the connections that were asked for, those that still will be,
// and blocks until ctx ends and all of them have. It can be called once.
func (p *Provider) Start(ctx context.Context, aware multicluster.Aware) error {
	if err := p.launchAll(ctx, aware); err != nil {
		return err
	}
	<-ctx.Done()
	p.mu.Lock()
	p.stopped = true // no more running.Go, so Wait is safe
	p.mu.Unlock()
	p.running.Wait()
	return nil
}

func (p *Provider) launchAll(ctx context.Context, aware multicluster.Aware) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx != nil {
		return errors.New("members: the provider was started before")
	}
	p.ctx, p.aware = ctx, aware
	for _, s := range p.slots {
		p.launch(s.current)
	}
	return nil
}

// Get returns the member's current *Session, or an error that is
// multicluster.ErrClusterNotFound while there is none.
func (p *Provider) Get(_ context.Context, name multicluster.ClusterName) (cluster.Cluster, error) {
	if c := p.connection(name.String()); c != nil {
		if _, session := c.snapshot(); session != nil {
			return session, nil
		}
	}
	return nil, fmt.Errorf("member %s has no session: %w", name, multicluster.ErrClusterNotFound)
}

// IndexField is not supported: indexes on members would have to outlive their
// sessions, and nothing needs them.
func (p *Provider) IndexField(context.Context, client.Object, string, client.IndexerFunc) error {
	return errors.New("members: indexes on member clusters are not supported")
}

// Ensure sees to it that there is a connection to the member, or to its namespace,
// with this credential, and returns at once. A connection with another credential
// is ended; the new one begins when nothing of it is left. credentialHash is the
// identity of credential and namespace: with an equal one Ensure does nothing.
func (p *Provider) Ensure(name, namespace string, cfg *rest.Config, credentialHash string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	s := p.slots[name]
	if s == nil {
		s = &slot{}
		p.slots[name] = s
	}
	if s.current != nil {
		if s.current.hash == credentialHash {
			return
		}
		retire(s.current)
	}
	c := &connection{
		member:    name,
		namespace: namespace,
		hash:      credentialHash,
		cfg:       rest.CopyConfig(cfg),
		options:   &p.options,
		pace:      p.pace,
		changed:   p.changes.add,
		after:     s.last,
		done:      make(chan struct{}),
		state:     ConnState{Phase: Connecting},
	}
	s.current, s.last = c, c.done
	p.launch(c)
}

// Drop ends the connection to the member, if there is one, and returns at once.
func (p *Provider) Drop(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[name]
	if s == nil || s.current == nil {
		return
	}
	c := s.current
	s.current = nil
	if retire(c) {
		delete(p.slots, name)
	}
}

// State is what is known of the connection to the member; the zero value when
// there is none.
func (p *Provider) State(name string) ConnState {
	c := p.connection(name)
	if c == nil {
		return ConnState{}
	}
	state, _ := c.snapshot()
	return state
}

// Facts are what was last measured of the member over this connection, with exact
// amounts; nil for nothing yet.
func (p *Provider) Facts(name string) *v1.MemberReportSpec {
	if c := p.connection(name); c != nil {
		return c.measured()
	}
	return nil
}

// Has is true when there is a connection with this credential, in whatever phase.
func (p *Provider) Has(name, credentialHash string) bool {
	c := p.connection(name)
	return c != nil && c.hash == credentialHash
}

// Changes enqueues a member's name whenever the phase or message of its
// connection changes. Changes from before the controller starts are not lost.
func (p *Provider) Changes() source.Source { return source.Func(p.changes.start) }

func (p *Provider) connection(name string) *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.slots[name]; s != nil {
		return s.current
	}
	return nil
}

// launch starts the goroutine of a connection once the Provider is started. The
// caller holds the lock.
func (p *Provider) launch(c *connection) {
	if p.ctx == nil || p.stopped || c == nil {
		return
	}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(p.ctx)
	aware := p.aware
	p.running.Go(func() {
		c.run(ctx, aware)
		p.forget(c)
		close(c.done)
	})
}

// retire ends a connection without waiting, and is true when it had not been
// launched, so that nobody else will clean up after it. The caller holds the lock.
func retire(c *connection) bool {
	if c.cancel == nil {
		close(c.done)
		return true
	}
	c.cancel()
	return false
}

// forget removes the slot of a dropped member when its last connection has
// ended. A slot with a newer connection is left alone.
func (p *Provider) forget(c *connection) {
	c.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.slots[c.member]; s != nil && s.current == nil && s.last == c.done {
		delete(p.slots, c.member)
	}
}

// changes hands names to a controller's queue. Before there is one it keeps
// them, each once.
type changes struct {
	mu      sync.Mutex
	queue   workqueue.TypedRateLimitingInterface[reconcile.Request]
	pending map[string]struct{}
}

// add never blocks: a workqueue only records what is added.
func (n *changes) add(member string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.queue != nil {
		n.queue.Add(requestFor(member))
		return
	}
	if n.pending == nil {
		n.pending = map[string]struct{}{}
	}
	n.pending[member] = struct{}{}
}

func (n *changes) start(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = queue
	for member := range n.pending {
		queue.Add(requestFor(member))
	}
	n.pending = nil
	return nil
}

func requestFor(member string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Name: member}}
}

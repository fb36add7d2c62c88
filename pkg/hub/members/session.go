package members

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/example/myapp-hub/pkg/agent/census"
)

// Session is a Push member for as long as it answers without a break. When it
// stops answering, the context that came with the Session is cancelled, every
// connection under it is closed, and it is of no more use: a new one follows
// when the member is back.
//
// Its cache may not have synced yet. Never wait for that in a worker.
type Session struct {
	cluster.Cluster

	namespace string
	tenants   bool
	metadata  metadata.Interface
	dynamic   dynamic.Interface
	suspect   func()
	refuse    func(message string)
	census    *census.Census // nil: nothing is measured
}

// Namespace is that of a namespaced member, else empty.
func (s *Session) Namespace() string { return s.namespace }

// Tenants is true if what is done in a namespace is done as a ServiceAccount there.
func (s *Session) Tenants() bool { return s.tenants }

// Metadata is a client that sends objects as they are and receives only their
// metadata. It shares the connection of the Session.
func (s *Session) Metadata() metadata.Interface { return s.metadata }

// Dynamic is a client that receives whole objects, over the same connection.
func (s *Session) Dynamic() dynamic.Interface { return s.dynamic }

// Suspect says that a request to the member failed in a way that makes its
// health doubtful, such as by its deadline. It is probed at once, but not more
// than once a second. Suspect never blocks.
func (s *Session) Suspect() { s.suspect() }

// Refuse ends the Session because the member asks too much of the hub; the message says
// in what. It is tried again after five minutes. Refuse never blocks.
func (s *Session) Refuse(message string) { s.refuse(message) }

// Look says that the member may serve other kinds than before. It never blocks.
func (s *Session) Look() {
	if s.census != nil {
		s.census.Look()
	}
}

// newSession builds the clients and the cache of a member over the HTTP client of
// an attempt. It makes no request.
func newSession(c *connection, a *attempt) (*Session, error) {
	cfg, client, member, options := c.cfg, a.transport.client, c.member, c.options
	cacheOptions := options.CacheOptions(member, c.namespace)
	if cacheOptions.DefaultWatchErrorHandler == nil {
		cacheOptions.DefaultWatchErrorHandler = watchErrors(options.Log.WithValues("member", member), a)
	}
	// A Discard logger has no sink, which cluster.New takes for "none given".
	built, err := cluster.New(cfg, func(o *cluster.Options) {
		o.Scheme = options.Scheme
		o.Logger = options.Log.WithValues("member", member)
		o.HTTPClient = client
		o.MapperProvider = options.Mapper
		o.Cache = cacheOptions
	})
	if err != nil {
		return nil, fmt.Errorf("building the clients of member %s: %w", member, err)
	}
	light, err := metadata.NewForConfigAndClient(cfg, client)
	if err != nil {
		return nil, fmt.Errorf("building the metadata client of member %s: %w", member, err)
	}
	whole, err := dynamic.NewForConfigAndClient(cfg, client)
	if err != nil {
		return nil, fmt.Errorf("building the dynamic client of member %s: %w", member, err)
	}
	counting, err := newCensus(c, client)
	if err != nil {
		return nil, err
	}
	return &Session{census: counting, Cluster: built, namespace: c.namespace, tenants: cfg.WrapTransport != nil, metadata: light, dynamic: whole, suspect: a.suspect, refuse: a.refuse}, nil
}

// watchErrors replaces client-go's handler, which logs an error for each watch
// of each member whenever one goes away.
func watchErrors(log logr.Logger, a *attempt) toolscache.WatchErrorHandlerWithContext {
	return func(ctx context.Context, _ *toolscache.Reflector, err error) {
		if ctx.Err() == nil {
			log.V(1).Info("A watch ended; it is started again", "error", err.Error())
			a.suspect()
		}
	}
}

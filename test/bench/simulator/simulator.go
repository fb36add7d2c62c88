package simulator

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	// workers is how many Deployments of a cluster are patched at the same time.
	workers = 8
	// userAgent names the simulator in audit logs.
	userAgent = "bench-simulator"
)

// Sighting is a Deployment in one state of its spec on one cluster.
type Sighting struct {
	Cluster    string
	Deployment types.NamespacedName
	Generation int64
}

// Simulator makes the Deployments of several clusters ready.
type Simulator struct {
	// Selector is the label selector of the Deployments that it takes care of.
	Selector string

	running sync.WaitGroup

	mu       sync.Mutex
	clusters map[string]*simulated
	seen     map[Sighting]time.Time
	down     map[deployment]bool
	flipped  map[deployment]time.Time // when a flip was sent that no watch has shown yet
	lags     []float64
	errs     []error
}

// deployment is one on one cluster.
type deployment struct {
	cluster string
	key     types.NamespacedName
}

// Start takes care of a cluster until ctx ends, through an administrator's
// config. It returns when the cluster's Deployments are known.
func (s *Simulator) Start(ctx context.Context, cluster string, admin *rest.Config) error {
	cfg := rest.CopyConfig(admin)
	cfg.UserAgent = userAgent
	cfg.AcceptContentTypes, cfg.ContentType = "application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf"
	clients, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("simulating %s: %w", cluster, err)
	}
	m := &simulated{simulator: s, name: cluster, clients: clients, queue: workqueue.NewTyped[types.NamespacedName]()}
	factory := informers.NewSharedInformerFactoryWithOptions(clients, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = s.Selector }))
	informer := factory.Apps().V1().Deployments()
	m.lister = informer.Lister().Deployments
	if _, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: m.look, UpdateFunc: func(_, now any) { m.look(now) },
	}); err != nil {
		return fmt.Errorf("simulating %s: %w", cluster, err)
	}
	s.add(m)
	factory.StartWithContext(ctx)
	for range workers {
		s.running.Go(func() { m.work(ctx) })
	}
	s.running.Go(func() {
		<-ctx.Done()
		m.queue.ShutDown()
		factory.Shutdown()
	})
	if !cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		return fmt.Errorf("simulating %s: %w", cluster, ctx.Err())
	}
	return nil
}

// Wait returns when everything that Start began has ended, and says what went
// wrong meanwhile.
func (s *Simulator) Wait() []error {
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errs
}

// Flip takes a Deployment down or makes it ready again, and keeps it so. It returns
// when the cluster's API server has the status.
func (s *Simulator) Flip(ctx context.Context, cluster string, key types.NamespacedName, down bool) error {
	s.mu.Lock()
	m := s.clusters[cluster]
	if s.down == nil {
		s.down, s.flipped = map[deployment]bool{}, map[deployment]time.Time{}
	}
	s.down[deployment{cluster, key}], s.flipped[deployment{cluster, key}] = down, time.Now()
	s.mu.Unlock()
	d, err := m.lister(key.Namespace).Get(key.Name)
	if err != nil {
		return fmt.Errorf("flipping Deployment %s on %s: %w", key, cluster, err)
	}
	return m.write(ctx, d, down)
}

// Lags are how many seconds each flip since the last call took, from when it was
// sent until a watch of the simulator showed it: what the cluster itself takes.
func (s *Simulator) Lags() []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	lags := s.lags
	s.lags = nil
	return lags
}

// shown is told of a Deployment whose status is as it is to be.
func (s *Simulator) shown(cluster string, key types.NamespacedName, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := deployment{cluster, key}
	if sent, ok := s.flipped[at]; ok {
		s.lags = append(s.lags, now.Sub(sent).Seconds())
		delete(s.flipped, at)
	}
}

func (s *Simulator) isDown(cluster string, key types.NamespacedName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down[deployment{cluster, key}]
}

func (s *Simulator) add(m *simulated) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clusters == nil {
		s.clusters = map[string]*simulated{}
	}
	s.clusters[m.name] = m
}

// Seen is when the simulator first saw a Deployment at a generation.
func (s *Simulator) Seen(at Sighting) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	when, ok := s.seen[at]
	return when, ok
}

func (s *Simulator) saw(at Sighting, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[Sighting]time.Time{}
	}
	if _, ok := s.seen[at]; !ok {
		s.seen[at] = now
	}
}

func (s *Simulator) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs = append(s.errs, err)
}

package members

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
)

// fakeMember is a server that answers /version and lets Deployments be watched.
// It stands for the network side of a member, not for an API server.
type fakeMember struct {
	*httptest.Server
	status   atomic.Int32 // of /version
	requests atomic.Int32
	watches  atomic.Int32 // open now
	// extra answers first, and is false for what it does not answer; nil for nothing.
	extra func(http.ResponseWriter, *http.Request) bool
}

func newFakeMember(t *testing.T) *fakeMember {
	t.Helper()
	m := &fakeMember{}
	m.status.Store(http.StatusOK)
	m.Server = httptest.NewUnstartedServer(m)
	m.EnableHTTP2 = true
	m.StartTLS()
	return m
}

func (m *fakeMember) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.requests.Add(1)
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == "/version":
		w.WriteHeader(int(m.status.Load()))
		_, _ = fmt.Fprint(w, `{"gitVersion":"v1.36.3"}`)
	case r.URL.Query().Get("watch") != "":
		m.watches.Add(1)
		defer m.watches.Add(-1)
		_, _ = fmt.Fprintln(w, `{"type":"BOOKMARK","object":{"kind":"Deployment","apiVersion":"apps/v1","metadata":{"resourceVersion":"1","annotations":{"k8s.io/initial-events-end":"true"}}}}`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case m.extra != nil && m.extra(w, r):
	case r.URL.Path == "/apis/apps/v1/deployments":
		_, _ = fmt.Fprint(w, `{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"1"},"items":[]}`)
	default:
		http.NotFound(w, r)
	}
}

func (m *fakeMember) config() *rest.Config { return m.configFor(m.URL) }

func (m *fakeMember) configFor(url string) *rest.Config {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate().Raw})
	return &rest.Config{Host: url, BearerToken: "token", QPS: -1, UserAgent: userAgent, TLSClientConfig: rest.TLSClientConfig{CAData: ca, ServerName: "example.com"}}
}

// consumer starts an informer in each session, as a real one does.
type consumer struct {
	t       *testing.T
	before  func(name string)
	mu      sync.Mutex
	engaged []string
}

func (c *consumer) Engage(ctx context.Context, name multicluster.ClusterName, cl cluster.Cluster) error {
	if c.before != nil {
		c.before(name.String())
	}
	c.mu.Lock()
	c.engaged = append(c.engaged, name.String())
	c.mu.Unlock()
	_, err := cl.GetCache().GetInformer(ctx, &appsv1.Deployment{}, cache.BlockUntilSynced(false))
	if ctx.Err() == nil && err != nil {
		c.t.Errorf("GetInformer: %v", err)
	}
	return nil
}

func testOptions() Options {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(appsv1.SchemeGroupVersion.WithKind("Deployment"), meta.RESTScopeNamespace)
	return Options{
		Namespace: "hub",
		Username:  "hub",
		Mapper:    func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper, nil },
		CacheOptions: func(_, _ string) cache.Options {
			return cache.Options{ByObject: map[client.Object]cache.ByObject{&appsv1.Deployment{}: {}}}
		},
		Scheme: scheme.Scheme,
	}
}

// startProvider starts a quick provider; stop ends it and waits.
func startProvider(t *testing.T, aware multicluster.Aware) (p *Provider, stop func()) {
	t.Helper()
	p, err := New(testOptions())
	if err != nil {
		t.Fatal(err)
	}
	p.pace = pace{interval: time.Hour, deadline: 5 * time.Second, urgent: 5 * time.Second, suspect: time.Millisecond, retry: 5 * time.Millisecond}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Start(ctx, aware) }()
	return p, func() {
		t.Helper()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Start: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("Start did not return")
		}
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for tick := time.Tick(time.Millisecond); !ok(); <-tick {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func isPhase(p *Provider, name string, phase Phase) func() bool {
	return func() bool { return p.State(name).Phase == phase }
}

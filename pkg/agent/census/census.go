package census

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/facts"
)

const (
	// discoveryTimeout bounds each request of discovery, which takes no context.
	discoveryTimeout = 10 * time.Second
	// maxNodes and maxPods are more than any cluster has.
	maxNodes = 20_000
	maxPods  = 500_000
)

// Options are what a census needs to know.
type Options struct {
	// Config and HTTP reach the cluster. Required.
	Config *rest.Config
	HTTP   *http.Client
	// Namespaced is true for a member that is one namespace of its cluster.
	Namespaced bool
	// Interval is the least time between two reports. Required.
	Interval time.Duration
	// Report is called with what is new, with exact amounts. It must not block. Required.
	Report func(v1.MemberReportSpec)
	// Clock is for tests. Default: the real one.
	Clock clock.Clock
	// Log receives what cannot be read. Default: discarded.
	Log logr.Logger
}

// Census is the census of one cluster.
type Census struct {
	options Options
	nodes   *watched[facts.Node]
	pods    *watched[facts.Pod]
	// changed has an element when there may be something to report, look when somebody
	// has reason to look at what is seldom looked at.
	changed, look chan struct{}
	discovery     discovery.DiscoveryInterface

	mu sync.Mutex
	// asked is true once discovery has answered or failed.
	asked   bool
	version string
	apis    []string
}

// New makes a census. It makes no request.
func New(o Options) (*Census, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	light := rest.CopyConfig(o.Config)
	light.ContentType = runtime.ContentTypeProtobuf
	light.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	core, err := typedcorev1.NewForConfigAndClient(light, o.HTTP)
	if err != nil {
		return nil, fmt.Errorf("making a client for nodes and pods: %w", err)
	}
	limited := *o.HTTP
	limited.Timeout = discoveryTimeout
	discover, err := discovery.NewDiscoveryClientForConfigAndClient(o.Config, &limited)
	if err != nil {
		return nil, fmt.Errorf("making a discovery client: %w", err)
	}
	c := &Census{options: o, discovery: discover, changed: make(chan struct{}, 1), look: make(chan struct{}, 1)}
	c.nodes = newWatched("nodes", maxNodes, c.signal, o, lister[facts.Node]{
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return core.Nodes().List(ctx, o)
		},
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return core.Nodes().Watch(ctx, o)
		},
		take: func(object runtime.Object) (facts.Node, bool) {
			node, ok := object.(*corev1.Node)
			if !ok {
				return facts.Node{}, false
			}
			return facts.NodeOf(node), true
		},
	})
	pods := core.Pods(metav1.NamespaceAll)
	c.pods = newWatched("pods", maxPods, c.signal, o, lister[facts.Pod]{
		selector: fields.AndSelectors(
			fields.OneTermNotEqualSelector("spec.nodeName", ""),
			fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
			fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)),
		).String(),
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) },
		watch: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return pods.Watch(ctx, o)
		},
		take: func(object runtime.Object) (facts.Pod, bool) {
			pod, ok := object.(*corev1.Pod)
			if !ok {
				return facts.Pod{}, false
			}
			return facts.PodOf(pod)
		},
	})
	return c, nil
}

// Look says that the cluster may serve other kinds than before, or grant other rights.
// It never blocks, and however often it is called, the cluster is asked seldom.
func (c *Census) Look() {
	poke(c.look)
	c.nodes.retry()
	c.pods.retry()
}

func (c *Census) signal() { poke(c.changed) }

func poke(channel chan struct{}) {
	select {
	case channel <- struct{}{}:
	default: // it is to be done already
	}
}

// Run reports until ctx ends, and returns when nothing of it is left but requests that
// take no context.
func (c *Census) Run(ctx context.Context) {
	// Reflectors log on their own account, each time they fail.
	ctx = klog.NewContext(ctx, logr.Discard())
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { c.discover(ctx) })
	if !c.options.Namespaced {
		running.Go(func() { c.nodes.run(ctx) })
		running.Go(func() { c.pods.run(ctx) })
	}
	c.report(ctx)
}

func (c *Census) report(ctx context.Context) {
	var last *v1.MemberReportSpec
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.changed:
		}
		now, complete := c.facts()
		if !complete || last != nil && facts.Equal(*last, now) {
			continue
		}
		c.options.Report(now)
		last = &now
		if !pause(ctx, c.options.Clock, c.options.Interval, nil) {
			return
		}
	}
}

// facts are what is known, and false while something still may be about to be known.
func (c *Census) facts() (v1.MemberReportSpec, bool) {
	c.mu.Lock()
	report, complete := v1.MemberReportSpec{KubernetesVersion: c.version, APIs: c.apis}, c.asked
	c.mu.Unlock()
	if c.options.Namespaced {
		report.CapacityUnknown = v1.CapacityNamespaced
		return report, complete
	}
	nodes, pods := c.nodes.state(), c.pods.state()
	switch {
	case nodes == reading || pods == reading:
		return report, false
	case nodes == forbidden || pods == forbidden:
		report.CapacityUnknown = v1.CapacityForbidden
	case nodes == unreadable || pods == unreadable:
		report.CapacityUnknown = v1.CapacityUnreadable
	case c.nodes.len() == 0:
		report.CapacityUnknown = v1.CapacityNoNodes
	default:
		capacity := facts.Measure(c.nodes.values(), c.pods.values())
		report.Capacity = &capacity
	}
	return report, complete
}

// pause waits for d, or until wake has an element, and is false when ctx has ended.
func pause(ctx context.Context, clock clock.Clock, d time.Duration, wake <-chan struct{}) bool {
	timer := clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	case <-wake:
	}
	return ctx.Err() == nil
}

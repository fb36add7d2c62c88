package census

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/facts"
)

const interval = 30 * time.Second

// quiet is a census that asks nobody.
func quiet(t *testing.T, clock *clocktesting.FakeClock, report func(v1.MemberReportSpec)) *Census {
	t.Helper()
	c, err := New(Options{Config: &rest.Config{Host: "https://127.0.0.1:1"}, HTTP: http.DefaultClient, Interval: interval, Clock: clock, Report: report})
	if err != nil {
		t.Fatal(err)
	}
	c.asked, c.version = true, "v1.36.3"
	return c
}

func pod(uid string, millis int64) *light[facts.Pod] {
	return &light[facts.Pod]{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}, counts: true, value: facts.Pod{Node: "n", Requested: facts.Amounts{CPUMillis: millis, Pods: 1}}}
}

// The first report comes at once, when all is known; then there is at most one in an
// interval, with what is known at its end, and none without news.
func TestReportsAreSeldom(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	reports := make(chan v1.MemberReportSpec)
	c := quiet(t, clock, func(r v1.MemberReportSpec) { reports <- r })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.report(ctx) }()

	c.signal()
	none(t, reports, "nodes and pods are not known yet")
	c.nodes.kept["n"] = facts.Node{Name: "n", Schedulable: true}
	c.nodes.is, c.pods.is = known, known
	put := func(p *light[facts.Pod]) {
		t.Helper()
		if err := c.pods.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	put(pod("a", 100))
	if r := <-reports; r.Capacity == nil || r.Capacity.Requested.CPUMillis != 100 || r.KubernetesVersion != "v1.36.3" {
		t.Fatalf("the first report: %+v", r)
	}
	put(pod("b", 50))
	put(pod("c", 25))
	none(t, reports, "the interval is not over")
	step(t, clock)
	if r := <-reports; r.Capacity.Requested.CPUMillis != 175 {
		t.Fatalf("the second report: %+v", r.Capacity)
	}
	put(pod("d", 10))
	if err := c.pods.Delete(pod("d", 10)); err != nil {
		t.Fatal(err)
	}
	step(t, clock)
	none(t, reports, "nothing is new")
	put(pod("e", 1))
	if r := <-reports; r.Capacity.Requested.CPUMillis != 176 {
		t.Fatalf("news after a quiet interval come at once: %+v", r.Capacity)
	}
	cancel()
	<-done
}

func none(t *testing.T, reports <-chan v1.MemberReportSpec, reason string) {
	t.Helper()
	select {
	case r := <-reports:
		t.Fatalf("a report, but %s: %+v", reason, r)
	case <-time.After(50 * time.Millisecond):
	}
}

// step lets an interval pass once somebody waits for it.
func step(t *testing.T, clock *clocktesting.FakeClock) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !clock.HasWaiters(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
	clock.Step(interval)
}

// What is not known has a reason, and the rest is reported all the same.
func TestUnknownCapacity(t *testing.T) {
	for reason, tt := range map[string]struct {
		namespaced  bool
		nodes, pods state
		want        v1.CapacityUnknown
		complete    bool
	}{
		"all is known":               {false, known, known, "", true},
		"there are none yet":         {false, known, known, v1.CapacityNoNodes, true},
		"pods are still listed":      {false, forbidden, reading, "", false},
		"nodes may not be read":      {false, forbidden, known, v1.CapacityForbidden, true},
		"pods may not be read":       {false, unreadable, forbidden, v1.CapacityForbidden, true},
		"nodes cannot be read":       {false, unreadable, known, v1.CapacityUnreadable, true},
		"one namespace has no nodes": {true, reading, reading, v1.CapacityNamespaced, true},
	} {
		c := quiet(t, clocktesting.NewFakeClock(time.Now()), nil)
		if reason != "there are none yet" {
			c.nodes.kept["n"] = facts.Node{Name: "n"}
		}
		c.options.Namespaced, c.nodes.is, c.pods.is = tt.namespaced, tt.nodes, tt.pods
		got, complete := c.facts()
		if complete != tt.complete || complete && (got.CapacityUnknown != tt.want || (got.Capacity != nil) != (tt.want == "") || got.KubernetesVersion == "") {
			t.Errorf("%s: %+v (complete %t)", reason, got, complete)
		}
	}
}

// A list is read in pages to its end, and of each object only numbers are kept; one that
// has no end is given up.
func TestPagesAreReadToTheirEnd(t *testing.T) {
	var asked []metav1.ListOptions
	endless := false
	w := newWatched("pods", 10, func() {}, Options{Clock: clocktesting.NewFakeClock(time.Now())}, lister[facts.Pod]{
		selector: "spec.nodeName!=",
		list: func(_ context.Context, o metav1.ListOptions) (runtime.Object, error) {
			asked = append(asked, o)
			page := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}, Items: make([]corev1.Pod, 2)}
			if len(asked) < 3 || endless {
				page.Continue = "more"
			}
			return page, nil
		},
		take: func(object runtime.Object) (facts.Pod, bool) { return facts.PodOf(object.(*corev1.Pod)) },
		watch: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
			return nil, errors.New("not asked for")
		},
	})
	got, err := w.ListWithContext(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	items, err := meta.ExtractList(got)
	if err != nil || len(items) != 6 {
		t.Fatalf("%d objects (%v), want those of 3 pages", len(items), err)
	}
	if _, ok := items[0].(*light[facts.Pod]); !ok {
		t.Errorf("a %T is kept", items[0])
	}
	for i, o := range asked {
		if o.Limit != pageSize || o.ResourceVersion != "" || o.FieldSelector != "spec.nodeName!=" || (o.Continue == "more") != (i > 0) {
			t.Errorf("page %d was asked for with %+v", i, o)
		}
	}
	endless = true
	if _, err := w.ListWithContext(t.Context(), metav1.ListOptions{}); !errors.Is(err, errTooMany) {
		t.Errorf("a list without end: %v", err)
	}
}

package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// faulty is a cluster whose faults a test sets, and a client that suffers them.
type faulty struct {
	*fleet.Cluster
	faults *fleet.Faults
	victim kubernetes.Interface
}

// One fleet for all of these: starting it takes the most time.
func TestFaults(t *testing.T) {
	f := fleet.Start(t, fleet.WithoutControllers(), fleet.DeployDir("testdata/deploy"), fleet.WithFaults(), fleet.Bare("eu-1"))
	c := faulty{Cluster: f.Cluster("eu-1"), faults: f.Faults("eu-1")}
	var err error
	if c.victim, err = kubernetes.NewForConfig(protobuf(c.AdminViaProxy())); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		mustCreate(t, c.Client(), configMap(fmt.Sprintf("there-%d", i)))
	}
	for _, tt := range []struct {
		reason string
		test   func(*testing.T, faulty)
	}{
		{"without rules everything passes", testPasses},
		{"a Status answers in the API server's place", testStatus},
		{"an expired watch says so in an event", testExpiredWatch},
		{"a timeout lasts until the rule is lifted", testTimeout},
		{"a list is empty", testEmptyList},
		{"an informer's list is empty", testEmptyInformer},
		{"a list has more pages", testIncompleteList},
		{"an answer breaks off", testTruncated},
		{"a reset before: it was not done", testResetBefore},
		{"a reset after: it was done", testResetAfter},
		{"a watch is cut", testCutWatch},
		{"watches under way are cut", testCutWatches},
		{"leases are exempt", testExempt},
		{"the dice fall as the seed says", testRandom},
		{"an API server that is down is down", testFaultsOfADownServer},
		{"a partition holds back what is not faulty", testFaultsAndPartition},
		{"a client that leaves takes nobody with it", testClientLeaves},
		{"faults of one cluster do not befall another", func(t *testing.T, c faulty) { testOther(t, c, f.Cluster(fleet.HubName)) }},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			defer c.faults.Clear()
			tt.test(t, c)
		})
	}
}

func testPasses(t *testing.T, c faulty) {
	cfg := c.AdminViaProxy()
	for _, tt := range []struct {
		reason string
		cfg    *rest.Config
		user   string
	}{
		{"the administrator's certificate", cfg, "fleet-admin"},
		{"a token", c.ConfigFor(token(t, c.Cluster), true), "system:serviceaccount:myapp-hub-system:myapp-hub"},
	} {
		mark := c.AuditMark()
		httpClient, err := rest.HTTPClientFor(tt.cfg)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := httpClient.Get(tt.cfg.Host + "/version")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s, want 200 over HTTP/2", tt.reason, resp.Proto, resp.Status)
		}
		fleet.Eventually(t, patience, tt.reason+" to be seen by the API server", func(context.Context) error {
			events, err := c.AuditSince(mark)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(events, func(e fleet.AuditEvent) bool { return e.User == tt.user && e.RequestURI == "/version" }) {
				return fmt.Errorf("no request of %s in %d events", tt.user, len(events))
			}
			return nil
		})
	}
	w := mustWatch(t, c.victim)
	mustCreate(t, c.Client(), configMap("watched"))
	mustSee(t, w, watch.Added, "watched")
}

func testStatus(t *testing.T, c faulty) {
	asked := func(e fleet.AuditEvent) bool {
		return e.Resource == "configmaps" && (e.Name == "there-0" || e.Verb == "list")
	}
	for fault, want := range map[fleet.Fault]struct {
		verb   string
		code   int
		reason metav1.StatusReason
	}{
		fleet.FaultUnauthorized:       {"get", 401, metav1.StatusReasonUnauthorized},
		fleet.FaultForbidden:          {"get", 403, metav1.StatusReasonForbidden},
		fleet.FaultNotFound:           {"get", 404, metav1.StatusReasonNotFound},
		fleet.FaultConflict:           {"delete", 409, metav1.StatusReasonConflict},
		fleet.FaultExpired:            {"list", 410, metav1.StatusReasonExpired},
		fleet.FaultTooManyRequests:    {"get", 429, metav1.StatusReasonTooManyRequests},
		fleet.FaultInternalError:      {"get", 500, metav1.StatusReasonInternalError},
		fleet.FaultServiceUnavailable: {"get", 503, metav1.StatusReasonServiceUnavailable},
	} {
		mark, this := c.AuditMark(), fleet.Injection{Fault: fault, Verb: want.verb, Resource: "configmaps"}
		before := c.faults.Injected()[this]
		c.faults.Set(fleet.Rule{Fault: fault, Count: 1, RetryAfter: 1500 * time.Millisecond})
		// The typed client asks for protobuf and must understand the answer all the same.
		req := c.victim.CoreV1().RESTClient().Get()
		switch want.verb {
		case "get":
			req.Name("there-0")
		case "delete":
			req = c.victim.CoreV1().RESTClient().Delete().Name("there-0")
		}
		err := req.Namespace("default").Resource("configmaps").MaxRetries(0).Do(t.Context()).Error()
		var status *apierrors.StatusError
		if !errors.As(err, &status) || status.Status().Reason != want.reason || int(status.Status().Code) != want.code {
			t.Errorf("%s: %v, want %d %s", fault, err, want.code, want.reason)
			continue
		}
		if seconds, ok := apierrors.SuggestsClientDelay(err); fault == fleet.FaultTooManyRequests && (!ok || seconds != 2) {
			t.Errorf("%s: to be retried after %d s, want 2", fault, seconds)
		}
		if events, err := c.AuditSince(mark); err != nil || slices.ContainsFunc(events, asked) {
			t.Errorf("%s: the API server was asked: %v, %v", fault, events, err)
		}
		if n := c.faults.Injected()[this] - before; n != 1 {
			t.Errorf("%s: %d were counted, want 1:\n%s", fault, n, c.faults.Injected())
		}
		if _, err := c.victim.CoreV1().ConfigMaps("default").Get(t.Context(), "there-1", metav1.GetOptions{}); err != nil {
			t.Errorf("%s: the rule was used up: %v", fault, err)
		}
	}
}

func testExpiredWatch(t *testing.T, c faulty) {
	c.faults.Set(fleet.Rule{Fault: fleet.FaultExpired, Match: asks("watch", "configmaps")})
	e, ok := <-mustWatch(t, c.victim).ResultChan()
	if !ok || e.Type != watch.Error || !apierrors.IsResourceExpired(apierrors.FromObject(e.Object)) {
		t.Errorf("got %+v, want an event that says 410", e)
	}
}

func testTimeout(t *testing.T, c faulty) {
	c.faults.Set(fleet.Rule{Fault: fleet.FaultTimeout, Match: asks("get", "configmaps")})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := c.victim.CoreV1().ConfigMaps("default").Get(ctx, "there-0", metav1.GetOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want no answer", err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := c.victim.CoreV1().ConfigMaps("default").Get(t.Context(), "there-0", metav1.GetOptions{})
		answered <- err
	}()
	fleet.Eventually(t, patience, "the second request", func(context.Context) error {
		if n := c.faults.Injected().Of(fleet.FaultTimeout); n != 2 {
			return fmt.Errorf("%d requests", n)
		}
		return nil
	})
	select {
	case err := <-answered:
		t.Fatalf("it was answered: %v", err)
	default:
	}
	c.faults.Clear()
	if err := <-answered; err != nil {
		t.Errorf("when the rule was lifted: %v", err)
	}
}

func testResetBefore(t *testing.T, c faulty) {
	c.faults.Set(fleet.Rule{Fault: fleet.FaultResetBefore, Count: 1})
	_, err := c.victim.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("never-sent"), metav1.CreateOptions{})
	if status := apierrors.APIStatus(nil); err == nil || errors.As(err, &status) {
		t.Errorf("got %v, want a broken connection", err)
	}
	if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(configMap("never-sent")), configMap("")); !apierrors.IsNotFound(err) {
		t.Errorf("it was created: %v", err)
	}
}

func testResetAfter(t *testing.T, c faulty) {
	c.faults.Set(fleet.Rule{Fault: fleet.FaultResetAfter, Match: fleet.Request.Write, Count: 1})
	_, err := c.victim.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("answer-lost"), metav1.CreateOptions{})
	if status := apierrors.APIStatus(nil); err == nil || errors.As(err, &status) {
		t.Errorf("got %v, want a broken connection", err)
	}
	if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(configMap("answer-lost")), configMap("")); err != nil {
		t.Errorf("it was not created: %v", err)
	}
}

func testExempt(t *testing.T, c faulty) {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "leader"}}
	c.faults.Set(fleet.Rule{Fault: fleet.FaultForbidden})
	if _, err := c.victim.CoordinationV1().Leases("default").Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Errorf("leases: %v", err)
	}
	c.faults.Exempt(nil)
	defer c.faults.Exempt(fleet.Leases)
	if _, err := c.victim.CoordinationV1().Leases("default").Get(t.Context(), "leader", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("leases that are not exempt: %v", err)
	}
}

func testRandom(t *testing.T, c faulty) {
	roll := func(seed uint64) []int {
		before := c.faults.Injected()
		c.faults.Random(seed, 0.3, fleet.FaultForbidden, fleet.FaultInternalError, fleet.FaultCutWatch)
		var codes []int
		suffered := 0
		for range 100 {
			err := c.victim.CoreV1().RESTClient().Get().MaxRetries(0).
				AbsPath("/api/v1/namespaces/default/configmaps/there-0").Do(t.Context()).Error()
			status, code := apierrors.APIStatus(nil), 200
			if errors.As(err, &status) {
				code = int(status.Status().Code)
				suffered++
			}
			codes = append(codes, code)
		}
		if n := c.faults.Injected().Total() - before.Total(); n != suffered || n < 15 || n > 45 {
			t.Errorf("seed %d: %d of 100 suffered and %d were counted, want some 30", seed, suffered, n)
		}
		if !slices.Contains(codes, 403) || !slices.Contains(codes, 500) {
			t.Errorf("seed %d: of two faults there was one only: %v", seed, codes)
		}
		return codes
	}
	first := roll(1)
	if again := roll(1); !slices.Equal(first, again) {
		t.Errorf("the same seed:\n%v\n%v", first, again)
	}
	if other := roll(2); slices.Equal(first, other) {
		t.Errorf("another seed, the same faults: %v", other)
	}
	c.faults.Random(1, 0, fleet.FaultForbidden)
	if _, err := c.victim.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("with a probability of 0: %v", err)
	}
}

func testFaultsOfADownServer(t *testing.T, c faulty) {
	if err := c.Crash(); err != nil {
		t.Fatal(err)
	}
	if code, err := get(t, c.AdminViaProxy(), "/readyz"); err == nil {
		t.Errorf("answered %d after a crash", code)
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, err := get(t, c.AdminViaProxy(), "/readyz"); err != nil || code != http.StatusOK {
		t.Errorf("after a restart: %d and %v", code, err)
	}
}

func testFaultsAndPartition(t *testing.T, c faulty) { testPartition(t, c.Cluster) }

// A client that gives a request up must not break the others on its connection.
func testClientLeaves(t *testing.T, c faulty) {
	w := mustWatch(t, c.victim)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	// The API server waits for seconds for a version that is still to come.
	_, err := c.victim.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{
		ResourceVersion: "1000000000", ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the client's own deadline", err)
	}
	mustCreate(t, c.Client(), configMap("after-one-has-left"))
	mustSee(t, w, watch.Added, "after-one-has-left")
}

func testOther(t *testing.T, c faulty, hub *fleet.Cluster) {
	c.faults.Set(fleet.Rule{Fault: fleet.FaultForbidden})
	if code, err := get(t, hub.AdminViaProxy(), "/readyz"); err != nil || code != http.StatusOK {
		t.Errorf("the hub: %d and %v", code, err)
	}
	for cfg, want := range map[*rest.Config]int{c.AdminViaProxy(): 403, c.Admin(): 200} {
		if code, err := get(t, cfg, "/readyz"); err != nil || code != want {
			t.Errorf("%s: %d and %v, want %d", cfg.Host, code, err, want)
		}
	}
}

// A request that hangs must not keep a fleet from going down.
func TestDownEndsWhatHangs(t *testing.T) {
	f, err := fleet.Up(t.Context(), fleet.Config{
		Dir: filepath.Join(t.TempDir(), "fleet"), DeployDir: "testdata/deploy", NoControllers: true, Faults: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	hub, faults := f.Cluster(fleet.HubName), f.Faults(fleet.HubName)
	c, err := kubernetes.NewForConfig(hub.AdminViaProxy())
	if err != nil {
		t.Fatal(err)
	}
	// A server of HTTP/1 does not see that a client leaves while nobody reads its request.
	cfg := hub.AdminViaProxy()
	cfg.NextProtos = []string{"http/1.1"}
	old, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := mustWatch(t, c)
	faults.Set(fleet.Rule{Fault: fleet.FaultTimeout})
	answered := make(chan error, 1)
	go func() {
		_, err := old.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("hangs"), metav1.CreateOptions{})
		answered <- err
	}()
	fleet.Eventually(t, patience, "the request to hang", func(context.Context) error {
		if faults.Injected().Total() == 0 {
			return errors.New("it does not")
		}
		return nil
	})
	started := time.Now()
	if err := f.Down(); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if err := <-answered; err == nil {
		t.Error("it was answered")
	}
	for range w.ResultChan() {
	}
}

func asks(verb, resource string) func(fleet.Request) bool {
	return func(r fleet.Request) bool { return r.Verb == verb && r.Resource == resource }
}

func protobuf(cfg *rest.Config) *rest.Config {
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	cfg.AcceptContentTypes = cfg.ContentType + ",application/json"
	return cfg
}

func token(t *testing.T, c *fleet.Cluster) string {
	t.Helper()
	token, err := c.Token(t.Context(), fleet.HubNamespace, "myapp-hub", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// mustWatch watches the ConfigMaps in the namespace default from now on.
func mustWatch(t *testing.T, c kubernetes.Interface) watch.Interface {
	t.Helper()
	list, err := c.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	w, err := c.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

// mustSee waits for one event, which must be the next.
func mustSee(t *testing.T, w watch.Interface, kind watch.EventType, name string) {
	t.Helper()
	select {
	case e := <-w.ResultChan():
		if o, ok := e.Object.(*corev1.ConfigMap); !ok || e.Type != kind || o.Name != name {
			t.Errorf("got %s of %v, want %s of %s", e.Type, e.Object, kind, name)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("no event within five seconds, want %s of %s", kind, name)
	}
}

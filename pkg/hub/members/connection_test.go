package members

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/client-go/util/workqueue"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
)

func TestConnectionLeavesNothingBehindAfterFlaps(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	member := newFakeMember(t)
	defer member.Close()
	aware := &consumer{t: t}
	p, stop := startProvider(t, aware)
	p.Ensure("eu-1", "", member.config(), "a")

	const flaps = 100
	var last *Session
	for range flaps {
		eventually(t, "connected with a watch", func() bool { return isPhase(p, "eu-1", Connected)() && member.watches.Load() > 0 })
		got, err := p.Get(context.Background(), "eu-1")
		if err != nil {
			t.Fatal(err)
		}
		if got == last {
			t.Fatal("a session outlived the member's silence")
		}
		last = got.(*Session)
		member.status.Store(http.StatusServiceUnavailable)
		member.CloseClientConnections() // the lost connection alone must lead to a look
		eventually(t, "unreachable", isPhase(p, "eu-1", Unreachable))
		if _, err := p.Get(context.Background(), "eu-1"); !errors.Is(err, multicluster.ErrClusterNotFound) {
			t.Fatalf("Get of an unreachable member: %v", err)
		}
		member.status.Store(http.StatusOK)
	}
	eventually(t, "connected again", isPhase(p, "eu-1", Connected))
	if heard := p.State("eu-1").LastHeard; time.Since(heard) > time.Minute {
		t.Errorf("LastHeard is %v", heard)
	}

	p.Drop("eu-1")
	eventually(t, "no watch on the member", func() bool { return member.watches.Load() == 0 })
	eventually(t, "no entry left", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.slots) == 0
	})
	if state := p.State("eu-1"); state != (ConnState{}) {
		t.Errorf("state after Drop: %+v", state)
	}
	stop()
	if len(aware.engaged) != flaps+1 {
		t.Errorf("engaged %d times, want %d", len(aware.engaged), flaps+1)
	}
}

func TestSessionClientIsDeadAfterItsEnd(t *testing.T) {
	member := newFakeMember(t)
	defer member.Close()
	p, stop := startProvider(t, &consumer{t: t})
	p.Ensure("eu-1", "", member.config(), "a")
	eventually(t, "connected", isPhase(p, "eu-1", Connected))
	got, _ := p.Get(context.Background(), "eu-1")
	client := got.GetHTTPClient()
	stop()
	before := member.requests.Load()
	if _, err := client.Get(member.URL + "/version"); !errors.Is(err, errTransportClosed) && !errors.Is(err, context.Canceled) {
		t.Errorf("a request after the end: %v", err)
	}
	if after := member.requests.Load(); after != before {
		t.Error("a request reached the member after the session's end")
	}
}

func TestConnectionPhases(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, tt := range []struct {
		name, reason string
		status       int
		phase        Phase
		message      string
	}{
		{"unauthorized", "the server knows nobody of that credential", 401, CredentialRejected, "does not accept the credential (401 Unauthorized)"},
		{"forbidden", "it knows but denies", 403, CredentialRejected, "(403 Forbidden)"},
		{"starting", "it does not serve yet", 500, Unreachable, "it answered 500 Internal Server Error"},
		{"redirect", "the credential must not follow", 302, Unreachable, "it answered 302 Found"},
		{"busy", "dropping its caches would make it busier", 429, Connected, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			member := newFakeMember(t)
			defer member.Close()
			member.status.Store(int32(tt.status))
			p, stop := startProvider(t, &consumer{t: t})
			defer stop()
			p.Ensure("eu-1", "", member.config(), "a")
			eventually(t, tt.reason, isPhase(p, "eu-1", tt.phase))
			if got := p.State("eu-1").Message; !strings.Contains(got, tt.message) || (tt.message == "") != (got == "") {
				t.Errorf("message %q, want %q in it: %s", got, tt.message, tt.reason)
			}
		})
	}
}

func TestSuspectProbesAtOnceButNotMoreThanTheRate(t *testing.T) {
	member := newFakeMember(t)
	defer member.Close()
	options, clock := testOptions(), clocktesting.NewFakeClock(time.Now())
	options.Clock = clock
	p, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	const rate = 300 * time.Millisecond
	p.pace = pace{interval: time.Hour, deadline: 5 * time.Second, urgent: 5 * time.Second, suspect: rate, retry: time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Start(ctx, &consumer{t: t}) }()
	p.Ensure("eu-1", "", member.config(), "a")
	eventually(t, "connected with a watch", func() bool { return isPhase(p, "eu-1", Connected)() && member.watches.Load() > 0 })
	got, _ := p.Get(ctx, "eu-1")
	before := member.requests.Load()
	for n := range int32(3) {
		for range 1000 {
			got.(*Session).Suspect()
		}
		if probes := member.requests.Load() - before; probes != n {
			t.Errorf("%d probes within %v, want %d", probes, time.Duration(n)*rate, n)
		}
		clock.Step(rate)
		eventually(t, "a look as soon as it may be", func() bool { return member.requests.Load()-before > n })
	}
	cancel()
	<-done
}

func TestReplacedConnectionEndsFirstAndTakesNothingWithIt(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	old, middle, last := newFakeMember(t), newFakeMember(t), newFakeMember(t)
	defer old.Close()
	defer middle.Close()
	defer last.Close()
	release, blocked := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	aware := &consumer{t: t, before: func(string) {
		if once.CompareAndSwap(false, true) {
			close(blocked)
			<-release // a consumer that breaks the contract and blocks
		}
	}}
	p, stop := startProvider(t, aware)
	p.Ensure("eu-1", "", old.config(), "a")
	<-blocked
	p.Ensure("eu-1", "", middle.config(), "b") // returns although a cannot end yet
	p.Drop("eu-1")
	p.Ensure("eu-1", "", last.config(), "c")
	if p.State("eu-1").Phase != Connecting || !p.Has("eu-1", "c") || p.Has("eu-1", "a") {
		t.Errorf("state of a connection that waits: %+v", p.State("eu-1"))
	}
	reachAnother(t, p) // by now a connection that did not wait would have asked
	if n := middle.requests.Load() + last.requests.Load(); n != 0 {
		t.Errorf("%d requests with a new credential while the old one is in use", n)
	}
	close(release)
	eventually(t, "connected with c", isPhase(p, "eu-1", Connected))
	if n := middle.requests.Load(); n != 0 {
		t.Errorf("%d requests by a connection that was dropped before it began", n)
	}
	got, err := p.Get(context.Background(), "eu-1")
	if err != nil || got.GetConfig().Host != last.URL {
		t.Errorf("Get: %v, %v; want the session of c", got, err)
	}
	before := last.requests.Load()
	p.Ensure("eu-1", "", old.config(), "c")
	reachAnother(t, p) // by now a new connection would have asked
	if !isPhase(p, "eu-1", Connected)() || last.requests.Load() > before+2 {
		t.Error("Ensure with the same hash disturbed the connection")
	}
	stop()
}

func TestEnsureAndDropBeforeStart(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	member := newFakeMember(t)
	defer member.Close()
	p, err := New(testOptions())
	if err != nil {
		t.Fatal(err)
	}
	p.Ensure("eu-1", "", member.config(), "a")
	p.Ensure("eu-1", "", member.config(), "b")
	p.Ensure("eu-2", "", member.config(), "a")
	p.Drop("eu-2")
	if n := member.requests.Load(); n != 0 || len(p.slots) != 1 {
		t.Fatalf("%d requests, %d slots before Start", n, len(p.slots))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Start(ctx, &consumer{t: t}) }()
	eventually(t, "connected", isPhase(p, "eu-1", Connected))
	if err := p.Start(ctx, &consumer{t: t}); err == nil {
		t.Error("a second Start did not fail")
	}
	cancel()
	<-done
	p.Ensure("eu-3", "", member.config(), "a")
	if p.Has("eu-3", "a") {
		t.Error("Ensure after the end opened a connection")
	}
}

func TestChangesAreNotLostBeforeTheQueueExists(t *testing.T) {
	var n changes
	n.add("a")
	n.add("a")
	n.add("b")
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
	defer queue.ShutDown()
	if err := n.start(context.Background(), queue); err != nil {
		t.Fatal(err)
	}
	n.add("c")
	if queue.Len() != 3 {
		t.Errorf("%d in the queue, want a, b and c", queue.Len())
	}
}

// reachAnother returns when a member of which nobody has heard before is connected.
func reachAnother(t *testing.T, p *Provider) {
	t.Helper()
	other := newFakeMember(t)
	defer other.Close()
	p.Ensure("other", "", other.config(), other.URL)
	eventually(t, "the other member connected with a watch", func() bool { return isPhase(p, "other", Connected)() && other.watches.Load() > 0 })
	p.Drop("other")
	eventually(t, "the other member's connection to end", func() bool { return other.watches.Load() == 0 })
}

// TestPingsNoticeASilentPeer shows that HTTP/2 pings are on: no request is made
// and TCP stays open, yet the dead peer is noticed.
func TestPingsNoticeASilentPeer(t *testing.T) {
	member := newFakeMember(t)
	t.Cleanup(member.Close) // after the proxy's, which ends the connections
	proxy := newTarpit(t, member.Listener.Addr().String())
	p, err := New(testOptions())
	if err != nil {
		t.Fatal(err)
	}
	p.pace = pace{interval: time.Hour, deadline: 200 * time.Millisecond, urgent: 200 * time.Millisecond, suspect: time.Millisecond, retry: time.Hour}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = p.Start(ctx, &consumer{t: t}) }()
	p.Ensure("eu-1", "", member.configFor("https://"+proxy.Addr().String()), "a")
	eventually(t, "connected with a watch", func() bool { return isPhase(p, "eu-1", Connected)() && member.watches.Load() > 0 })
	proxy.silent.Store(true)
	from := time.Now()
	eventually(t, "unreachable", isPhase(p, "eu-1", Unreachable))
	if took := time.Since(from); took > 12*time.Second {
		t.Errorf("noticed after %v", took)
	}
	if got := p.State("eu-1").Message; !strings.Contains(got, "no answer in time") {
		t.Errorf("message %q", got)
	}
	cancel()
	<-done
}

// tarpit forwards TCP until it is silent: then it accepts and swallows.
type tarpit struct {
	net.Listener
	silent atomic.Bool
}

func newTarpit(t *testing.T, target string) *tarpit {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tarpit{Listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target)
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = near.Close(); _ = far.Close() })
			go p.forward(near, far)
			go p.forward(far, near)
		}
	}()
	return p
}

func (p *tarpit) forward(to io.Writer, from io.Reader) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if !p.silent.Load() {
			_, _ = to.Write(buffer[:n])
		}
	}
}

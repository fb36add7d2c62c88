package members

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Phase is where a connection stands.
type Phase string

const (
	// Connecting: there is no result yet with this credential.
	Connecting Phase = "Connecting"
	// Connected: the member answers, and there is a Session.
	Connected Phase = "Connected"
	// Unreachable: the member does not answer; it is tried again all the time.
	Unreachable Phase = "Unreachable"
	// Refused: the member sends more than it may; it is tried again after a while.
	Refused Phase = "Refused"
	// CredentialRejected: the member answers 401 or 403; it is tried again all the time.
	CredentialRejected Phase = "CredentialRejected"
)

// ConnState is what is known of the connection to a Push member.
type ConnState struct {
	// Phase is empty when there is no connection.
	Phase Phase
	// Message says for a person why the Phase is neither Connecting nor
	// Connected. It is the same each time it fails for the same reason.
	Message string
	// LastHeard is when the member last answered a probe; zero when it never
	// did since this connection began.
	LastHeard time.Time
}

// pace is how often a connection does things.
type pace struct {
	// interval is the time between two probes of a member that answers. One that has
	// died is noticed sooner, by the pings of its connection, which are no requests.
	interval time.Duration
	// deadline bounds one probe; of a member that was found silent it is urgent.
	deadline, urgent time.Duration
	// suspect is the least time between two probes, however often it is asked for.
	suspect time.Duration
	// retry is the least time between two attempts at a member that does not
	// answer. As much again is added at random, so that members that went away
	// together do not come back in one wave.
	retry time.Duration
	// refused is the wait after a Session was refused.
	refused time.Duration
}

func defaultPace() pace {
	return pace{interval: 30 * time.Second, deadline: 5 * time.Second, urgent: 3 * time.Second, suspect: time.Second, retry: time.Second, refused: 5 * time.Minute}
}

// connection is one member with one credential, from Ensure until it is
// replaced or dropped. Its identity is the pointer: everything it knows is in
// itself, so a connection that ends late has nothing it could take from the one
// that replaced it.
type connection struct {
	member    string
	namespace string // of a namespaced member
	hash      string
	cfg       *rest.Config
	options   *Options
	pace      pace
	// changed is told of every change of the state. It must not block.
	changed func(member string)

	// after is closed when the connection that this one replaces has ended; nil
	// when there was none.
	after <-chan struct{}
	// done is closed when this connection has ended.
	done chan struct{}
	// cancel ends the connection; nil until it is launched. The Provider's lock
	// guards it.
	cancel context.CancelFunc

	mu      sync.Mutex
	state   ConnState
	session *Session
	facts   *v1.MemberReportSpec
}

// attempt is one try to reach the member and what came of it.
type attempt struct {
	transport *transport
	session   *Session
	wake      chan struct{}
	refused   chan string
	probed    time.Time
}

func (a *attempt) suspect() {
	select {
	case a.wake <- struct{}{}:
	default: // a look is due already
	}
}

func (a *attempt) refuse(message string) {
	select {
	case a.refused <- message:
	default: // it is refused already
	}
}

// run tries until ctx ends. When it returns, nothing of the connection is left:
// no goroutine, no TCP connection.
func (c *connection) run(ctx context.Context, aware multicluster.Aware) {
	defer c.withdraw()
	if c.after != nil {
		<-c.after
	}
	tlsConfig, err := rest.TLSConfigFor(c.cfg)
	if err != nil || tlsConfig == nil {
		// ParseKubeconfig lets no such thing through.
		c.fail(unreachable(c.cfg.Host, "its TLS settings cannot be used", err))
		return
	}
	for ctx.Err() == nil {
		a, err := c.open(ctx, tlsConfig)
		if err == nil {
			err = c.serve(ctx, a, aware)
		}
		if ctx.Err() != nil {
			return
		}
		c.fail(err)
		wait := c.pace.retry + rand.N(c.pace.retry)
		if c.phase() == Refused {
			wait = c.pace.refused
		}
		pause(ctx, c.options, wait)
	}
}

// open probes the member over fresh TCP connections and builds a Session on them.
func (c *connection) open(ctx context.Context, tlsConfig *tls.Config) (*attempt, error) {
	a := &attempt{wake: make(chan struct{}, 1), refused: make(chan string, 1)}
	var err error
	if a.transport, err = newTransport(c.cfg, tlsConfig, a.suspect, a.refuse); err != nil {
		return nil, err
	}
	if err = c.probe(ctx, a, c.pace.deadline); err == nil {
		a.session, err = newSession(c, a)
	}
	if err != nil {
		a.transport.close()
		return nil, err
	}
	return a, nil
}

// serve runs the session until a probe fails, the cache ends or ctx does, and
// returns why. It returns only when the session has ended completely.
func (c *connection) serve(ctx context.Context, a *attempt, aware multicluster.Aware) error {
	sessionCtx, cancel := context.WithCancel(ctx)
	started := make(chan error, 1)
	go func() { started <- a.session.Start(sessionCtx) }()

	counted := make(chan struct{})
	go func() {
		defer close(counted)
		c.count(sessionCtx, a.session)
	}()

	c.publish(a.session)
	err := aware.Engage(sessionCtx, multicluster.ClusterName(c.member), a.session)
	if err != nil {
		err = fmt.Errorf("engaging member %s: %w", c.member, err)
	}
	var ended bool
	for err == nil {
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case err = <-started:
			ended = true
			if err == nil {
				err = errors.New("the cache ended")
			}
		case message := <-a.refused:
			err = &probeError{phase: Refused, message: fmt.Sprintf("%s: %s", address(c.cfg.Host), message)}
		case <-a.wake:
			pause(sessionCtx, c.options, c.pace.suspect-c.options.Clock.Since(a.probed))
			err = c.probe(ctx, a, c.pace.urgent)
		case <-c.options.Clock.After(c.pace.interval):
			err = c.probe(ctx, a, c.pace.deadline)
		}
	}
	c.withdraw()
	if ctx.Err() == nil {
		// Before waiting: consumers that are slow to let go must not hide it.
		c.fail(err)
	}
	cancel()
	// Before waiting: a watch whose peer is dead may not notice its context.
	a.transport.close()
	<-counted
	if !ended {
		<-started //nolint:errcheck // it was told to end; how it did is no news
	}
	return err
}

// probe asks the member once. It fails with the context of the connection, too.
func (c *connection) probe(ctx context.Context, a *attempt, deadline time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	a.probed = c.options.Clock.Now()
	if err := probe(ctx, a.transport.client, c.cfg.Host); err != nil {
		return err
	}
	c.mu.Lock()
	c.state.LastHeard = c.options.Clock.Now()
	c.mu.Unlock()
	return nil
}

// publish makes the session the current one.
func (c *connection) publish(s *Session) {
	c.mu.Lock()
	c.session = s
	c.mu.Unlock()
	c.become(Connected, "", nil)
}

// withdraw takes the session back before it is ended.
func (c *connection) withdraw() {
	c.mu.Lock()
	c.session = nil
	c.mu.Unlock()
}

// fail records why the member cannot be used now.
func (c *connection) fail(err error) {
	var failed *probeError
	if errors.As(err, &failed) {
		c.become(failed.phase, failed.message, failed.err)
		return
	}
	// The hub's own doing. The text of err is not stable, so it goes to the log only.
	c.become(Unreachable, fmt.Sprintf("%s: the hub could not set up the connection; its log has the reason", address(c.cfg.Host)), err)
}

func (c *connection) become(phase Phase, message string, cause error) {
	c.mu.Lock()
	same := c.state.Phase == phase && c.state.Message == message
	c.state.Phase, c.state.Message = phase, message
	c.mu.Unlock()
	if same {
		return
	}
	log := c.options.Log.WithValues("member", c.member, "phase", phase)
	if cause != nil {
		log = log.WithValues("cause", cause.Error())
	}
	log.Info("The connection to a member changed", "message", message)
	c.changed(c.member)
}

func (c *connection) phase() Phase {
	state, _ := c.snapshot()
	return state.Phase
}

func (c *connection) snapshot() (ConnState, *Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.session
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, options *Options, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := options.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

package identity

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	v1 "github.com/example/myapp-hub/api/v1"
)

const (
	// renewAt is the part of a token's life after which the next one is asked for.
	renewAt = 0.8
	// firstRetry and slowestRetry are the waits after a renewal that failed.
	firstRetry   = time.Second
	slowestRetry = time.Minute
)

// Tokens has the agent's current token, and renews it.
type Tokens struct {
	// ask gets the next token from the hub, save keeps it for the next start.
	ask   func(ctx context.Context) (string, error)
	save  func(ctx context.Context, token string) error
	clock clock.Clock
	log   logr.Logger

	config *rest.Config
	uid    types.UID

	current atomic.Pointer[string]
	// due is when the next token is asked for; nil for at once.
	due atomic.Pointer[time.Time]
	// unsaved is true for a token that the next process could not start with.
	unsaved atomic.Bool
}

// NewTokens makes the Tokens of a Credential that has joined.
func NewTokens(c Credential, store Store, clock clock.Clock, log logr.Logger) (*Tokens, error) {
	t := &Tokens{clock: clock, log: log, uid: c.UID}
	t.current.Store(&c.Token)
	t.config = c.config(t.to(c.Server))
	hub, err := hubClient(c, t.to(c.Server))
	if err != nil {
		return nil, err
	}
	t.ask = func(ctx context.Context) (string, error) {
		return renewal(ctx, hub, c.Member, c.UID, *t.current.Load())
	}
	t.save = func(ctx context.Context, token string) error { return store.SaveToken(ctx, c, token) }
	return t, nil
}

// Config reaches the hub, always with the current token.
func (t *Tokens) Config() *rest.Config { return rest.CopyConfig(t.config) }

// Credential is the UID of the Secret that the tokens are bound to.
func (t *Tokens) Credential() types.UID { return t.uid }

// to puts the current token into each request to a server of the hub. A watch that has
// begun goes on with the one it began with.
func (t *Tokens) to(server string) func(*rest.Config) {
	return func(config *rest.Config) { config.Wrap(bearer(server, func() string { return *t.current.Load() })) }
}

// Renew gets the next token and makes it the current one. It is in use also if it
// could not be saved, which Start tries again.
func (t *Tokens) Renew(ctx context.Context) error {
	token, err := t.ask(ctx)
	if err != nil {
		return err
	}
	t.use(token)
	return t.keep(ctx)
}

// use makes a token that has just arrived the current one. Agents that were started
// together do not ask together for the next one for long.
func (t *Tokens) use(token string) {
	life := lifeOf(token)
	due := t.clock.Now().Add(time.Duration(renewAt*float64(life)) - rand.N(life/100))
	t.current.Store(&token)
	t.due.Store(&due)
	t.unsaved.Store(true)
}

// keep saves the current token, if the next process could not start with it.
func (t *Tokens) keep(ctx context.Context) error {
	if !t.unsaved.Load() {
		return nil
	}
	if err := t.save(ctx, *t.current.Load()); err != nil {
		return fmt.Errorf("the agent's new token is in use, but was not saved: %w", err)
	}
	t.unsaved.Store(false)
	return nil
}

// Start renews the token until ctx ends. It goes on also when the hub refuses: what
// runs on the cluster does not depend on it.
func (t *Tokens) Start(ctx context.Context) {
	for retry := firstRetry; ; {
		err := t.step(ctx)
		if ctx.Err() != nil {
			return
		}
		var wait time.Duration
		if err == nil {
			wait, retry = t.due.Load().Sub(t.clock.Now()), firstRetry
		} else {
			t.log.Error(err, "The agent's token could not be renewed; trying again", "in", retry.String())
			wait, retry = retry+rand.N(retry/4), min(2*retry, slowestRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.clock.After(wait):
		}
	}
}

// step does what is due: a token whose time has come, or is not known, is renewed, and
// one that was not saved is saved.
func (t *Tokens) step(ctx context.Context) error {
	if due := t.due.Load(); due == nil || !t.clock.Now().Before(*due) {
		return t.Renew(ctx)
	}
	return t.keep(ctx)
}

// lifeOf is how long the token lives from its beginning, as it says itself. Both times
// are the hub's, so that it does not matter what the clock here shows. What cannot be
// read counts as the usual life.
func lifeOf(token string) time.Duration {
	c, _ := ClaimsOf(token) // none have no life
	if life := time.Duration(c.Expires-c.IssuedAt) * time.Second; life >= time.Minute && life <= v1.AgentTokenLife {
		return life
	}
	return v1.AgentTokenLife
}

// IsRefused is true for an error that no further try will mend.
func IsRefused(err error) bool { return errors.Is(err, ErrRefused) || errors.Is(err, ErrTaken) }

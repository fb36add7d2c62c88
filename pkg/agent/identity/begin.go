package identity

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// Begin reads the Credential, joins the hub if that is still to be done, and gets a
// token that is new. An error for which IsRefused is true says what a person has to do.
func Begin(ctx context.Context, store Store, log logr.Logger) (Credential, *Tokens, error) {
	c, err := store.Load(ctx)
	if err != nil {
		return c, nil, err
	}
	if !c.Joined() {
		joined, tokens, err := join(ctx, store, c, log)
		if !IsRefused(err) || c.before == nil {
			return joined, tokens, err
		}
		// What was installed is installed again by other tools: a join token that was
		// used is no reason to forget what it was used for.
		c = *c.before
		log.Info("The join token is of no use; going on as before", "why", err.Error(), "member", c.Member, "server", c.Server)
	}
	tokens, err := NewTokens(c, store, clock.RealClock{}, log)
	if err != nil {
		return c, nil, err
	}
	switch err := tokens.Renew(ctx); {
	case IsRefused(err):
		return c, nil, err
	case err != nil:
		// The hub or the own cluster does not answer. The token that is there may do.
		log.Error(err, "The agent's token could not be renewed at the start; going on with the last one")
	}
	return c, tokens, nil
}

func join(ctx context.Context, store Store, c Credential, log logr.Logger) (Credential, *Tokens, error) {
	// What could not be kept must not be claimed: the join token works once.
	if err := store.CheckWritable(ctx); err != nil {
		return c, nil, fmt.Errorf("checking that the agent's token can be kept: %w", err)
	}
	var err error
	if c.Token, c.UID, err = Claim(ctx, c); err != nil {
		return c, nil, err
	}
	c.JoinToken, c.before = "", nil
	log.Info("Joined the hub", "member", c.Member, "server", c.Server)
	tokens, err := NewTokens(c, store, clock.RealClock{}, log)
	if err != nil {
		return c, nil, err
	}
	tokens.use(c.Token)
	return c, tokens, tokens.keep(ctx)
}

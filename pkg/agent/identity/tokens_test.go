package identity

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	v1 "github.com/example/myapp-hub/api/v1"
)

// issued is a token of a hub whose clock shows now.
func issued(now time.Time, life time.Duration) string {
	claims := fmt.Sprintf(`{"iat":%d,"exp":%d}`, now.Unix(), now.Add(life).Unix())
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig"
}

// hub gives out tokens that live for an hour, and is away now and then.
type hub struct {
	// skew is how far its clock is from the agent's.
	skew    time.Duration
	dice    *rand.Rand
	away    time.Time // until then it does not answer
	expires time.Time // of the last token, by the agent's clock
	renewed int
}

var errAway = errors.New("no answer")

func (h *hub) ask(context.Context) (string, error) {
	now := time.Now()
	if now.Before(h.away) {
		return "", errAway
	}
	if h.away.IsZero() && h.dice.IntN(3) == 0 { // for less than what is left of a token at its renewal
		h.away = now.Add(time.Duration(h.dice.Int64N(int64(10 * time.Minute))))
		return "", errAway
	}
	if now.After(h.expires) && h.renewed > 0 {
		return "", ErrRefused
	}
	h.away = time.Time{}
	h.renewed++
	h.expires = now.Add(v1.AgentTokenLife)
	return issued(now.Add(h.skew), v1.AgentTokenLife), nil
}

// A token is never without a successor before it ends: a thousand renewals, with a hub
// that is away for up to ten minutes at a time, and a clock here that is hours off.
func TestThousandRenewals(t *testing.T) {
	for _, skew := range []time.Duration{0, 7 * time.Hour, -7 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			h := &hub{skew: skew, dice: rand.New(rand.NewPCG(1, uint64(skew)))}
			saved, failing := "", false
			tokens := &Tokens{clock: clock.RealClock{}, log: logr.Discard(), ask: h.ask, save: func(_ context.Context, token string) error {
				if failing = !failing; failing && h.dice.IntN(2) == 0 {
					return errAway
				}
				saved = token
				return nil
			}}
			tokens.use(issued(time.Now().Add(skew), v1.AgentTokenLife))
			h.expires = time.Now().Add(v1.AgentTokenLife)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { tokens.Start(ctx); close(done) }()
			for h.renewed < 1000 {
				time.Sleep(time.Minute)
				synctest.Wait()
				if time.Now().After(h.expires) {
					t.Fatalf("after %d renewals the agent has no token that is good", h.renewed)
				}
			}
			cancel()
			<-done
			if life := time.Since(h.expires.Add(-v1.AgentTokenLife)); saved == "" || life > v1.AgentTokenLife {
				t.Errorf("the last token saved is %v old", life)
			}
			// Not more often than needed: 48 minutes each, less what outages cost.
			t.Logf("skew %v: %d renewals", skew, h.renewed)
		})
	}
}

func TestLifeOf(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		reason, token string
		want          time.Duration
	}{
		{"as it says", issued(now, 20*time.Minute), 20 * time.Minute},
		{"the clock of the hub does not matter", issued(now.Add(-1000*time.Hour), time.Hour), time.Hour},
		{"not longer than any is", issued(now, 100*time.Hour), v1.AgentTokenLife},
		{"not shorter than sense", issued(now, 0), v1.AgentTokenLife},
		{"backwards", issued(now, -time.Hour), v1.AgentTokenLife},
		{"not a token", "abc", v1.AgentTokenLife},
		{"not base64", "a.!.c", v1.AgentTokenLife},
		{"not JSON", "a.YWJj.c", v1.AgentTokenLife},
	} {
		if got := lifeOf(tt.token); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.reason, got, tt.want)
		}
	}
}

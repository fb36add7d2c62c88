package restore

import (
	"context"
	"errors"
	"time"
)

// historyPoll is how often each replica asks how far the hub's API server is.
const historyPoll = 10 * time.Second

// errWentBack says that the API server gives out versions that it has given out
// before.
var errWentBack = errors.New("the hub's API server was restored from a backup while the hub ran: what this process has read is from another time, and it has to start afresh")

// history watches that the API server does not go back in time under a hub that
// runs: a cache that resumes its watches would miss what changes from then on. A
// replica that does not lead is in the same danger, and would lead one day.
type history struct {
	guard *Guard
	// elected is closed once this process leads.
	elected <-chan struct{}
}

// Start fails when the API server has gone back. A leader holds the hub first.
func (h *history) Start(ctx context.Context) error {
	ticker := time.NewTicker(historyPoll)
	defer ticker.Stop()
	for {
		back, err := h.guard.wentBack(ctx)
		if err != nil && ctx.Err() == nil {
			h.guard.log.V(1).Info("Cannot ask the API server how far it is", "error", err.Error())
		}
		if back {
			h.hold(ctx)
			return errWentBack
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica.
func (h *history) NeedLeaderElection() bool { return false }

func (h *history) hold(ctx context.Context) {
	select {
	case <-h.elected:
	default:
		return // Who leads records it; who leads next sees for itself.
	}
	h.guard.Hold(ctx, "the hub's API server has gone back to resource versions that it gave out before")
	if held, ok := h.guard.Held(); ok {
		if err := h.guard.settle(ctx, held); err != nil {
			h.guard.log.Error(err, "Cannot record the hold; the next leader looks for itself")
		}
	}
}

// wentBack is true when the API server is at a lower version than was seen.
func (g *Guard) wentBack(ctx context.Context) (bool, error) {
	g.mu.Lock()
	seen := g.seen
	g.mu.Unlock()
	now, err := g.store.Version(ctx)
	if err != nil {
		return false, err
	}
	g.Saw(now)
	return seen != "" && newer(seen, now), nil
}

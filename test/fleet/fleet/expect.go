package fleet

import (
	"context"
	"testing"
	"time"
)

const expectPoll = 50 * time.Millisecond

// Eventually calls check every 50 ms until it returns nil, and fails the test
// with its last error after timeout. what completes "waiting for ...".
func Eventually(t testing.TB, timeout time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	if err := poll(t.Context(), timeout, expectPoll, check); err != nil {
		t.Fatalf("waiting %s for %s: %v", timeout, what, err)
	}
}

// Consistently calls check every 50 ms for as long as said, and fails the test
// with the first error.
func Consistently(t testing.TB, during time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	end := time.NewTimer(during)
	defer end.Stop()
	ticker := time.NewTicker(expectPoll)
	defer ticker.Stop()
	started := time.Now()
	for {
		if err := check(t.Context()); err != nil {
			t.Fatalf("%s held for %s of %s: %v", what, time.Since(started).Round(time.Millisecond), during, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, t.Context().Err())
		case <-end.C:
			return
		case <-ticker.C:
		}
	}
}

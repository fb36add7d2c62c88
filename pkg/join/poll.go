package join

import (
	"context"
	"errors"
	"time"
)

// errTimeout ends a poll whose time is over.
var errTimeout = errors.New("it took too long")

// poll asks until the answer is yes, an error or errTimeout. The requests do not get the
// deadline: one that is cut off by it would be an error of its own.
func poll(ctx context.Context, every, timeout time.Duration, done func() (bool, error)) error {
	for deadline := time.Now().Add(timeout); ; {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return errTimeout
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

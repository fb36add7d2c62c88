package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// finalError ends polling at once.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// final marks an error that no further try can mend.
func final(err error) error { return finalError{err} }

// poll calls try until it returns nil or a final error, and fails with the last
// error after timeout or when ctx ends.
func poll(ctx context.Context, timeout, interval time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var last error
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if stop := (finalError{}); errors.As(err, &stop) {
			return stop.error
		}
		// The try that the deadline cut off says less than the one before it.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-ticker.C:
		}
	}
}

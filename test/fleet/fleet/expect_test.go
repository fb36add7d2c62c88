package fleet

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is a testing.TB that keeps what it fails with.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failureOf runs what may fail a test and returns how it failed.
func failureOf(t *testing.T, f func(testing.TB)) string {
	r := &recorder{TB: t}
	var running sync.WaitGroup
	running.Go(func() { f(r) })
	running.Wait()
	return r.failure
}

func TestEventually(t *testing.T) {
	tries := 0
	third := func(context.Context) error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	}
	if got := failureOf(t, func(tb testing.TB) { Eventually(tb, time.Minute, "the third try", third) }); got != "" {
		t.Errorf("failed: %s", got)
	}
	never := func(context.Context) error { return errors.New("the moon is out") }
	got := failureOf(t, func(tb testing.TB) { Eventually(tb, 100*time.Millisecond, "daylight", never) })
	if !strings.Contains(got, "daylight") || !strings.Contains(got, "the moon is out") {
		t.Errorf("the failure is %q", got)
	}
}

func TestConsistently(t *testing.T) {
	always := func(context.Context) error { return nil }
	if got := failureOf(t, func(tb testing.TB) { Consistently(tb, 100*time.Millisecond, "peace", always) }); got != "" {
		t.Errorf("failed: %s", got)
	}
	tries := 0
	twice := func(context.Context) error {
		if tries++; tries > 2 {
			return errors.New("war")
		}
		return nil
	}
	got := failureOf(t, func(tb testing.TB) { Consistently(tb, time.Minute, "peace", twice) })
	if !strings.Contains(got, "peace") || !strings.Contains(got, "war") {
		t.Errorf("the failure is %q", got)
	}
}

package flush

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func TestWindow(t *testing.T) {
	const (
		dirty = "dirty" // a changed status asks how long to wait
		wrote = "wrote"
		clean = "clean"
	)
	type event struct {
		at   time.Duration
		what string
		wait time.Duration // expected, if dirty
	}
	const ms = time.Millisecond
	for _, tt := range []struct {
		name, reason string
		events       []event
	}{
		{"first", "the first change waits a little for others", []event{{0, dirty, 200 * ms}}},
		{"joins", "a later change does not push the write away", []event{{0, dirty, 200 * ms}, {150 * ms, dirty, 50 * ms}}},
		{"due", "zero or less means: write it", []event{{0, dirty, 200 * ms}, {200 * ms, dirty, 0}, {300 * ms, dirty, -100 * ms}}},
		{"grows", "a status that keeps changing is written less and less often", []event{
			{0, dirty, 200 * ms}, {200 * ms, wrote, 0},
			{201 * ms, dirty, 1000 * ms}, {1201 * ms, wrote, 0},
			{1202 * ms, dirty, 5000 * ms}, {6202 * ms, wrote, 0},
			{6203 * ms, dirty, 5000 * ms},
		}},
		{"urgent", "a write that could not wait is no sign of churn", []event{{0, dirty, 200 * ms}, {10 * ms, wrote, 0}, {20 * ms, dirty, 200 * ms}}},
		{"quiet", "after a quiet time a change is written soon again", []event{
			{0, dirty, 200 * ms}, {200 * ms, wrote, 0}, {5201 * ms, dirty, 200 * ms},
		}},
		{"not yet quiet", "the longest window must have passed", []event{
			{0, dirty, 200 * ms}, {200 * ms, wrote, 0}, {5200 * ms, dirty, 1000 * ms},
		}},
		{"clean", "a change that was undone does not start the window of the next", []event{
			{0, dirty, 200 * ms}, {100 * ms, clean, 0}, {500 * ms, dirty, 200 * ms},
		}},
		{"write without a change", "it does not grow the window", []event{{0, wrote, 0}, {1 * ms, dirty, 200 * ms}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w Window
			for _, e := range tt.events {
				now := noon.Add(e.at)
				switch e.what {
				case wrote:
					w.Written(now)
				case clean:
					w.Clean()
				case dirty:
					if got := w.Wait(now); got != e.wait {
						t.Errorf("%s: at %v Wait = %v, want %v", tt.reason, e.at, got, e.wait)
					}
				}
			}
		})
	}
}

// TestNeverLongerThanLongest drives windows at random: however the changes and
// writes come, a change is written within Longest, and never waits negatively
// long when it is new.
func TestNeverLongerThanLongest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w Window
		now := noon
		var since time.Time // of the first unwritten change
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(7*time.Second)).Draw(t, "pause")))
			switch rapid.SampledFrom([]string{"change", "change", "change", "undo", "urgent"}).Draw(t, "what") {
			case "change":
				if since.IsZero() {
					since = now
				}
				wait := w.Wait(now)
				if since.Equal(now) && wait < First {
					t.Fatalf("a new change waits %v: others cannot join it", wait)
				}
				if due := now.Add(wait); due.Sub(since) > Longest {
					t.Fatalf("a change of %v is due at %v: after %v", since, due, due.Sub(since))
				}
				if wait <= 0 {
					w.Written(now)
					since = time.Time{}
				}
			case "undo":
				w.Clean()
				since = time.Time{}
			case "urgent":
				w.Written(now)
				since = time.Time{}
			}
		}
	})
}

func TestWindows(t *testing.T) {
	var w Windows[string]
	web := w.Of("web")
	if w.Of("web") != web || w.Of("api") == web {
		t.Error("each status has one window of its own")
	}
	w.Forget("web")
	if w.Of("web") == web || len(w.byKey) != 2 {
		t.Error("the window of a status that is gone is dropped")
	}
}

// TestChurnCostsFewWrites is what the window is for.
func TestChurnCostsFewWrites(t *testing.T) {
	var w Window
	writes := 0
	for at := time.Duration(0); at < time.Minute; at += 10 * time.Millisecond {
		if w.Wait(noon.Add(at)) <= 0 {
			w.Written(noon.Add(at))
			writes++
		}
	}
	if writes > 14 {
		t.Errorf("a minute of changes cost %d writes", writes)
	}
}

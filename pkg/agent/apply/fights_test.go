package apply

import (
	"testing"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
)

// TestFight plays a writer that changes an object back at once, for an hour.
func TestFight(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var f fight
	var corrections []time.Duration
	for now := start; now.Before(start.Add(time.Hour)); now = now.Add(100 * time.Millisecond) {
		if f.due(now) > 0 {
			continue
		}
		f = f.corrected("Deployment shop/web was changed", "", now)
		corrections = append(corrections, now.Sub(start))
	}
	within := 0
	for _, at := range corrections {
		if at <= 5*time.Minute {
			within++
		}
	}
	if within > 5 {
		t.Errorf("%d corrections in the first 5 minutes: %v", within, corrections)
	}
	if last := corrections[len(corrections)-1]; last < 50*time.Minute {
		t.Errorf("it is given up after %v: whoever fights may have stopped", last)
	}
}

func TestFightIsReported(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var f fight
	if f.due(now) != 0 || f.contested(now) != 0 {
		t.Error("an object that nobody has changed is corrected at once and not contested")
	}
	f = f.corrected("changed", "", now)
	if f.contested(now) != 0 || f.report("o", 1).Reason != v1.ReasonDrifted {
		t.Error("one change is no fight")
	}
	f = f.corrected("changed", "", now.Add(time.Second)).corrected("changed", "", now.Add(11*time.Second))
	now = now.Add(11 * time.Second)
	if f.contested(now) == 0 || f.report("o", 1).Reason != v1.ReasonContested {
		t.Error("three corrections in a row are a fight")
	}
	if left := f.contested(now.Add(2 * time.Minute)); left != 0 {
		t.Errorf("an object left alone is no longer contested, not for %v more", left)
	}
	if f = f.corrected("changed", "", now.Add(fightWindow+time.Second)); f.count != 1 {
		t.Errorf("what was long ago is forgotten, but it counts as correction %d", f.count)
	}
}

// TestFightThatIsRefused: what cannot be corrected is tried as seldom, says why,
// and is no fight of two.
func TestFightThatIsRefused(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var f fight
	for n := range 5 {
		f = f.corrected("changed, and refused", v1.ReasonRejected, now)
		change := f.report("o", f.due(now))
		if change.Action != Drifted || change.Reason != v1.ReasonRejected || change.Message != "changed, and refused" || change.Retry != correctionDelay(n+2) {
			t.Errorf("after the try number %d: %+v", n+1, change)
		}
		if left := f.contested(now); left != 0 {
			t.Errorf("it is called contested for %v", left)
		}
		now = now.Add(f.due(now))
	}
	if f = f.corrected("changed", "", now); f.report("o", 1).Reason != v1.ReasonContested {
		t.Errorf("corrected in the end, and changed again: %+v", f.report("o", 1))
	}
}

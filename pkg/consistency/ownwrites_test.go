package consistency

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func object(uid types.UID, version string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{UID: uid, ResourceVersion: version}}
}

func TestBehind(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		after        time.Duration
		cached       *metav1.PartialObjectMetadata
		want         bool
	}{
		{"older", "the cache does not show our write yet", 0, object("u", "99"), true},
		{"ours", "it does", 0, object("u", "100"), false},
		{"newer", "it shows a later write; numbers are compared, not strings", 0, object("u", "1000"), false},
		{"another", "nothing was written to it", 0, object("v", "1"), false},
		{"patient", "a cache may be behind for a while", patience - 1, object("u", "99"), true},
		{"restored", "a version that does not come for so long never will", patience, object("u", "99"), false},
		{"no number", "what cannot be compared must not stop the app for ever", 0, object("u", "x"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var w OwnWrites
				w.Wrote(object("u", "100"))
				time.Sleep(tt.after)
				if got := w.Behind(tt.cached); got != tt.want {
					t.Fatalf("%s: Behind = %v", tt.reason, got)
				}
				if _, kept := w.writes["u"]; kept != (tt.want || tt.cached.UID != "u") {
					t.Errorf("%s: kept = %v; a write is forgotten once the cache has caught up", tt.reason, kept)
				}
			})
		})
	}
}

func TestForget(t *testing.T) {
	var w OwnWrites
	w.Forget("u")
	w.Wrote(object("u", "100"))
	w.Wrote(object("u", "200"))
	if !w.Behind(object("u", "150")) {
		t.Error("the last write counts")
	}
	w.Forget("u")
	if w.Behind(object("u", "150")) || len(w.writes) != 0 {
		t.Error("an object that is gone leaves nothing behind")
	}
}

func TestOwnWritesIsSafe(t *testing.T) {
	var w OwnWrites
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5000 {
				w.Wrote(object("u", "100"))
				w.Behind(object("u", "100"))
				w.Forget("u")
			}
		})
	}
	wg.Wait()
	if len(w.writes) != 0 {
		t.Errorf("left behind: %v", w.writes)
	}
}

// Package flush decides when a changed status may be written, so that a status
// that changes all the time costs few writes and one that matters costs no delay.
//
// It is pure: the time is an argument.
package flush

import (
	"sync"
	"time"
)

const (
	// First is how long the first change waits for others to join it.
	First = 200 * time.Millisecond
	// Longest is the longest a change ever waits.
	Longest = 5 * time.Second
	growth  = 5
)

// Window is the memory of one status. The zero value is ready for use. It is
// not safe for concurrent use.
type Window struct {
	dirtySince time.Time
	lastWrite  time.Time
	length     time.Duration
}

// Wait says how long a changed status still has to wait, counted from now; zero
// or less means: write it. The window starts with the first unwritten change:
// 200 ms, then growing to 5 s while changes keep coming, and back to 200 ms
// after a quiet time of the longest window.
func (w *Window) Wait(now time.Time) time.Duration {
	if w.dirtySince.IsZero() {
		w.dirtySince = now
		if w.length == 0 || now.Sub(w.lastWrite) > Longest {
			w.length = First
		}
	}
	return w.dirtySince.Add(w.length).Sub(now)
}

// Clean says that there is nothing to write.
func (w *Window) Clean() { w.dirtySince = time.Time{} }

// Written says that the status was written at now. A write that had to wait its
// window makes the next window longer; an urgent one does not.
func (w *Window) Written(now time.Time) {
	if !w.dirtySince.IsZero() && !now.Before(w.dirtySince.Add(w.length)) {
		w.length = min(w.length*growth, Longest)
	}
	w.dirtySince = time.Time{}
	w.lastWrite = now
}

// Windows are the windows of many statuses by key. The zero value is ready for
// use; it is safe for concurrent use, each window by one user at a time.
type Windows[K comparable] struct {
	mu    sync.Mutex
	byKey map[K]*Window
}

// Of is the window of a status.
func (w *Windows[K]) Of(key K) *Window {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byKey == nil {
		w.byKey = map[K]*Window{}
	}
	if w.byKey[key] == nil {
		w.byKey[key] = &Window{}
	}
	return w.byKey[key]
}

// Forget drops the window of a status that is gone.
func (w *Windows[K]) Forget(key K) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byKey, key)
}

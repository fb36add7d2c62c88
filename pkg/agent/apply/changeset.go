package apply

import (
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// When to look again at what nothing tells us about.
const (
	// RetryTerminating: an object is being deleted.
	RetryTerminating = 2 * time.Second
	retryNotOwned    = 30 * time.Second
	retryRejected    = 2 * time.Minute
)

// RetryAfter says when to look again although nothing may tell us to: at what was
// refused, and at what the cache never showed. It is zero if there is neither.
func RetryAfter(set ChangeSet) time.Duration {
	refused, ok := set.Refused()
	if !ok {
		if slices.ContainsFunc(set.Changes, func(c Change) bool { return c.Unseen }) {
			return writtenTTL + time.Second
		}
		return 0
	}
	switch refused.Reason {
	case v1.ReasonTerminating:
		return RetryTerminating
	case v1.ReasonNotOwned:
		return retryNotOwned
	default:
		return retryRejected
	}
}

// Action is what the engine did with one object.
type Action string

const (
	// Unchanged: the cache shows the wanted content; no request was made.
	Unchanged Action = "Unchanged"
	// Created: the object was made.
	Created Action = "Created"
	// Updated: the object had other content.
	Updated Action = "Updated"
	// Pruned: the object is no longer wanted and was deleted.
	Pruned Action = "Pruned"
	// Refused: the object was not written, for the reason given.
	Refused Action = "Refused"
)

// Change is what happened to one object and why.
type Change struct {
	// Object names it: "Deployment shop/web".
	Object string
	Action Action
	// Reason is one of the v1.Reason constants; empty unless Refused.
	Reason string
	// Message says it for a person; empty unless Refused.
	Message string
	// Unseen is true for an Unchanged object that only our own last write speaks
	// for, because the cache does not show that write yet.
	Unseen bool
}

// ChangeSet is what one pass did.
type ChangeSet struct {
	Changes []Change
	// Hash is the hash of the whole set of manifests.
	Hash string
}

// Writes is the number of objects that were written.
func (c ChangeSet) Writes() int {
	n := 0
	for _, change := range c.Changes {
		if change.Action == Created || change.Action == Updated || change.Action == Pruned {
			n++
		}
	}
	return n
}

// Refused is the first change that was refused.
func (c ChangeSet) Refused() (Change, bool) {
	for _, change := range c.Changes {
		if change.Action == Refused {
			return change, true
		}
	}
	return Change{}, false
}

// Terminal is true when the member's answer to an error stays the same until
// somebody changes something.
func Terminal(reason string) bool {
	return reason == v1.ReasonRejected || reason == v1.ReasonForbidden || reason == v1.ReasonNotOwned
}

// RefusedError is an API server's answer that does not change by asking again
// at once.
type RefusedError struct {
	Reason string
	Err    error
}

// Error says what the API server said.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap gives the API server's error.
func (e *RefusedError) Unwrap() error { return e.Err }

// classify makes a RefusedError of an answer that asking again does not change.
func classify(err error) error {
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return &RefusedError{Reason: v1.ReasonTerminating, Err: err}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return &RefusedError{Reason: v1.ReasonRejected, Err: err}
	case apierrors.IsForbidden(err):
		return &RefusedError{Reason: v1.ReasonForbidden, Err: err}
	default:
		return err
	}
}

// refusal turns a RefusedError into a Change.
func refusal(m manifest.Manifest, err error) (Change, bool) {
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return Change{}, false
	}
	return Change{Object: m.String(), Action: Refused, Reason: refused.Reason, Message: Shorten(m.String() + ": " + refused.Err.Error())}, true
}

// Shorten cuts a message to what fits a status, at a rune.
func Shorten(s string) string {
	const most = 800
	s = strings.ToValidUTF8(s, "�")
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}

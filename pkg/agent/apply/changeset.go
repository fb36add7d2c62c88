package apply

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// When to look again at what nothing tells us about.
const (
	// RetryTerminating: an object is being deleted.
	RetryTerminating = 2 * time.Second
	retryMended      = 30 * time.Second // what a person may mend on the member
	retryRejected    = 2 * time.Minute
)

// RetryAfter says when to look again although nothing may tell us to: at what was
// refused or is fought over, and at what the cache never showed. It is zero if
// there is nothing of that.
func RetryAfter(set ChangeSet) time.Duration {
	var soonest time.Duration
	for _, change := range set.Changes {
		soonest = Sooner(soonest, change.retry())
	}
	return soonest
}

// Sooner is the shorter of two waits, of which zero means never.
func Sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

func (c Change) retry() time.Duration {
	switch {
	case c.Retry > 0:
		return c.Retry
	case c.Unseen:
		return writtenTTL + time.Second
	case c.Action != Refused:
		return 0
	case c.Reason == v1.ReasonNotOwned, c.Reason == v1.ReasonNameConflict, c.Reason == v1.ReasonNamespaceMissing:
		return retryMended
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
	// Adopted: the object was there before, and was taken over.
	Adopted Action = "Adopted"
	// Corrected: somebody had changed the object, and it was restored.
	Corrected Action = "Corrected"
	// Drifted: somebody has changed the object, and it was left so.
	Drifted Action = "Drifted"
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
	// Reason is one of the v1.Reason constants; empty if all is as wanted.
	Reason string
	// Message says it for a person; empty without a Reason.
	Message string
	// Detail is what is worth logging of a change without a Reason.
	Detail string
	// Unseen is true while the cache does not show yet what is known otherwise: our
	// own last write, or that the object is gone.
	Unseen bool
	// Retry is when to look again, zero for what the Reason suggests.
	Retry time.Duration
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
		switch change.Action {
		case Created, Updated, Adopted, Corrected, Pruned:
			n++
		case Unchanged, Drifted, Refused:
		}
	}
	return n
}

// Trouble is the first change that is not as wanted.
func (c ChangeSet) Trouble() (Change, bool) {
	for _, change := range c.Changes {
		if change.Reason != "" {
			return change, true
		}
	}
	return Change{}, false
}

// refused is the refusal to write an object. The message begins with the object.
func refused(m manifest.Manifest, reason, format string, args ...any) Change {
	return Change{
		Object: m.String(), Action: Refused, Reason: reason,
		Message: Shorten(m.String() + ": " + fmt.Sprintf(format, args...)),
	}
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
	case isReplaced(err):
		return err
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return &RefusedError{Reason: v1.ReasonTerminating, Err: err}
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), isUntyped(err):
		return &RefusedError{Reason: v1.ReasonRejected, Err: err}
	case apierrors.IsForbidden(err):
		return &RefusedError{Reason: v1.ReasonForbidden, Err: err}
	default:
		return err
	}
}

// isReplaced is true for the answer to an apply with a UID if another object has
// taken the place of the one that was meant. The API server calls that invalid.
func isReplaced(err error) bool {
	status, ok := apiStatus(err)
	return ok && apierrors.IsInvalid(err) && status.Details != nil && slices.ContainsFunc(status.Details.Causes, func(c metav1.StatusCause) bool {
		return c.Field == "metadata.uid"
	})
}

// isUntyped is true for the answer to an apply of something that the kind's schema
// does not have. The API server gives it no reason of its own (status 500).
func isUntyped(err error) bool {
	status, ok := apiStatus(err)
	return ok && strings.Contains(status.Message, "failed to create typed patch object")
}

// refusalOf turns a RefusedError into a Change. To whoever has rights in one namespace
// only, a cluster does not say that it is missing.
func (e *Engine) refusalOf(m manifest.Manifest, err error) (Change, bool) {
	var r *RefusedError
	if !errors.As(err, &r) {
		return Change{}, false
	}
	change := refused(m, r.Reason, "%s", err.Error())
	if r.Reason == v1.ReasonForbidden && isUnauthorized(err) {
		if e.namespace != "" {
			change = refused(m, r.Reason, "%s. The member is namespace %s of its cluster: check that it exists, and that the rights of deploy/rbac/member-*-namespaced.yaml are granted in it", err.Error(), e.namespace)
		}
		change.Retry = retryMended
	}
	if r.Reason == v1.ReasonTerminating {
		change.Retry = RetryTerminating
	}
	return change, true
}

// isUnauthorized is true for what the authorizer has refused for want of rights. Quotas
// and other admission answer 403, too.
func isUnauthorized(err error) bool {
	status, ok := apiStatus(err)
	return ok && strings.Contains(status.Message, ` is forbidden: User "`) && strings.Contains(status.Message, " cannot ")
}

// apiStatus is the API server's answer in an error.
func apiStatus(err error) (metav1.Status, bool) {
	var answered apierrors.APIStatus
	if !errors.As(err, &answered) {
		return metav1.Status{}, false
	}
	return answered.Status(), true
}

// orGone is the error, or else that the object does not exist any more.
func orGone(err error) error {
	if err == nil {
		return errors.New("it is gone")
	}
	return classify(err)
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

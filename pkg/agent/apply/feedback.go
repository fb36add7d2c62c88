package apply

import (
	"context"
	"errors"
	"net/url"
	"strings"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/health"
	"github.com/example/myapp-hub/pkg/manifest"
)

// Feedback is the report of an Apply: what was refused, or else how the
// workload is doing.
func Feedback(set ChangeSet, manifests []manifest.Manifest, observed Observed) v1.Feedback {
	f := v1.Feedback{State: v1.FeedbackReady}
	for _, m := range manifests {
		if m.GVK == deploymentGVK {
			f = health.Deployment(observed.Deployment(m.Name), m.Hash)
		}
	}
	refused, ok := set.Refused()
	if !ok {
		f.AppliedHash = set.Hash
		return f
	}
	f.State = v1.FeedbackProgressing
	if Terminal(refused.Reason) {
		f.State = v1.FeedbackFailed
	}
	f.Reason, f.Message = refused.Reason, refused.Message
	return f
}

// RemovalFeedback is the report of a Remove.
func RemovalFeedback(removal Removal) v1.Feedback {
	if removal.Done {
		return v1.Feedback{State: v1.FeedbackRemoved, Reason: v1.ReasonRemoved}
	}
	return v1.Feedback{
		State: v1.FeedbackRemoving, Reason: v1.ReasonRemoving,
		Message: Shorten("waiting for the member to finish deleting " + strings.Join(removal.Left, ", ")),
	}
}

// ErrorFeedback is the report of a pass that failed and will be made again. What
// was known of the app before stays known.
func ErrorFeedback(last v1.Feedback, err error) v1.Feedback {
	f := last
	f.State, f.AppliedHash = v1.FeedbackProgressing, ""
	f.Reason, f.Message = v1.ReasonApplyError, describe(err)
	return f
}

// describe says an error in words that stay the same from one try to the next:
// the text of a network error names addresses and ports, which do not.
func describe(err error) string {
	if Unreachable(err) {
		var transport *url.Error
		if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &transport) {
			return "the cluster did not answer a request; it is tried again"
		}
	}
	return Shorten(err.Error())
}

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

// Feedback is the report of an Apply: what is not as wanted, or else how the
// objects are doing.
func Feedback(set ChangeSet, manifests []manifest.Manifest, observed Observed, rules *health.Rules) v1.Feedback {
	var all []v1.Feedback
	for _, m := range manifests {
		switch kind := m.GVK.GroupKind(); {
		case m.GVK == deploymentGVK:
			f := health.Deployment(observed.Deployment(m.Name), m.Hash)
			if m.Name != observed.app {
				f.Replicas, f.ReadyReplicas = 0, 0 // one of spec.manifests
			}
			all = append(all, f)
		case !isPlain(kind):
			all = append(all, health.Object(observed.wholeOf(m), m.Hash, rules.For(kind)))
		}
	}
	f := health.Combine(all)
	trouble, ok := set.Trouble()
	if !ok {
		f.AppliedHash = set.Hash
		return f
	}
	f.State = v1.FeedbackProgressing
	if v1.NeedsPerson(trouble.Reason) {
		f.State = v1.FeedbackFailed
	}
	f.Reason, f.Message = trouble.Reason, trouble.Message
	return f
}

// RemovalFeedback is the report of a Remove.
func RemovalFeedback(removal Removal) v1.Feedback {
	switch {
	case removal.Refused != nil:
		return v1.Feedback{State: v1.FeedbackRemoving, Reason: removal.Refused.Reason, Message: removal.Refused.Message}
	case removal.Done:
		return v1.Feedback{State: v1.FeedbackRemoved, Reason: v1.ReasonRemoved}
	default:
		return v1.Feedback{
			State: v1.FeedbackRemoving, Reason: v1.ReasonRemoving,
			Message: Shorten("waiting for the member to finish deleting " + strings.Join(removal.Left, ", ")),
		}
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

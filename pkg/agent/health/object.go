package health

import (
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Object is the feedback for an applied object other than the Deployment.
// observed is the object as the watch shows it, nil if it does not show it yet;
// wantHash is the content hash that was applied; rule is the app's own rule for
// the kind, nil for none. It counts no replicas.
//
// The first that applies:
//
//	not shown with wantHash              Progressing
//	being deleted                        Progressing, Terminating
//	rule, generation not yet observed    Progressing
//	rule.failed, kstatus Failed          Failed
//	rule.ready, kstatus Current          Ready
//	anything else                        Progressing
func Object(observed *unstructured.Unstructured, wantHash string, rule *Rule) v1.Feedback {
	if observed == nil || hashOf(observed) != wantHash {
		return notReady(notShown)
	}
	if deleted, ok := field(observed, "metadata", "deletionTimestamp").(string); ok && deleted != "" {
		return v1.Feedback{State: v1.FeedbackProgressing, Reason: v1.ReasonTerminating, Message: terminating(nameOf(observed))}
	}
	if rule != nil {
		return ruled(observed, rule)
	}
	result, err := compute(observed)
	if err != nil {
		return notReady(about(observed, "its state cannot be read: "+err.Error()))
	}
	switch result.Status {
	case status.CurrentStatus:
		return v1.Feedback{State: v1.FeedbackReady}
	case status.FailedStatus:
		return failed(about(observed, result.Message))
	default:
		return notReady(about(observed, result.Message))
	}
}

func ruled(observed *unstructured.Unstructured, rule *Rule) v1.Feedback {
	if !seenByController(observed) {
		return notReady(about(observed, "its controller has not seen the latest change"))
	}
	v := rule.judge(observed.Object)
	switch {
	case v.failed:
		return failed(about(observed, orElse(v.message, "the health rule says that it has failed")))
	case v.ready:
		return v1.Feedback{State: v1.FeedbackReady}
	case v.err != "":
		return notReady(about(observed, orElse(v.message, "not ready; the health rule's ready fails: "+v.err)))
	default:
		return notReady(about(observed, orElse(v.message, "waiting for it to be ready by the app's health rule")))
	}
}

// seenByController is false while a status answers for an older spec. Many kinds
// have no observedGeneration; of those nothing is known.
func seenByController(u *unstructured.Unstructured) bool {
	generation, ok := field(u, "metadata", "generation").(int64)
	observed, has := field(u, "status", "observedGeneration").(int64)
	return !ok || !has || observed == generation
}

func hashOf(u *unstructured.Unstructured) string {
	hash, _ := field(u, "metadata", "annotations", v1.AnnotationContentHash).(string)
	return hash
}

// field is a field of any object, nil if it is not there. The accessors of
// Unstructured copy whole maps for one key.
func field(u *unstructured.Unstructured, path ...string) any {
	value, _, err := unstructured.NestedFieldNoCopy(u.Object, path...)
	if err != nil {
		return nil
	}
	return value
}

// about is a message about an object: "Database shop/db: " and what there is to say.
func about(u *unstructured.Unstructured, message string) string {
	return nameOf(u) + ": " + short(message, messageRunes)
}

func nameOf(u *unstructured.Unstructured) string {
	name := u.GetName()
	if ns := u.GetNamespace(); ns != "" {
		name = ns + "/" + name
	}
	// The names of a real object are far below this.
	return short(u.GetKind()+" "+name, messageRunes-2)
}

func notReady(message string) v1.Feedback {
	return v1.Feedback{State: v1.FeedbackProgressing, Reason: v1.ReasonObjectsNotReady, Message: message}
}

func failed(message string) v1.Feedback {
	return v1.Feedback{State: v1.FeedbackFailed, Reason: v1.ReasonObjectFailed, Message: message}
}

func orElse(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

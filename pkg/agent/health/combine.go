package health

import v1 "github.com/example/myapp-hub/api/v1"

// Combine is the feedback for an app from those for its objects: the worst state
// with its reason and message, the first of them in the given order, and the
// replicas of the first that has any. Nothing to say about no objects is Ready.
//
// AppliedHash is left empty: it speaks of the whole set, which no object knows.
func Combine(feedbacks []v1.Feedback) v1.Feedback {
	worst := v1.Feedback{State: v1.FeedbackReady}
	var pods v1.Feedback
	for _, f := range feedbacks {
		if rank(f.State) > rank(worst.State) {
			worst = f
		}
		if pods.Replicas == 0 && pods.ReadyReplicas == 0 {
			pods = f
		}
	}
	return v1.Feedback{
		State: worst.State, Reason: worst.Reason, Message: worst.Message,
		Replicas: pods.Replicas, ReadyReplicas: pods.ReadyReplicas,
	}
}

// rank orders states from good to bad. What is not known to be good is not.
func rank(s v1.FeedbackState) int {
	switch s {
	case v1.FeedbackReady:
		return 0
	case v1.FeedbackFailed:
		return 2
	default:
		return 1
	}
}

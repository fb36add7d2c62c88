package mailbox

import (
	"testing"

	v1 "github.com/example/myapp-hub/api/v1"
)

func TestUrgent(t *testing.T) {
	status := func(generation int64, state v1.FeedbackState, hash string) v1.WorkStatus {
		return v1.WorkStatus{ObservedGeneration: generation, Feedback: v1.Feedback{State: state, AppliedHash: hash}}
	}
	for _, tt := range []struct {
		reason        string
		before, after v1.WorkStatus
		want          bool
	}{
		{"taken up, and not ready yet", v1.WorkStatus{}, status(1, v1.FeedbackProgressing, "a"), false},
		{"ready", status(1, v1.FeedbackProgressing, "a"), status(1, v1.FeedbackReady, "a"), true},
		{"ready at once", v1.WorkStatus{}, status(1, v1.FeedbackReady, "a"), true},
		{"ready as it is wanted now", status(1, v1.FeedbackReady, "a"), status(2, v1.FeedbackReady, "b"), true},
		{"ready no more", status(1, v1.FeedbackReady, "a"), status(1, v1.FeedbackProgressing, "a"), true},
		{"failed", status(1, v1.FeedbackProgressing, "a"), status(1, v1.FeedbackFailed, ""), true},
		{"other words", status(1, v1.FeedbackFailed, ""), status(1, v1.FeedbackFailed, ""), false},
		{"removed", status(1, v1.FeedbackRemoving, ""), status(1, v1.FeedbackRemoved, ""), true},
		{"being removed", status(1, v1.FeedbackFailed, ""), status(2, v1.FeedbackRemoving, ""), false},
	} {
		if got := urgent(tt.before, tt.after); got != tt.want {
			t.Errorf("%s: urgent is %v", tt.reason, got)
		}
	}
}

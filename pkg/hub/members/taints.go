package members

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

// taints are those that make apps leave, with the times since when they count: what the
// spec says, and that the member has fallen silent. One that the hub cannot use for another
// reason, as a credential that was lost, is not unreachable: what runs there runs on, and
// somebody has to mend that. Nor is one that has never answered.
func taints(member *v1.MemberCluster, next v1.MemberClusterStatus, now time.Time) []v1.TaintStatus {
	var want []v1.TaintStatus
	for _, t := range member.Spec.Taints {
		if t.Effect == v1.TaintNoExecute {
			want = append(want, v1.TaintStatus{Key: t.Key, Value: t.Value, Effect: t.Effect})
		}
	}
	ready := meta.FindStatusCondition(next.Conditions, v1.ConditionReady)
	if member.IsServed() && ready != nil && ready.Status == metav1.ConditionUnknown && ready.Reason != v1.ReasonAwaitingAgent {
		want = append(want, v1.TaintStatus{Key: v1.TaintUnreachable, Effect: v1.TaintNoExecute})
	}
	for i := range want {
		want[i].TimeAdded = metav1.NewTime(now.Truncate(time.Second))
		if recorded := member.Status.TaintOnRecord(want[i].Key, want[i].Value, want[i].Effect); recorded != nil {
			want[i].TimeAdded = recorded.TimeAdded
		}
	}
	return want
}

package members

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

func TestTaints(t *testing.T) {
	before, no := metav1.NewTime(noon.Add(-time.Hour)), false
	drain := v1.Taint{Key: v1.TaintDrain, Effect: v1.TaintNoExecute}
	cordon := v1.Taint{Key: v1.TaintDrain, Effect: v1.TaintNoSchedule}
	of := func(key string, at metav1.Time) v1.TaintStatus {
		return v1.TaintStatus{Key: key, Effect: v1.TaintNoExecute, TimeAdded: at}
	}
	now := metav1.NewTime(noon)
	for _, tt := range []struct {
		reason   string
		spec     v1.MemberClusterSpec
		recorded []v1.TaintStatus
		ready    metav1.ConditionStatus // "" if nothing is known yet
		want     []v1.TaintStatus
	}{
		{"a member that is well has none", v1.MemberClusterSpec{}, nil, metav1.ConditionTrue, nil},
		{"what makes nobody leave is not recorded", v1.MemberClusterSpec{Taints: []v1.Taint{cordon}}, nil, metav1.ConditionTrue, nil},
		{"a taint counts from when the hub sees it", v1.MemberClusterSpec{Taints: []v1.Taint{cordon, drain}}, nil, metav1.ConditionTrue, []v1.TaintStatus{of(v1.TaintDrain, now)}},
		{"and goes on to", v1.MemberClusterSpec{Taints: []v1.Taint{drain}}, []v1.TaintStatus{of(v1.TaintDrain, before)}, metav1.ConditionTrue, []v1.TaintStatus{of(v1.TaintDrain, before)}},
		{"with another value it is another", v1.MemberClusterSpec{Taints: []v1.Taint{{Key: v1.TaintDrain, Value: "x", Effect: v1.TaintNoExecute}}}, []v1.TaintStatus{of(v1.TaintDrain, before)}, metav1.ConditionTrue, []v1.TaintStatus{{Key: v1.TaintDrain, Value: "x", Effect: v1.TaintNoExecute, TimeAdded: now}}},
		{"one that is taken off is forgotten", v1.MemberClusterSpec{}, []v1.TaintStatus{of(v1.TaintDrain, before)}, metav1.ConditionTrue, nil},
		{"a silent member is unreachable", v1.MemberClusterSpec{}, nil, metav1.ConditionUnknown, []v1.TaintStatus{of(v1.TaintUnreachable, now)}},
		{"since it fell silent", v1.MemberClusterSpec{}, []v1.TaintStatus{of(v1.TaintUnreachable, before)}, metav1.ConditionUnknown, []v1.TaintStatus{of(v1.TaintUnreachable, before)}},
		{"a lost credential is no silence", v1.MemberClusterSpec{}, nil, metav1.ConditionFalse, nil},
		{"until it answers", v1.MemberClusterSpec{}, []v1.TaintStatus{of(v1.TaintUnreachable, before)}, metav1.ConditionTrue, nil},
		{"before anything is known nothing is said", v1.MemberClusterSpec{}, nil, "", nil},
		{"the hub has nothing to do with one that is not accepted", v1.MemberClusterSpec{Accepted: &no}, nil, metav1.ConditionFalse, nil},
	} {
		next := v1.MemberClusterStatus{}
		if tt.ready != "" {
			next.Conditions = []metav1.Condition{{Type: v1.ConditionReady, Status: tt.ready}}
		}
		member := &v1.MemberCluster{Spec: tt.spec, Status: v1.MemberClusterStatus{Taints: tt.recorded}}
		if diff := cmp.Diff(tt.want, taints(member, next, noon)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

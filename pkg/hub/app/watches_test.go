package app

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	v1 "github.com/example/myapp-hub/api/v1"
)

// What changes with every pod of a member wakes no app; what a decision depends on does.
func TestCapacityWakesNoApp(t *testing.T) {
	ready := metav1.Condition{Type: v1.ConditionReady, Status: metav1.ConditionTrue}
	known := metav1.Condition{Type: v1.ConditionCapacityKnown, Status: metav1.ConditionTrue}
	was := &v1.MemberCluster{Status: v1.MemberClusterStatus{Conditions: []metav1.Condition{ready}}}
	for _, tt := range []struct {
		reason string
		edit   func(*v1.MemberClusterStatus)
		want   bool
	}{
		{"nothing changed", func(*v1.MemberClusterStatus) {}, false},
		{"its capacity", func(s *v1.MemberClusterStatus) {
			s.Capacity, s.Conditions = &v1.Capacity{}, append(s.Conditions, known)
		}, false},
		{"another version", func(s *v1.MemberClusterStatus) { s.KubernetesVersion = "v1.36.3" }, true},
		{"other kinds", func(s *v1.MemberClusterStatus) { s.APIs = []string{"v1/Service"} }, true},
		{"it does not answer any more", func(s *v1.MemberClusterStatus) { s.Conditions[0].Status = metav1.ConditionUnknown }, true},
		{"it does not answer any more, and has other facts", func(s *v1.MemberClusterStatus) {
			s.Capacity, s.Conditions[0].Status = &v1.Capacity{}, metav1.ConditionUnknown
		}, true},
		{"a taint", func(s *v1.MemberClusterStatus) { s.Taints = []v1.TaintStatus{{Key: v1.TaintUnreachable}} }, true},
	} {
		is := was.DeepCopy()
		tt.edit(&is.Status)
		if got := memberChanged().Update(event.TypedUpdateEvent[*v1.MemberCluster]{ObjectOld: was, ObjectNew: is}); got != tt.want {
			t.Errorf("%s: %t", tt.reason, got)
		}
	}
}

package delivery

import (
	"testing"

	v1 "github.com/example/myapp-hub/api/v1"
)

// A member that is not accepted, or is to be forgotten, is left alone by all apps.
func TestHeldByTheMember(t *testing.T) {
	no := false
	for _, tt := range []struct {
		spec v1.MemberClusterSpec
		want string
	}{
		{v1.MemberClusterSpec{}, ""},
		{v1.MemberClusterSpec{Leave: v1.LeaveRemove}, ""},
		{v1.MemberClusterSpec{Leave: v1.LeaveOrphan}, ""},
		{v1.MemberClusterSpec{Leave: v1.LeaveForget}, v1.ReasonMemberLeaving},
		{v1.MemberClusterSpec{Accepted: &no}, v1.ReasonNotAccepted},
		{v1.MemberClusterSpec{Accepted: &no, Leave: v1.LeaveForget}, v1.ReasonNotAccepted},
	} {
		reason, message, held := heldBy(&v1.MemberCluster{Spec: tt.spec})
		if reason != tt.want || held != (tt.want != "") || held != (message != "") {
			t.Errorf("%+v: %q, %q, %v", tt.spec, reason, message, held)
		}
	}
}

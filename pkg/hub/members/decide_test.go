package members

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func lease(renewed time.Time) *coordinationv1.Lease {
	micro := metav1.NewMicroTime(renewed)
	return &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{RenewTime: &micro}}
}

func TestHeartbeat(t *testing.T) {
	type look struct {
		after time.Duration
		lease *coordinationv1.Lease
	}
	first, second := lease(noon.Add(-time.Hour)), lease(noon.Add(-59*time.Minute))
	ready := condition(metav1.ConditionTrue, v1.ReasonConnected, "")
	silent := condition(metav1.ConditionUnknown, v1.ReasonHeartbeatMissing, "")
	for _, tt := range []struct {
		name, reason string
		persisted    *metav1.Condition
		looks        []look
		want         string // reason of the condition; "" leaves it
		wake         time.Duration
		heard        time.Time
	}{
		{"never", "no agent was ever seen", nil, []look{{0, nil}}, v1.ReasonAwaitingAgent, 0, time.Time{}},
		{"first Lease", "it appeared while the hub looked", nil, []look{{0, nil}, {time.Second, first}}, v1.ReasonConnected, 85 * time.Second, noon.Add(time.Second)},
		{"restart, was ready", "the first look counts as now and changes nothing", ready, []look{{0, first}}, "", 85 * time.Second, noon.Add(-time.Hour)},
		{"restart, renewed", "a renewal was seen", ready, []look{{0, first}, {9 * time.Second, second}}, v1.ReasonConnected, 85 * time.Second, noon.Add(9 * time.Second)},
		{"restart, dead", "85 s without a renewal; the Lease says when", ready, []look{{0, first}, {85 * time.Second, first}}, v1.ReasonHeartbeatMissing, 0, noon.Add(-time.Hour)},
		{"restart, was silent", "a look at an old Lease is no renewal", silent, []look{{0, first}, {10 * time.Second, first}}, "", 75 * time.Second, noon.Add(-time.Hour)},
		{"almost", "the 85 s are not over", ready, []look{{0, first}, {time.Second, second}, {85 * time.Second, second}}, v1.ReasonConnected, time.Second, noon.Add(time.Second)},
		{"silent", "85 s after the last renewal", ready, []look{{0, first}, {time.Second, second}, {86 * time.Second, second}}, v1.ReasonHeartbeatMissing, 0, noon.Add(time.Second)},
		{"Lease deleted", "a Lease that vanishes is silence, no verdict", ready, []look{{0, first}, {time.Second, second}, {20 * time.Second, nil}}, v1.ReasonConnected, 66 * time.Second, noon.Add(time.Second)},
		{"Lease gone at restart", "absence alone says nothing", ready, []look{{0, nil}}, "", 85 * time.Second, time.Time{}},
		{"Lease stays gone", "it was ready and has fallen silent", ready, []look{{0, nil}, {85 * time.Second, nil}}, v1.ReasonHeartbeatMissing, 0, time.Time{}},
		{"Lease from the future", "the member's clock is wrong; nobody is heard in the future", ready, []look{{0, lease(noon.Add(time.Hour))}, {85 * time.Second, lease(noon.Add(time.Hour))}}, v1.ReasonHeartbeatMissing, 0, noon.Add(85 * time.Second)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h heartbeat
			now := noon
			for _, l := range tt.looks {
				now = noon.Add(l.after)
				h = h.observe(l.lease, now)
			}
			got, wake := h.decide("eu-1", tt.persisted, now)
			reason := ""
			if got != nil {
				reason = got.Reason
			}
			if diff := cmp.Diff([]any{tt.want, tt.wake, tt.heard}, []any{reason, wake, h.lastHeard(now)}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

func TestDecidePush(t *testing.T) {
	refused := condition(metav1.ConditionFalse, v1.ReasonCredentialRefused, "")
	for _, tt := range []struct {
		name, reason string
		seen         observed
		want         string
		drop, ensure bool
	}{
		{"refused", "the old connection must not go on with what was replaced", observed{credential: &credential{problem: refused}, connection: ConnState{Phase: Connected}, current: true}, v1.ReasonCredentialRefused, true, false},
		{"connecting", "no result yet: a restart writes nothing", observed{credential: &credential{}, connection: ConnState{Phase: Connecting}, current: true}, "", false, true},
		{"no connection", "the same", observed{credential: &credential{}}, "", false, true},
		{"connected", "it answers", observed{credential: &credential{}, connection: ConnState{Phase: Connected}, current: true}, v1.ReasonConnected, false, true},
		{"unreachable", "it does not", observed{credential: &credential{}, connection: ConnState{Phase: Unreachable}, current: true}, v1.ReasonUnreachable, false, true},
		{"rejected", "it answers no", observed{credential: &credential{}, connection: ConnState{Phase: CredentialRejected}, current: true}, v1.ReasonCredentialRejected, false, true},
		{"new credential", "the state is of the old one", observed{credential: &credential{}, connection: ConnState{Phase: Connected}}, "", false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.seen.member = &v1.MemberCluster{Spec: v1.MemberClusterSpec{Mode: v1.ModePush}}
			got := decide(tt.seen)
			reason := ""
			if got.ready != nil {
				reason = got.ready.Reason
			}
			if diff := cmp.Diff([]any{tt.want, tt.drop, tt.ensure}, []any{reason, got.drop, got.ensure}); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

// A member that is not accepted has no connection, whatever it says, and its signs of
// life cost no writes. That its mailbox is somebody else's is said all the same.
func TestNotAccepted(t *testing.T) {
	no := false
	for _, tt := range []struct {
		reason string
		mode   v1.Mode
		seen   observed
		want   string
	}{
		{"Push, connected", v1.ModePush, observed{credential: &credential{}, connection: ConnState{Phase: Connected, LastHeard: noon}, current: true}, v1.ReasonNotAccepted},
		{"Push, refused", v1.ModePush, observed{credential: &credential{problem: condition(metav1.ConditionFalse, v1.ReasonCredentialRefused, "")}}, v1.ReasonNotAccepted},
		{"Pull, alive", v1.ModePull, observed{mailbox: &mailbox{}, heartbeat: heartbeat{since: noon, heard: noon, renewal: noon}, now: noon}, v1.ReasonNotAccepted},
		{"Pull, its mailbox is another's", v1.ModePull, observed{mailbox: &mailbox{conflict: true}}, v1.ReasonNamespaceConflict},
	} {
		tt.seen.member = &v1.MemberCluster{Spec: v1.MemberClusterSpec{Mode: tt.mode, Accepted: &no}}
		got := decide(tt.seen)
		if got.ready == nil || got.ready.Reason != tt.want || !got.drop || got.ensure || tt.want == v1.ReasonNotAccepted && !got.heard.IsZero() {
			t.Errorf("%s: %+v, want %s", tt.reason, got, tt.want)
		}
		if got.accepted == nil || got.accepted.Status != metav1.ConditionFalse {
			t.Errorf("%s: Accepted is %+v", tt.reason, got.accepted)
		}
	}
}

// A member that is forgotten has no connection and no rights to its mailbox.
func TestForgotten(t *testing.T) {
	for _, tt := range []struct {
		reason string
		mode   v1.Mode
		seen   observed
	}{
		{"Push, connected", v1.ModePush, observed{credential: &credential{}, connection: ConnState{Phase: Connected, LastHeard: noon}, current: true}},
		{"Pull, alive", v1.ModePull, observed{mailbox: &mailbox{}, heartbeat: heartbeat{since: noon, heard: noon, renewal: noon}, now: noon}},
	} {
		tt.seen.member = &v1.MemberCluster{Spec: v1.MemberClusterSpec{Mode: tt.mode, Leave: v1.LeaveForget}}
		got := decide(tt.seen)
		if got.ready == nil || got.ready.Status != metav1.ConditionFalse || got.ready.Reason != v1.ReasonMemberLeaving || !got.drop || got.ensure {
			t.Errorf("%s: %+v", tt.reason, got)
		}
		if got.accepted.Status != metav1.ConditionTrue {
			t.Errorf("%s: Accepted is %+v", tt.reason, got.accepted)
		}
	}
}

// A hub that has just started does not go on saying that a member is not accepted, or
// forgotten, which it is not any more; it says nothing of the agent before it has seen it.
func TestServedAgainWhileNoHubWasRunning(t *testing.T) {
	for _, was := range []string{v1.ReasonNotAccepted, v1.ReasonMemberLeaving} {
		member := &v1.MemberCluster{Spec: v1.MemberClusterSpec{Mode: v1.ModePull}}
		member.Status = nextStatus(member, decision{ready: condition(metav1.ConditionFalse, was, "")}, noon)
		h := heartbeat{}.observe(lease(noon.Add(-time.Second)), noon)
		seen := observed{member: member, mailbox: &mailbox{}, heartbeat: h, now: noon}
		got := decide(seen)
		if got.ready == nil || got.ready.Status != metav1.ConditionUnknown || got.ready.Reason != v1.ReasonAwaitingAgent || got.wake != 85*time.Second {
			t.Fatalf("after %s: %+v", was, got.ready)
		}
		member.Status = nextStatus(member, got, noon)
		if seen.heartbeat = h.observe(lease(noon.Add(9*time.Second)), noon.Add(9*time.Second)); decide(seen).ready.Status != metav1.ConditionTrue {
			t.Errorf("after %s and a heartbeat: %+v", was, decide(seen).ready)
		}
		if seen.heartbeat, seen.now = h, noon.Add(85*time.Second); decide(seen).ready.Reason != v1.ReasonHeartbeatMissing {
			t.Errorf("after %s and silence: %+v", was, decide(seen).ready)
		}
	}
}

func TestNextStatus(t *testing.T) {
	stamp := func(at time.Time) *metav1.Time { s := metav1.NewTime(at); return &s }
	member := &v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Generation: 3}}
	up := condition(metav1.ConditionTrue, v1.ReasonConnected, "up")
	down := condition(metav1.ConditionUnknown, v1.ReasonUnreachable, "down")
	steps := []struct {
		reason string
		plan   decision
		now    time.Time
		heard  *metav1.Time
		since  time.Time
	}{
		{"first result", decision{ready: up, heard: noon}, noon, nil, noon},
		{"the same later changes nothing", decision{ready: up, heard: noon.Add(time.Minute)}, noon.Add(time.Minute), nil, noon},
		{"silence: the time of the last answer, to the second", decision{ready: down, heard: noon.Add(61500 * time.Millisecond)}, noon.Add(2 * time.Minute), stamp(noon.Add(61 * time.Second)), noon.Add(2 * time.Minute)},
		{"still silent changes nothing", decision{ready: down, heard: noon.Add(61500 * time.Millisecond)}, noon.Add(3 * time.Minute), stamp(noon.Add(61 * time.Second)), noon.Add(2 * time.Minute)},
		{"a new hub that never heard of it keeps the time", decision{ready: down}, noon.Add(4 * time.Minute), stamp(noon.Add(61 * time.Second)), noon.Add(2 * time.Minute)},
		{"no result leaves everything", decision{heard: noon.Add(time.Hour)}, noon.Add(5 * time.Minute), stamp(noon.Add(61 * time.Second)), noon.Add(2 * time.Minute)},
		{"an older time never replaces a newer one", decision{ready: down, heard: noon}, noon.Add(6 * time.Minute), stamp(noon.Add(61 * time.Second)), noon.Add(2 * time.Minute)},
		{"back", decision{ready: up, heard: noon.Add(7 * time.Minute)}, noon.Add(7 * time.Minute), nil, noon.Add(7 * time.Minute)},
	}
	for _, s := range steps {
		member.Status = nextStatus(member, s.plan, s.now)
		if diff := cmp.Diff(s.heard, member.Status.LastHeardTime); diff != "" {
			t.Errorf("%s: LastHeardTime (-want +got):\n%s", s.reason, diff)
		}
		if got := member.Status.Conditions[0].LastTransitionTime.Time; !got.Equal(s.since) {
			t.Errorf("%s: transition at %v, want %v", s.reason, got, s.since)
		}
		if member.Status.ObservedGeneration != 3 || member.Status.Conditions[0].ObservedGeneration != 3 {
			t.Errorf("%s: observedGeneration %d", s.reason, member.Status.ObservedGeneration)
		}
	}
}

func TestDescribeIsStable(t *testing.T) {
	at := func(port int) *net.TCPAddr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }
	operation := func(op string, err error) error {
		return &url.Error{Op: "Get", URL: "https://eu-1:6443/version", Err: &net.OpError{Op: op, Net: "tcp", Source: at(53422), Addr: at(6443), Err: err}}
	}
	verification := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	for _, tt := range []struct {
		reason string
		err    error
		want   string
	}{
		{"no source port", operation("read", os.NewSyscallError("read", syscall.ECONNRESET)), "connection reset by peer"},
		{"refused", operation("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection refused"},
		{"no resolver's address", operation("dial", &net.DNSError{Err: "no such host", Name: "eu-1", Server: "10.0.0.10:53", IsNotFound: true}), "no such host"},
		{"no resolver's port", operation("dial", &net.DNSError{Err: "read udp 127.0.0.1:4711->10.0.0.10:53: i/o timeout", IsTimeout: true}), "its name cannot be resolved"},
		{"deadline", fmt.Errorf("x: %w", context.DeadlineExceeded), "no answer in time"},
		{"no current time", verification(x509.CertificateInvalidError{Reason: x509.Expired, Detail: "current time 2026-05-04"}), "its certificate has expired or is not yet valid"},
		{"authority", verification(x509.UnknownAuthorityError{}), "its certificate is not signed by the kubeconfig's certificate-authority-data"},
		{"no stream number", errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=17"), "the connection failed"},
	} {
		if got := describe(tt.err); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.reason, got, tt.want)
		}
	}
	if err := judge("https://eu-1:6443", 200, []byte("<html>")); err == nil || !strings.Contains(err.Error(), "eu-1:6443 cannot be reached: its answer is not that of a Kubernetes API server") {
		t.Errorf("a captive portal: %v", err)
	}
}

func TestBehind(t *testing.T) {
	m := &memory{written: "100", writtenAt: noon}
	for _, tt := range []struct {
		reason, version string
		after           time.Duration
		want            bool
	}{
		{"older", "99", 0, true},
		{"the write itself", "100", 0, false},
		{"newer, though it sorts before as text", "1000", 0, false},
		{"a store that was restored must not stop the member for good", "5", time.Minute, false},
	} {
		member := &v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{ResourceVersion: tt.version}}
		if got := m.behind(member, noon.Add(tt.after)); got != tt.want {
			t.Errorf("%s: %v", tt.reason, got)
		}
	}
}

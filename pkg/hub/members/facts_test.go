package members

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
)

func capacity(allocatable, requested int64) *v1.Capacity {
	return &v1.Capacity{Allocatable: v1.Amounts{CPUMillis: allocatable, MemoryMiB: 1024, Pods: 64}, Requested: v1.Amounts{CPUMillis: requested}}
}

func TestFactsInStatus(t *testing.T) {
	known := v1.MemberReportSpec{KubernetesVersion: "v1.36.3", APIs: []string{"v1/Service"}, Capacity: capacity(4000, 64)}
	status := func(f v1.MemberReportSpec) v1.MemberClusterStatus {
		return withFacts(v1.MemberClusterStatus{}, decision{facts: &f}, &v1.MemberCluster{Spec: v1.MemberClusterSpec{Mode: v1.ModePush}}, noon)
	}
	measured := func(edit func(*v1.MemberReportSpec)) *v1.MemberReportSpec {
		f := known
		edit(&f)
		return &f
	}
	for _, tt := range []struct {
		reason   string
		spec     v1.MemberClusterSpec
		mailbox  *mailbox
		was      v1.MemberClusterStatus
		facts    *v1.MemberReportSpec
		capacity *v1.Capacity // nil with want "": nothing is written
		want     string       // reason of the condition
		says     string
	}{
		{"nothing was measured yet", v1.MemberClusterSpec{Mode: v1.ModePush}, nil, v1.MemberClusterStatus{}, nil, nil, "", ""},
		{"all is known", v1.MemberClusterSpec{Mode: v1.ModePush}, nil, v1.MemberClusterStatus{}, measured(func(f *v1.MemberReportSpec) { f.Capacity = capacity(4001, 33) }), capacity(4000, 64), v1.ReasonMeasured, ""},
		{"it was known", v1.MemberClusterSpec{Mode: v1.ModePush}, nil, status(known), &known, nil, "", ""},
		{"a pod that is within the unit", v1.MemberClusterSpec{Mode: v1.ModePush}, nil, status(known), measured(func(f *v1.MemberReportSpec) { f.Capacity = capacity(4000, 63) }), nil, "", ""},
		{"a pod that went, and was a unit", v1.MemberClusterSpec{Mode: v1.ModePush}, nil, status(known), measured(func(f *v1.MemberReportSpec) { f.Capacity = capacity(4000, 32) }), nil, "", ""},
		{"a large pod", v1.MemberClusterSpec{Mode: v1.ModePush}, nil, status(known), measured(func(f *v1.MemberReportSpec) { f.Capacity = capacity(4000, 1000) }), capacity(4000, 1024), v1.ReasonMeasured, ""},
		{"an agent has rounded itself", v1.MemberClusterSpec{Mode: v1.ModePull}, &mailbox{}, status(known), measured(func(f *v1.MemberReportSpec) { f.Capacity = capacity(4000, 32) }), capacity(4000, 32), v1.ReasonMeasured, ""},
		{"the hub may not see nodes", v1.MemberClusterSpec{Mode: v1.ModePush}, nil, status(known), &v1.MemberReportSpec{CapacityUnknown: v1.CapacityForbidden}, nil, v1.ReasonPermissionMissing, "member-push.yaml"},
		{"an agent may not see nodes", v1.MemberClusterSpec{Mode: v1.ModePull}, &mailbox{}, status(known), &v1.MemberReportSpec{CapacityUnknown: v1.CapacityForbidden}, nil, v1.ReasonPermissionMissing, "member-pull.yaml"},
		{"it is one namespace", v1.MemberClusterSpec{Mode: v1.ModePush, Namespace: "team-a"}, nil, v1.MemberClusterStatus{}, &v1.MemberReportSpec{CapacityUnknown: v1.CapacityNamespaced}, nil, v1.ReasonNamespacedMember, "not its own"},
		{"an agent that does not say why", v1.MemberClusterSpec{Mode: v1.ModePull}, &mailbox{}, v1.MemberClusterStatus{}, &v1.MemberReportSpec{}, nil, v1.ReasonUnreadable, "log"},
		{"it is not accepted", v1.MemberClusterSpec{Mode: v1.ModePull, Accepted: ptr.To(false)}, &mailbox{}, v1.MemberClusterStatus{}, &known, nil, "", ""},
		{"the namespace is not a mailbox, and anybody can have written it", v1.MemberClusterSpec{Mode: v1.ModePull}, &mailbox{conflict: true}, v1.MemberClusterStatus{}, &known, nil, "", ""},
	} {
		member := &v1.MemberCluster{Spec: tt.spec, Status: tt.was}
		plan := decision{facts: decideFacts(observed{member: member, facts: tt.facts, mailbox: tt.mailbox})}
		next := withFacts(tt.was, plan, member, noon)
		if tt.want == "" {
			if diff := cmp.Diff(tt.was, next); diff != "" {
				t.Errorf("%s: nothing is to be written (-was +next):\n%s", tt.reason, diff)
			}
			continue
		}
		if diff := cmp.Diff(tt.capacity, next.Capacity); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
		c := meta.FindStatusCondition(next.Conditions, v1.ConditionCapacityKnown)
		if c == nil || c.Reason != tt.want || (c.Status == metav1.ConditionTrue) != (tt.capacity != nil) || !strings.Contains(c.Message, tt.says) {
			t.Errorf("%s: the condition is %+v", tt.reason, c)
		}
		if again := decideFacts(observed{member: &v1.MemberCluster{Spec: tt.spec, Status: next}, facts: tt.facts, mailbox: tt.mailbox}); again != nil {
			t.Errorf("%s: it would be written again: %+v", tt.reason, again)
		}
		if tt.was.KubernetesVersion != "" && next.KubernetesVersion == "" {
			t.Errorf("%s: the version is forgotten", tt.reason)
		}
	}
}

// However often an agent writes, the hub writes what it says seldom, and what else it has
// to write at once.
func TestFactsAreWrittenSeldom(t *testing.T) {
	plan := decision{facts: &v1.MemberReportSpec{}, ready: condition(metav1.ConditionTrue, v1.ReasonConnected, ""), wake: 85 * time.Second}
	for _, tt := range []struct {
		reason string
		early  time.Duration
		facts  bool
		wake   time.Duration
	}{
		{"the last write is long ago", -time.Hour, true, 85 * time.Second},
		{"it was just now", 9 * time.Second, false, 9 * time.Second},
		{"there is a reason to look before that", 90 * time.Second, false, 85 * time.Second},
	} {
		got := postponeFacts(plan, tt.early)
		if (got.facts != nil) != tt.facts || got.wake != tt.wake || got.ready != plan.ready {
			t.Errorf("%s: %+v", tt.reason, got)
		}
	}
}

// A census lives as long as its session and leaves nothing behind.
func TestCensusEndsWithItsSession(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	member := newFakeMember(t)
	defer member.Close()
	member.extra = func(w http.ResponseWriter, r *http.Request) bool {
		kinds := map[string]string{"/api/v1/nodes": "NodeList", "/api/v1/pods": "PodList", "/api": "APIVersions", "/apis": "APIGroupList"}
		if kinds[r.URL.Path] == "" {
			return false
		}
		items := map[string]string{"/api/v1/nodes": `{"metadata":{"name":"n","uid":"n"}}`}
		_, _ = fmt.Fprintf(w, `{"kind":%q,"apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[%s]}`, kinds[r.URL.Path], items[r.URL.Path])
		return true
	}
	p, stop := startProvider(t, &consumer{t: t})
	p.options.FactsInterval = time.Second
	p.Ensure("eu-1", "", member.config(), "a")
	for range 20 {
		eventually(t, "facts, with watches of Deployments, nodes and pods", func() bool {
			f := p.Facts("eu-1")
			return f != nil && f.Capacity != nil && f.KubernetesVersion == "v1.36.3" && member.watches.Load() == 3
		})
		member.status.Store(http.StatusServiceUnavailable)
		member.CloseClientConnections()
		eventually(t, "unreachable, without watches", func() bool { return isPhase(p, "eu-1", Unreachable)() && member.watches.Load() == 0 })
		member.status.Store(http.StatusOK)
	}
	p.Drop("eu-1")
	eventually(t, "no watch on the member", func() bool { return member.watches.Load() == 0 })
	if f := p.Facts("eu-1"); f != nil {
		t.Errorf("facts of a member without a connection: %+v", f)
	}
	stop()
}

// A namespaced member is never asked for nodes and pods.
func TestCensusOfANamespace(t *testing.T) {
	member := newFakeMember(t)
	defer member.Close()
	asked := make(chan string, 100)
	member.extra = func(_ http.ResponseWriter, r *http.Request) bool {
		asked <- r.URL.Path
		return false
	}
	p, stop := startProvider(t, &consumer{t: t})
	p.options.FactsInterval = time.Second
	p.Ensure("eu-1", "team-a", member.config(), "a")
	eventually(t, "facts", func() bool { return p.Facts("eu-1") != nil })
	if f := p.Facts("eu-1"); f.Capacity != nil || f.CapacityUnknown != v1.CapacityNamespaced {
		t.Errorf("%+v", f)
	}
	stop()
	close(asked)
	for path := range asked {
		if strings.HasSuffix(path, "/nodes") || strings.HasSuffix(path, "/pods") {
			t.Errorf("it was asked for %s", path)
		}
	}
}

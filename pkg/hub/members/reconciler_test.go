package members

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "github.com/example/myapp-hub/api/v1"
)

// hub is a reconciler over a fake store, with a count of what would be requests
// to the API server. It shows which requests are made, not how they are answered.
type hub struct {
	*reconciler
	t     *testing.T
	store client.Client
	clock *testclock.FakeClock
	live  []string
}

func newHub(t *testing.T, objects ...client.Object) *hub {
	t.Helper()
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1.AddToScheme} {
		if err := add(types); err != nil {
			t.Fatal(err)
		}
	}
	store := fake.NewClientBuilder().WithScheme(types).WithObjects(objects...).WithStatusSubresource(&v1.MemberCluster{}).Build()
	h := &hub{t: t, store: store, clock: testclock.NewFakeClock(noon)}
	note := func(verb string, object any) { h.live = append(h.live, fmt.Sprintf("%s %T", verb, object)) }
	counted := interceptor.NewClient(store, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			note("get", o)
			return c.Get(ctx, key, o, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			note("create", o)
			return c.Create(ctx, o, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			note("patch "+sub, o)
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
	options := testOptions()
	options.Clock = h.clock
	provider, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	gauge, err := registerGauge(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	h.reconciler = &reconciler{namespace: "hub", provider: provider, clock: h.clock, reader: store, live: counted, writer: counted,
		connected: gauge, memories: map[string]*memory{}}
	return h
}

// reconcile does it once and returns the requests that were made.
func (h *hub) reconcile() []string {
	h.t.Helper()
	h.live = nil
	if _, err := h.Reconcile(context.Background(), requestFor("eu-1")); err != nil {
		h.t.Fatal(err)
	}
	return h.live
}

func (h *hub) expect(why, reason string, want ...string) {
	h.t.Helper()
	if diff := cmp.Diff(want, h.reconcile()); diff != "" {
		h.t.Errorf("%s: requests (-want +got):\n%s", why, diff)
	}
	var member v1.MemberCluster
	if err := h.store.Get(context.Background(), client.ObjectKey{Name: "eu-1"}, &member); err != nil {
		h.t.Fatal(err)
	}
	got := ""
	for _, c := range member.Status.Conditions {
		got += c.Reason
	}
	if got != reason {
		h.t.Errorf("%s: Ready has reason %q, want %q", why, got, reason)
	}
}

// become puts the connection into a phase as if it had found that out.
func (h *hub) become(phase Phase) {
	h.provider.connection("eu-1").become(phase, "why", nil)
}

const (
	getSecret    = "get *v1.Secret"
	getNamespace = "get *v1.PartialObjectMetadata"
	patchStatus  = "patch status *v1.MemberCluster"
)

func TestReconcilePush(t *testing.T) {
	cert, _ := pair(t)
	good := kubeconfig("server: https://eu-1\ncertificate-authority-data: "+b64(cert), "token: "+secretToken)
	member := &v1.MemberCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "eu-1", UID: "1", Generation: 1},
		Spec:       v1.MemberClusterSpec{Mode: v1.ModePush, KubeconfigSecretRef: &v1.SecretKeyRef{Name: "eu-1"}},
	}
	h := newHub(t, member)
	ctx := context.Background()
	h.expect("no Secret", v1.ReasonCredentialMissing, patchStatus)
	h.expect("still none", v1.ReasonCredentialMissing)

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "eu-1", Namespace: "hub"}, Data: map[string][]byte{"value": []byte(good)}}
	if err := h.store.Create(ctx, secret); err != nil {
		t.Fatal(err)
	}
	h.expect("Secret without the key: the message changes", v1.ReasonCredentialMissing, getSecret, patchStatus)
	h.expect("still without: not read again", v1.ReasonCredentialMissing)

	write := func(data string) {
		t.Helper()
		secret.Data = map[string][]byte{"kubeconfig": []byte(data)}
		if err := h.store.Update(ctx, secret); err != nil {
			t.Fatal(err)
		}
	}
	write("{}")
	h.expect("not acceptable", v1.ReasonCredentialRefused, getSecret, patchStatus)
	h.expect("still not: not read again", v1.ReasonCredentialRefused)

	write(good)
	h.expect("connecting: no result, no write", v1.ReasonCredentialRefused, getSecret)
	h.expect("still connecting", v1.ReasonCredentialRefused)
	h.become(Connected)
	h.expect("connected", v1.ReasonConnected, patchStatus)
	h.expect("steady state", v1.ReasonConnected)
	h.become(Unreachable)
	h.expect("unreachable", v1.ReasonUnreachable, patchStatus)
	h.become(CredentialRejected)
	h.expect("rejected", v1.ReasonCredentialRejected, patchStatus)
	h.become(Connected)
	h.expect("back", v1.ReasonConnected, patchStatus)

	connection := h.provider.connection("eu-1")
	secret.Labels = map[string]string{"a": "b"}
	write(good)
	h.become(Unreachable)
	h.expect("a changed Secret with the same kubeconfig hides no state", v1.ReasonUnreachable, getSecret, patchStatus)
	if h.provider.connection("eu-1") != connection {
		t.Error("the same kubeconfig led to another connection")
	}

	h.memories, h.provider.slots = map[string]*memory{}, map[string]*slot{}
	h.expect("restart: one read, no write", v1.ReasonUnreachable, getSecret)
	write("{}")
	h.expect("refused while there is a connection", v1.ReasonCredentialRefused, getSecret, patchStatus)
	if h.provider.State("eu-1") != (ConnState{}) {
		t.Error("a refused credential left its connection")
	}

	write(good)
	h.reconcile()
	if err := h.store.Delete(ctx, member); err != nil {
		t.Fatal(err)
	}
	if got := h.reconcile(); len(got) != 0 || len(h.memories) != 0 || len(h.provider.slots) != 0 {
		t.Errorf("after deletion: requests %v, memory %v, connections %v", got, h.memories, h.provider.slots)
	}
}

func TestReconcilePull(t *testing.T) {
	member := &v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: "eu-1", UID: "1"}, Spec: v1.MemberClusterSpec{Mode: v1.ModePull}}
	h := newHub(t, member)
	ctx := context.Background()
	h.expect("all is made", v1.ReasonAwaitingAgent, getNamespace, "create *v1.Namespace",
		"create *v1.ServiceAccount", "create *v1.RoleBinding", patchStatus)
	h.expect("steady state", v1.ReasonAwaitingAgent)

	var binding rbacv1.RoleBinding
	if err := h.store.Get(ctx, client.ObjectKey{Namespace: "member-eu-1", Name: "agent"}, &binding); err != nil {
		t.Fatal(err)
	}
	if len(binding.OwnerReferences) != 0 || binding.RoleRef.Name != v1.AgentClusterRole || !belongs(&binding, "eu-1") ||
		!cmp.Equal(binding.Subjects, []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "member-eu-1", Name: "agent"}}) {
		t.Errorf("RoleBinding: %+v", binding)
	}

	beat := lease(noon)
	beat.Name, beat.Namespace = v1.AgentLease, "member-eu-1"
	if err := h.store.Create(ctx, beat); err != nil {
		t.Fatal(err)
	}
	h.expect("the agent is there", v1.ReasonConnected, patchStatus)
	for range 10 {
		h.clock.Step(10 * time.Second)
		beat.Spec.RenewTime = &metav1.MicroTime{Time: beat.Spec.RenewTime.Add(10 * time.Second)}
		if err := h.store.Update(ctx, beat); err != nil {
			t.Fatal(err)
		}
		h.expect("a renewal is no request", v1.ReasonConnected)
	}
	h.memories = map[string]*memory{}
	h.expect("restart", v1.ReasonConnected)
	h.clock.Step(40 * time.Second)
	h.expect("silent", v1.ReasonHeartbeatMissing, patchStatus)
	h.expect("still silent", v1.ReasonHeartbeatMissing)

	if err := h.store.Delete(ctx, &binding); err != nil {
		t.Fatal(err)
	}
	h.expect("what is missing is made again", v1.ReasonHeartbeatMissing, "create *v1.RoleBinding")
}

func TestForeignNamespaceIsLeftAlone(t *testing.T) {
	for reason, labels := range map[string]map[string]string{
		"no labels":        nil,
		"another member's": {v1.LabelManagedBy: v1.ManagedBy, v1.LabelMember: "eu-2"},
		"another tool's":   {v1.LabelManagedBy: "helm", v1.LabelMember: "eu-1"},
	} {
		h := newHub(t,
			&v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: "eu-1", UID: "1"}, Spec: v1.MemberClusterSpec{Mode: v1.ModePull}},
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "member-eu-1", Labels: labels}})
		h.expect(reason, v1.ReasonNamespaceConflict, patchStatus)
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

func TestSecretsLoseTheirAnnotations(t *testing.T) {
	secret := partial(secretKind)
	secret.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": secretToken}
	out, err := stripAnnotations(secret)
	if err != nil || out.(client.Object).GetAnnotations() != nil {
		t.Errorf("%v, %v", out, err)
	}
}

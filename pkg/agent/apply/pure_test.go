package apply

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/health"
	"github.com/example/myapp-hub/pkg/manifest"
)

func made(t testing.TB, kind, name, content string) manifest.Manifest {
	t.Helper()
	m, err := manifest.New(map[string]any{
		"apiVersion": map[string]string{"Service": "v1", "Deployment": "apps/v1"}[kind], "kind": kind,
		"metadata": map[string]any{"namespace": "shop", "name": name, "labels": map[string]any{"content": content}},
		"spec":     map[string]any{"content": content, "template": map[string]any{"metadata": map[string]any{"name": content}}},
	}, manifest.Stamp{Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestShorten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringN(700, 900, -1),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(bytes.Repeat(b, 40)) })).Draw(t, "message")
		got := Shorten(s)
		n := utf8.RuneCountInString(got)
		if !utf8.ValidString(got) || n > 800 {
			t.Fatalf("%d runes, valid = %v", n, utf8.ValidString(got))
		}
		if utf8.ValidString(s) && utf8.RuneCountInString(s) <= 800 && got != s {
			t.Fatalf("what fits was changed from %q to %q", s, got)
		}
		if Shorten(got) != got {
			t.Fatal("shortening twice changes it again: the status would never settle")
		}
	})
}

func TestClassify(t *testing.T) {
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	terminatingNamespace := apierrors.NewForbidden(deployments, "web", errors.New("namespace is being terminated"))
	terminatingNamespace.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	m := made(t, "Deployment", "web", "x")
	for _, tt := range []struct {
		reason string
		err    error
		want   string // reason of the refusal; "" if asking again may help
	}{
		{"a namespace that ends is waited for, though the answer is 403", terminatingNamespace, v1.ReasonTerminating},
		{"invalid", apierrors.NewInvalid(schema.GroupKind{Kind: "Deployment"}, "web", nil), v1.ReasonRejected},
		{"bad request", apierrors.NewBadRequest("no such field"), v1.ReasonRejected},
		{"forbidden", apierrors.NewForbidden(deployments, "web", errors.New("rbac")), v1.ReasonForbidden},
		{"wrapped", fmt.Errorf("applying: %w", apierrors.NewForbidden(deployments, "web", nil)), v1.ReasonForbidden},
		{"conflict: the caller decides", apierrors.NewConflict(deployments, "web", nil), ""},
		{"not found: the caller decides", apierrors.NewNotFound(deployments, "web"), ""},
		{"overload passes", apierrors.NewTooManyRequests("later", 1), ""},
		{"an outage passes", apierrors.NewInternalError(errors.New("etcd")), ""},
		{"no answer is no answer", errors.New("connection refused"), ""},
	} {
		err := classify(tt.err)
		change, refused := New(Config{Member: "eu"}).refusalOf(m, fmt.Errorf("doing it: %w", err))
		if refused != (tt.want != "") || change.Reason != tt.want {
			t.Errorf("%s: %v is refused = %v for %q, want %q", tt.reason, tt.err, refused, change.Reason, tt.want)
		}
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: the API server's error is lost in %v", tt.reason, err)
		}
		if refused && (change.Action != Refused || !strings.HasPrefix(change.Message, m.String()+": ")) {
			t.Errorf("%s: the change must name the object: %+v", tt.reason, change)
		}
	}
	if classify(nil) != nil {
		t.Error("no error is no refusal")
	}
}

// What the authorizer refuses is soon mended, and in a namespaced member may be for want
// of the namespace. What a quota refuses is neither.
func TestForbidden(t *testing.T) {
	m := made(t, "Deployment", "web", "1")
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	const hint = "namespace team-a of its cluster: check that it exists"
	for _, tt := range []struct {
		reason, cause, namespace string
		hint                     bool
		retry                    time.Duration
	}{
		{"no right, or no namespace", `User "hub" cannot patch resource "deployments" in API group "apps" in the namespace "team-a"`, "team-a", true, retryMended},
		{"no right", `User "hub" cannot patch resource "deployments" in API group "apps" in the namespace "shop"`, "", false, retryMended},
		{"a quota", "exceeded quota: compute-resources, requested: pods=1, used: pods=10, limited: pods=10", "team-a", false, retryRejected},
	} {
		err := classify(apierrors.NewForbidden(deployments, "web", errors.New(tt.cause)))
		change, refused := New(Config{Member: "eu", Namespace: tt.namespace}).refusalOf(m, err)
		if !refused || change.Reason != v1.ReasonForbidden || strings.Contains(change.Message, hint) != tt.hint || !strings.Contains(change.Message, tt.cause) {
			t.Errorf("%s: %+v", tt.reason, change)
		}
		if got := change.retry(); got != tt.retry {
			t.Errorf("%s: tried again after %v, want %v", tt.reason, got, tt.retry)
		}
	}
}

func TestUnreachable(t *testing.T) {
	for _, tt := range []struct {
		reason string
		err    error
		want   bool
	}{
		{"no error", nil, false},
		{"no answer", fmt.Errorf("applying: %w", errors.New("i/o timeout")), true},
		{"an answer, even a bad one", fmt.Errorf("applying: %w", apierrors.NewInternalError(errors.New("etcd"))), false},
		{"a refusal is an answer", &RefusedError{Err: apierrors.NewBadRequest("x")}, false},
	} {
		if got := Unreachable(tt.err); got != tt.want {
			t.Errorf("%s: Unreachable(%v) = %v", tt.reason, tt.err, got)
		}
	}
}

func noRules(t testing.TB) *health.Rules {
	t.Helper()
	rules, err := health.Compile(nil)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// shows is a cache that shows the manifests, with their pods ready.
func shows(manifests ...manifest.Manifest) Observed {
	o := newObserved("web", "shop")
	for _, m := range manifests {
		d := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, Annotations: map[string]string{v1.AnnotationContentHash: m.Hash}},
			Spec:       appsv1.DeploymentSpec{Replicas: ptr.To[int32](1)},
			Status: appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
				Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}}},
		}
		r := newRecord(d)
		if m.GVK == deploymentGVK {
			r = recordOf(d)
		}
		o.add(m.GVK.GroupKind(), r)
	}
	return o
}

func TestCompare(t *testing.T) {
	service, deployment := made(t, "Service", "web", "1"), made(t, "Deployment", "web", "1")
	old := made(t, "Deployment", "web", "0")
	both := []manifest.Manifest{service, deployment}
	for _, tt := range []struct {
		reason   string
		observed Observed
		want     []Action
		state    v1.FeedbackState
		why      string
	}{
		{"all is as wanted", shows(service, deployment), []Action{Unchanged, Unchanged}, v1.FeedbackReady, ""},
		{"an object is missing", shows(deployment), []Action{Refused, Unchanged}, v1.FeedbackProgressing, v1.ReasonPaused},
		{"an object has other content; a Service of the same name is another object", shows(service, old), []Action{Unchanged, Refused}, v1.FeedbackProgressing, v1.ReasonPaused},
		{"nothing is there", shows(), []Action{Refused, Refused}, v1.FeedbackProgressing, v1.ReasonPaused},
	} {
		set := Compare(both, tt.observed, v1.ReasonPaused, "spec.paused is true")
		var got []Action
		for _, c := range set.Changes {
			got = append(got, c.Action)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" || set.Writes() != 0 || set.Hash != manifest.SetHash(both) {
			t.Errorf("%s: %+v\n%s", tt.reason, set, diff)
		}
		f := Feedback(set, both, tt.observed, noRules(t))
		if f.State != tt.state || f.Reason != tt.why || (f.AppliedHash == set.Hash) != (tt.why == "") {
			t.Errorf("%s: feedback %+v", tt.reason, f)
		}
	}
}

func TestFeedbackOfRefusals(t *testing.T) {
	manifests := []manifest.Manifest{made(t, "Deployment", "web", "1")}
	for _, tt := range []struct {
		reason, why string
		want        v1.FeedbackState
		retry       time.Duration
	}{

		{"a person must act", v1.ReasonNotOwned, v1.FeedbackFailed, retryMended},
		{"a person must act", v1.ReasonRejected, v1.FeedbackFailed, retryRejected},
		{"a person must act", v1.ReasonForbidden, v1.FeedbackFailed, retryRejected},
		{"the hub must be released", v1.ReasonHubRestored, v1.FeedbackProgressing, retryRejected},
	} {
		set := ChangeSet{Hash: "h", Changes: []Change{{Action: Created}, {Action: Refused, Reason: tt.why, Message: "no"}}}
		f := Feedback(set, manifests, shows(manifests...), noRules(t))
		want := v1.Feedback{State: tt.want, Reason: tt.why, Message: "no", Replicas: 1, ReadyReplicas: 1}
		if diff := cmp.Diff(want, f); diff != "" {
			t.Errorf("%s, %s: pods of before are still counted, the hash is not (-want +got):\n%s", tt.why, tt.reason, diff)
		}
		if got := RetryAfter(set); got != tt.retry {
			t.Errorf("%s: retried after %v, want %v", tt.why, got, tt.retry)
		}
	}
	if got := RetryAfter(ChangeSet{Changes: []Change{{Action: Created}, terminating(manifests[0])}}); got != RetryTerminating {
		t.Errorf("what is being deleted is looked at again after %v", got)
	}
	unseen := ChangeSet{Changes: []Change{{Action: Unchanged}, {Action: Unchanged, Unseen: true}}}
	if got := RetryAfter(unseen); got <= writtenTTL {
		t.Errorf("what only our memory speaks for is looked at again once it is forgotten, not after %v", got)
	}
	done := ChangeSet{Changes: []Change{{Action: Created}, {Action: Updated}, {Action: Pruned}, {Action: Unchanged}}}
	if got := RetryAfter(done); got != 0 || done.Writes() != 3 {
		t.Errorf("what was done needs no retry (%v) and %d writes", got, done.Writes())
	}
}

func TestOtherFeedback(t *testing.T) {
	last := v1.Feedback{State: v1.FeedbackReady, AppliedHash: "h", Replicas: 2, ReadyReplicas: 2}
	unanswered := &url.Error{Op: "Patch", URL: "https://10.0.0.1:4711", Err: errors.New("read tcp 10.0.0.2:38411: reset")}
	for _, tt := range []struct {
		reason    string
		got, want v1.Feedback
	}{
		{"a network error is told without its ports, which differ on each try", ErrorFeedback(v1.Feedback{}, fmt.Errorf("applying: %w", unanswered)),
			v1.Feedback{State: v1.FeedbackProgressing, Reason: v1.ReasonApplyError, Message: "the cluster did not answer a request; it is tried again"}},
		{"removed", RemovalFeedback(Removal{Done: true}), v1.Feedback{State: v1.FeedbackRemoved, Reason: v1.ReasonRemoved}},
		{"what is left is named", RemovalFeedback(Removal{Left: []string{"a", "b"}}), v1.Feedback{State: v1.FeedbackRemoving, Reason: v1.ReasonRemoving, Message: "waiting for the member to finish deleting a, b"}},
		{"what was known stays known, but the content is not confirmed", ErrorFeedback(last, errors.New("timeout")),
			v1.Feedback{State: v1.FeedbackProgressing, Reason: v1.ReasonApplyError, Message: "timeout", Replicas: 2, ReadyReplicas: 2}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

// TestReached: of what a hub has written, the latest epoch counts, and in that the
// highest version.
func TestReached(t *testing.T) {
	for _, tt := range []struct {
		reason string
		stamps []manifest.Stamp
		want   Reached
	}{
		{"nothing is there", nil, Reached{}},
		{"numbers are compared, not strings", []manifest.Stamp{{HubVersion: "999"}, {HubVersion: "1000"}}, Reached{Version: "1000"}},
		{"an object without a stamp says nothing", []manifest.Stamp{{HubVersion: "7"}, {}}, Reached{Version: "7"}},
		{"versions begin anew after a restore", []manifest.Stamp{{HubVersion: "900"}, {Epoch: 1, HubVersion: "500"}, {HubVersion: "901"}}, Reached{1, "500"}},
	} {
		var got Reached
		for _, stamp := range tt.stamps {
			got = got.and(stamp)
		}
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.reason, got, tt.want)
		}
	}
}

// TestPrecedes: an object of another app of the name shows a restore if it was
// written after the order was given.
func TestPrecedes(t *testing.T) {
	for _, tt := range []struct {
		reason       string
		ours, theirs manifest.Stamp
		want         bool
	}{
		{"the other app was there before", manifest.Stamp{HubVersion: "200"}, manifest.Stamp{HubVersion: "150", Generation: 9}, false},
		{"it is of the future", manifest.Stamp{HubVersion: "200"}, manifest.Stamp{HubVersion: "1000", Generation: 1}, true},
		{"it is of a later epoch", manifest.Stamp{HubVersion: "200"}, manifest.Stamp{Epoch: 1, HubVersion: "100"}, true},
		{"it is of an earlier epoch", manifest.Stamp{Epoch: 1, HubVersion: "200"}, manifest.Stamp{HubVersion: "900"}, false},
		{"it has no stamp", manifest.Stamp{HubVersion: "200"}, manifest.Stamp{}, false},
	} {
		m, err := manifest.New(map[string]any{"kind": "Service", "metadata": map[string]any{"name": "web"}}, tt.ours)
		if err != nil {
			t.Fatal(err)
		}
		got, err := target{Manifest: m, owner: Owner{Stamp: tt.ours}}.precedes(tt.theirs)
		if err != nil || got != tt.want {
			t.Errorf("%s: %v (%v), want %v", tt.reason, got, err, tt.want)
		}
	}
}

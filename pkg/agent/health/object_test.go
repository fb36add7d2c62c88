package health

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

type fields = map[string]any

// database is an applied object of a kind that only the app knows.
func database(status fields, change ...func(u *unstructured.Unstructured)) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: fields{
		"apiVersion": "example.org/v1", "kind": "Database",
		"metadata": fields{"name": "db", "namespace": "shop", "generation": int64(3), "annotations": fields{v1.AnnotationContentHash: "h"}},
	}}
	if status != nil {
		u.Object["status"] = status
	}
	for _, c := range change {
		c(u)
	}
	return u
}

func ofKind(apiVersion, kind string) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) { u.SetAPIVersion(apiVersion); u.SetKind(kind) }
}

func meta(key string, value any) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) { u.Object["metadata"].(fields)[key] = value }
}

func condition(of, status, message string) fields {
	return fields{"conditions": []any{fields{"type": of, "status": status, "reason": "Because", "message": message}}}
}

func rule(t testing.TB, r v1.HealthRule) *Rule {
	t.Helper()
	r.Group, r.Kind = "example.org", "Database"
	rules, err := Compile([]v1.HealthRule{r})
	if err != nil {
		t.Fatal(err)
	}
	return rules.For(schema.GroupKind{Group: "example.org", Kind: "Database"})
}

func TestObject(t *testing.T) {
	phase := v1.HealthRule{Ready: `object.status.phase == "Running"`, Failed: `object.status.phase == "Error"`, Message: `object.status.message`}
	ready := func(expression string) *v1.HealthRule { return &v1.HealthRule{Ready: expression} }
	const progressing, isReady, isFailed = v1.FeedbackProgressing, v1.FeedbackReady, v1.FeedbackFailed
	for _, tt := range []struct {
		name, reason string
		observed     *unstructured.Unstructured
		rule         *v1.HealthRule
		state        v1.FeedbackState
		why, message string
	}{
		{"not shown", "the watch is behind", nil, nil, progressing, v1.ReasonObjectsNotReady, notShown},
		{"other content", "the health of other content says nothing about ours", database(fields{}, meta("annotations", fields{v1.AnnotationContentHash: "old"})), nil, progressing, v1.ReasonObjectsNotReady, notShown},
		{"other content, rule", "a rule does not change that", database(fields{"phase": "Running"}, meta("annotations", nil)), &phase, progressing, v1.ReasonObjectsNotReady, notShown},

		{"nothing known", "kstatus takes an object without conditions as current", database(nil), nil, isReady, "", ""},
		{"ready condition", "many kinds have it", database(condition("Ready", "True", "")), nil, isReady, "", ""},
		{"not ready condition", "its message says why", database(condition("Ready", "False", "waiting for a disk")), nil, progressing, v1.ReasonObjectsNotReady, "Database shop/db: waiting for a disk"},
		{"stalled", "kstatus: only a person can help", database(condition("Stalled", "True", "no such version")), nil, isFailed, v1.ReasonObjectFailed, "Database shop/db: no such version"},
		{"failed job", "kinds that kstatus knows", database(condition("Failed", "True", ""), ofKind("batch/v1", "Job")), nil, isFailed, v1.ReasonObjectFailed, "Job shop/db: Job Failed. failed: 0/1"},
		{"cluster scoped", "no namespace, no slash", database(condition("Ready", "False", "no"), meta("namespace", nil)), nil, progressing, v1.ReasonObjectsNotReady, "Database db: no"},
		{"config", "there is nothing to wait for", database(nil, ofKind("v1", "ConfigMap")), nil, isReady, "", ""},
		{"deleted", "it comes back once it is gone", database(nil, meta("deletionTimestamp", "2026-05-04T12:00:00Z")), nil, progressing, v1.ReasonTerminating, "Database shop/db is being deleted by someone; it is made again once it is gone"},
		{"odd generation", "kstatus cannot read it", database(nil, meta("generation", "three")), nil, progressing, v1.ReasonObjectsNotReady,
			"Database shop/db: its state cannot be read: looking up metadata.generation from resource: .metadata.generation accessor error: three is of the type string, expected int64"},
		{"odd status", "kstatus would panic", database(fields{"phase": "Running", "containerStatuses": []any{int64(1)}}, ofKind("v1", "Pod")), nil, progressing, v1.ReasonObjectsNotReady, "Pod shop/db: its state cannot be read: its status is not of the form that a Pod has"},

		{"rule: ready", "the phase says so", database(fields{"phase": "Running", "message": "fine"}), &phase, isReady, "", ""},
		{"rule: failed", "with its own words", database(fields{"phase": "Error", "message": "disk\n full"}), &phase, isFailed, v1.ReasonObjectFailed, "Database shop/db: disk full"},
		{"rule: not yet", "with its own words", database(fields{"phase": "Starting", "message": "disk"}), &phase, progressing, v1.ReasonObjectsNotReady, "Database shop/db: disk"},
		{"rule: no words", "the message fails, the default takes its place", database(fields{"phase": "Starting"}), &phase, progressing, v1.ReasonObjectsNotReady, "Database shop/db: waiting for it to be ready by the app's health rule"},
		{"rule: words of another type", "as if there were none", database(fields{"phase": "Error", "message": int64(1)}), &phase, isFailed, v1.ReasonObjectFailed, "Database shop/db: the health rule says that it has failed"},
		{"rule: no status", "ready fails, which is false; so is failed", database(nil), &phase, progressing, v1.ReasonObjectsNotReady, "Database shop/db: not ready; the health rule's ready fails: no such key: status"},
		{"rule: both", "the worse is believed", database(fields{}), &v1.HealthRule{Ready: "true", Failed: "true"}, isFailed, v1.ReasonObjectFailed, "Database shop/db: the health rule says that it has failed"},
		{"rule: no bool", "only true is true", database(fields{"ready": "yes"}), ready("object.status.ready"), progressing, v1.ReasonObjectsNotReady, "Database shop/db: not ready; the health rule's ready fails: it is of type string, not true or false"},
		{"rule: old status", "a status of an older spec says nothing", database(fields{"phase": "Running", "observedGeneration": int64(2)}), &phase, progressing, v1.ReasonObjectsNotReady, "Database shop/db: its controller has not seen the latest change"},
		{"rule: new status", "it is of this spec", database(fields{"phase": "Running", "observedGeneration": int64(3)}), &phase, isReady, "", ""},
		{"rule: deleted", "the rule is not asked", database(fields{"phase": "Running"}, meta("deletionTimestamp", "2026-05-04T12:00:00Z")), &phase, progressing, v1.ReasonTerminating, "Database shop/db is being deleted by someone; it is made again once it is gone"},
		{"rule: not kstatus", "the rule alone decides", database(condition("Ready", "False", "no")), ready("true"), isReady, "", ""},
		{"rule: int", "numbers are int64", database(fields{"n": int64(2)}), ready("object.status.n >= 2 && object.status.n == object.metadata.generation - 1"), isReady, "", ""},
		{"rule: float", "or float64, which compare with int64", database(fields{"n": 2.5, "m": 2.0}), ready("object.status.n > 2 && object.status.n < 3 && object.status.m == 2"), isReady, "", ""},
		{"rule: conditions", "the usual form", database(condition("Healthy", "True", "")), ready(`object.status.conditions.exists(c, c.type == "Healthy" && c.status == "True")`), isReady, "", ""},
		{"rule: has", "for what may be missing", database(fields{}), ready(`!has(object.status.phase) && "status" in object && !("x" in object.status)`), isReady, "", ""},
		{"rule: list", "membership", database(fields{"phase": "B"}), ready(`object.status.phase in ["A", "B"] && object.status.phase != "A"`), isReady, "", ""},
		{"rule: equal lists", "lists and maps compare", database(fields{"a": []any{int64(1), fields{"x": "y"}}}), ready(`object.status.a == [1, {"x": "y"}]`), isReady, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r *Rule
			if tt.rule != nil {
				r = rule(t, *tt.rule)
			}
			given := tt.observed.DeepCopy()
			got := Object(tt.observed, "h", r)
			want := v1.Feedback{State: tt.state, Reason: tt.why, Message: tt.message}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
			if diff := cmp.Diff(given, tt.observed); diff != "" {
				t.Errorf("the object is the cache's own and was changed:\n%s", diff)
			}
		})
	}
}

func TestLongMessages(t *testing.T) {
	for name, text := range map[string]string{"ASCII": strings.Repeat("x", 3000), "wide": strings.Repeat("é", 3000), "broken": strings.Repeat("é\xff\n", 2000)} {
		r := rule(t, v1.HealthRule{Ready: "false", Message: "object.status.message"})
		for kind, f := range map[string]v1.Feedback{
			"rule":    Object(database(fields{"message": text}), "h", r),
			"kstatus": Object(database(condition("Ready", "False", text)), "h", nil),
		} {
			message, ok := strings.CutPrefix(f.Message, "Database shop/db: ")
			if n := utf8.RuneCountInString(message); !ok || n != messageRunes || !utf8.ValidString(message) || !strings.HasSuffix(message, "…") {
				t.Errorf("%s of a %s: %d runes, want %d of valid UTF-8: %q", name, kind, n, messageRunes, f.Message)
			}
		}
	}
}

// anything is a value as it may be in an object, and some that may not.
func anything() *rapid.Generator[any] {
	leaf := rapid.OneOf(
		rapid.Just[any](nil), rapid.Just[any](7), rapid.Just[any](struct{}{}),
		rapid.Map(rapid.String(), func(s string) any { return s }),
		rapid.Map(rapid.SampledFrom([]string{"True", "Ready", "Running", "Pending", "CrashLoopBackOff"}), func(s string) any { return s }),
		rapid.Map(rapid.Int64(), func(i int64) any { return i }),
		rapid.Map(rapid.Float64(), func(f float64) any { return f }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
	)
	key := rapid.SampledFrom([]string{"conditions", "type", "status", "message", "reason", "phase", "replicas", "state", "waiting", "name", "containerStatuses", "observedGeneration", "startTime"})
	value := leaf
	for range 3 {
		below := value
		value = rapid.OneOf(leaf,
			rapid.Map(rapid.SliceOfN(below, 0, 3), func(l []any) any { return l }),
			rapid.Map(rapid.MapOfN(key, below, 0, 4), func(m map[string]any) any { return m }))
	}
	return value
}

// TestAnyObject: whatever an object looks like, there is an answer that a status
// admits, and the same one again.
func TestAnyObject(t *testing.T) {
	kinds := []schema.GroupVersionKind{{Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "Service"}, {Group: "batch", Version: "v1", Kind: "Job"}, {Group: "apps", Version: "v1", Kind: "StatefulSet"}, {Group: "apps", Version: "v1", Kind: "DaemonSet"},
		{Version: "v1", Kind: "PersistentVolumeClaim"}, {Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}, {Group: "example.org", Version: "v1", Kind: "Database"}, {}}
	rules := []*Rule{nil,
		rule(t, v1.HealthRule{Ready: `object.status.phase == "Running"`, Failed: "object.status.reason", Message: "object.status.message"}),
		rule(t, v1.HealthRule{Ready: `object.status.conditions.exists(c, c.type == "Ready" && c.status == "True")`, Message: `object.status.conditions.map(c, c.message + ": " + c.reason)[0]`}),
		rule(t, v1.HealthRule{Ready: "object.status == object.spec || object.status in object.spec", Failed: "object.status.replicas > object.spec.replicas"})}
	rapid.Check(t, func(t *rapid.T) {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		for _, key := range []string{"spec", "status", "metadata"} {
			if rapid.Bool().Draw(t, "has "+key) {
				u.Object[key] = anything().Draw(t, key)
			}
		}
		if m, ok := u.Object["metadata"].(fields); ok || rapid.IntRange(0, 9).Draw(t, "real metadata") > 0 {
			if m == nil {
				m = fields{}
				u.Object["metadata"] = m
			}
			m["annotations"] = fields{v1.AnnotationContentHash: "h"}
		}
		u.SetGroupVersionKind(rapid.SampledFrom(kinds).Draw(t, "kind"))
		r := rapid.SampledFrom(rules).Draw(t, "rule")
		f := Object(u, "h", r)
		if f.State != v1.FeedbackReady && (f.Reason == "" || f.Message == "") {
			t.Fatalf("not ready without a reason: %+v", f)
		}
		if n := utf8.RuneCountInString(f.Message); n > 1024 || !utf8.ValidString(f.Message) {
			t.Fatalf("a status does not admit %d runes: %q", n, f.Message)
		}
		if f.Replicas != 0 || f.ReadyReplicas != 0 {
			t.Fatalf("replicas: %+v", f)
		}
		if again := Object(u, "h", r); again != f {
			t.Fatalf("%+v, and then %+v", f, again)
		}
	})
}

func TestRefusedPods(t *testing.T) {
	quota := func(pod, used string) appsv1.DeploymentCondition {
		return appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate",
			Message: `pods "web-7d4b9c-` + pod + `" is forbidden: exceeded quota: small, requested: pods=1, used: pods=` + used + `, limited: pods=2`}
	}
	short := func(c ...appsv1.DeploymentCondition) v1.Feedback {
		return Deployment(healthy(func(d *appsv1.Deployment) {
			d.Status.ReadyReplicas = 1
			d.Status.Conditions = append(d.Status.Conditions, c...)
		}), "h")
	}
	f := short(quota("x2xb4", "2"))
	want := "pod is forbidden: exceeded quota: small, requested: pods=1, limited: pods=2; 1 of 2 pods ready, 2 updated; to see why: "
	if f.State != v1.FeedbackProgressing || f.Reason != v1.ReasonPodsNotReady || !strings.HasPrefix(f.Message, want) {
		t.Errorf("got %+v, want the quota first", f)
	}
	if again := short(quota("q9w8e", "3,requests.cpu=4")); again != f {
		t.Errorf("the text changes although the cause does not:\n%s\n%s", f.Message, again.Message)
	}
	over := quota("x2xb4", "2")
	over.Status = corev1.ConditionFalse
	if f := short(over); !strings.HasPrefix(f.Message, "1 of 2 pods ready") {
		t.Errorf("a condition that is over: %+v", f)
	}
	if f := short(appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ReplicaSetCreateError", Message: `Failed to create new replica set "web-7d4b9c": invalid`}); f.State != v1.FeedbackProgressing || !strings.HasPrefix(f.Message, "Failed to create new replica set: invalid; 1 of 2") {
		t.Errorf("no replica set: %+v", f)
	}
	deadline := appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"}
	if f := short(quota("x2xb4", "2"), deadline); f.State != v1.FeedbackFailed || f.Reason != v1.ReasonDeploymentFailed || !strings.HasPrefix(f.Message, "Progress deadline exceeded; pod is forbidden") {
		t.Errorf("given up: %+v", f)
	}
	if f := Deployment(healthy(func(d *appsv1.Deployment) { d.Status.Conditions = append(d.Status.Conditions, quota("x2xb4", "2")) }), "h"); f.State != v1.FeedbackReady {
		t.Errorf("all pods are there, an old condition does not matter: %+v", f)
	}
}

func TestCombine(t *testing.T) {
	fb := func(s v1.FeedbackState, reason string, pods ...int32) v1.Feedback {
		f := v1.Feedback{State: s, Reason: reason, Message: "m-" + reason, AppliedHash: "h"}
		if reason == "" {
			f.Message = ""
		}
		if len(pods) > 0 {
			f.Replicas, f.ReadyReplicas = pods[0], pods[1]
		}
		return f
	}
	ready, web := fb(v1.FeedbackReady, ""), fb(v1.FeedbackReady, "", 3, 3)
	for _, tt := range []struct {
		name, reason string
		in           []v1.Feedback
		want         v1.Feedback
	}{
		{"none", "nothing to wait for", nil, v1.Feedback{State: v1.FeedbackReady}},
		{"all ready", "with the Deployment's pods", []v1.Feedback{ready, web, ready}, v1.Feedback{State: v1.FeedbackReady, Replicas: 3, ReadyReplicas: 3}},
		{"one waits", "worse than ready", []v1.Feedback{web, fb(v1.FeedbackProgressing, "A"), ready}, v1.Feedback{State: v1.FeedbackProgressing, Reason: "A", Message: "m-A", Replicas: 3, ReadyReplicas: 3}},
		{"first of equals", "the text does not jump", []v1.Feedback{fb(v1.FeedbackProgressing, "A"), fb(v1.FeedbackProgressing, "B", 2, 1)}, v1.Feedback{State: v1.FeedbackProgressing, Reason: "A", Message: "m-A", Replicas: 2, ReadyReplicas: 1}},
		{"failed", "worse than progressing", []v1.Feedback{fb(v1.FeedbackProgressing, "A", 2, 1), fb(v1.FeedbackFailed, "B")}, v1.Feedback{State: v1.FeedbackFailed, Reason: "B", Message: "m-B", Replicas: 2, ReadyReplicas: 1}},
		{"unknown", "what is not known is not healthy", []v1.Feedback{web, {}}, v1.Feedback{Replicas: 3, ReadyReplicas: 3}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Combine(tt.in)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
			}
		})
	}
}

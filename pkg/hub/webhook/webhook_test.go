package webhook

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
)

const (
	good    = `{metadata: {name: web, namespace: shop}, spec: {image: "web:1"}}`
	bad     = `{metadata: {name: web, namespace: shop}, spec: {image: "web:$(cluster.foo)", podTemplate: {spec: {priority: high}}, healthRules: [{kind: Queue, ready: "1 +"}]}}`
	labeled = `{metadata: {name: web, namespace: shop, labels: {a: b}}, spec: {image: "web:$(cluster.foo)", podTemplate: {spec: {priority: high}}, healthRules: [{kind: Queue, ready: "1 +"}]}}`
	leaving = `{metadata: {name: web, namespace: shop, deletionTimestamp: "2026-01-01T00:00:00Z"}, spec: {image: "web:$(cluster.bar)"}}`
)

func raw(t testing.TB, text string) runtime.RawExtension {
	t.Helper()
	if text == "" {
		return runtime.RawExtension{}
	}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return runtime.RawExtension{Raw: data}
}

func refuseSums(rule v1.HealthRule) error {
	if strings.Contains(rule.Ready, "+") {
		return errors.New("ready does not compile")
	}
	return nil
}

func TestHandle(t *testing.T) {
	for _, tt := range []struct {
		reason    string
		operation admissionv1.Operation
		object    string
		old       string
		allowed   bool
		code      int32
		says      []string
	}{
		{"a good app is made", admissionv1.Create, good, "", true, http.StatusOK, nil},
		{"a bad one is not, and its fields are named", admissionv1.Create, bad, "", false, http.StatusUnprocessableEntity,
			[]string{`MyApp.example.com "web" is invalid`, "spec.image", "$(cluster.foo)", "spec.healthRules[0]", "does not compile"}},
		{"a good app becomes a bad one", admissionv1.Update, bad, good, false, http.StatusUnprocessableEntity, []string{"spec.image"}},
		{"a bad app becomes good", admissionv1.Update, good, bad, true, http.StatusOK, nil},
		{"a bad app from before keeps its spec and gets a label", admissionv1.Update, labeled, bad, true, http.StatusOK, nil},
		{"a finalizer comes off, whatever the spec", admissionv1.Update, leaving, bad, true, http.StatusOK, nil},
		{"a deletion", admissionv1.Delete, "", bad, true, http.StatusOK, nil},
		{"a connection", admissionv1.Connect, "", "", true, http.StatusOK, nil},
		{"a type that the schema leaves open to others", admissionv1.Create, `{spec: {image: 7}}`, "", false, http.StatusBadRequest, []string{"decoding the MyApp"}},
		{"no object at all", admissionv1.Create, "", "", false, http.StatusBadRequest, nil},
		{"an old object that cannot be read", admissionv1.Update, good, `{spec: {image: 7}}`, true, http.StatusOK, nil},
		{"a finalizer comes off an app that cannot be read", admissionv1.Update, `{metadata: {name: web, deletionTimestamp: "2026-01-01T00:00:00Z"}, spec: {image: 7}}`, bad, true, http.StatusOK, nil},
	} {
		h := &handler{check: refuseSums}
		resp := h.Handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
			Operation: tt.operation, Object: raw(t, tt.object), OldObject: raw(t, tt.old),
		}})
		if resp.Allowed != tt.allowed || resp.Result.Code != tt.code {
			t.Errorf("%s: allowed %v with code %d: %s", tt.reason, resp.Allowed, resp.Result.Code, resp.Result.Message)
		}
		for _, text := range tt.says {
			if !strings.Contains(resp.Result.Message, text) {
				t.Errorf("%s: the message lacks %q: %s", tt.reason, text, resp.Result.Message)
			}
		}
		if len(resp.Patches) > 0 {
			t.Errorf("%s: a validating webhook changes nothing", tt.reason)
		}
	}
}

// TestSubresources: a Scale or a status is not the spec's business.
func TestSubresources(t *testing.T) {
	h := &handler{}
	for _, subresource := range []string{"status", "scale"} {
		resp := h.Handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
			Operation: admissionv1.Update, SubResource: subresource, Object: raw(t, bad), OldObject: raw(t, good),
		}})
		if !resp.Allowed {
			t.Errorf("%s: %s", subresource, resp.Result.Message)
		}
	}
}

// TestCauses: a client can show every error at its field.
func TestCauses(t *testing.T) {
	h := &handler{}
	resp := h.Handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Operation: admissionv1.Create,
		Object:    raw(t, `{metadata: {name: web}, spec: {image: "$(cluster.a)", args: ["$(cluster.name)"], sidecars: [{name: web, image: x}]}}`),
	}})
	if resp.Result.Reason != metav1.StatusReasonInvalid || resp.Result.Details == nil {
		t.Fatalf("not an Invalid status: %+v", resp.Result)
	}
	var fields []string
	for _, cause := range resp.Result.Details.Causes {
		fields = append(fields, cause.Field)
	}
	if got, want := strings.Join(fields, " "), "spec.sidecars[0].name spec.image spec.args[0]"; got != want {
		t.Errorf("causes are at %s, want %s", got, want)
	}
}

type routes struct {
	webhook.Server
	handlers map[string]http.Handler
}

func (r routes) Register(path string, h http.Handler) { r.handlers[path] = h }

// TestRegister sends a review as an API server does.
func TestRegister(t *testing.T) {
	r := routes{handlers: map[string]http.Handler{}}
	Register(r, refuseSums, nil)
	h := r.handlers["/validate-example-com-v1-myapp"]
	if h == nil {
		t.Fatalf("nothing is served there: %v", r.handlers)
	}
	review, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request:  &admissionv1.AdmissionRequest{UID: types.UID("u-1"), Operation: admissionv1.Create, Object: raw(t, bad)},
	})
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, strings.NewReader(string(review)))
	req.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, req)
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%v: %s", err, recorder.Body)
	}
	if answer.Response == nil || answer.Response.Allowed || answer.Response.UID != "u-1" {
		t.Errorf("a bad app is answered by %s", recorder.Body)
	}
}

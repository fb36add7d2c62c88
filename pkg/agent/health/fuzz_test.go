package health

import (
	"encoding/json"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/example/myapp-hub/api/v1"
)

// FuzzRules compiles any expression and puts it to any object: a rule is refused, or
// gives an answer of the closed set within its budget.
func FuzzRules(f *testing.F) {
	object := []byte(`{"apiVersion":"x/v1","kind":"Database","metadata":{"name":"a","generation":2},"status":{"phase":"Up","list":[1,"a",null,{"b":1e300}]}}`)
	f.Add("object.status.phase == 'Up'", "has(object.status.error)", "string(object.status)", object)
	f.Add("object.status.list.map(x, object.status.list).size() > 0", "object.status.list.exists(x, x == 1)", "'a'.matches('(a+)+$')", object)
	f.Add("object.", "1/0 == 1", "object.x.y.z", []byte(`{}`))
	f.Add("duration('1h') > duration('1s')", "timestamp(object.metadata.name) < timestamp('2026-01-01T00:00:00Z')", "object.metadata.name + 1", object)
	f.Fuzz(func(t *testing.T, ready, failed, message string, raw []byte) {
		rules, err := Compile([]v1.HealthRule{{Group: "x", Kind: "Database", Ready: ready, Failed: failed, Message: message}})
		var content map[string]any
		if err != nil || json.Unmarshal(raw, &content) != nil || content == nil {
			return
		}
		observed := &unstructured.Unstructured{Object: content}
		feedback := Object(observed, "", rules.For(observed.GroupVersionKind().GroupKind()))
		switch feedback.State {
		case v1.FeedbackReady, v1.FeedbackProgressing, v1.FeedbackFailed:
		default:
			t.Fatalf("the state is %q", feedback.State)
		}
		if len(feedback.Message) > 1024 {
			t.Fatalf("a message of %d bytes", len(feedback.Message))
		}
	})
}

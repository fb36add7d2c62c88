package manifest

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWithMetadata(t *testing.T) {
	for _, tt := range []struct {
		reason, raw, want string
	}{
		{"the ordinary case", `{"kind":"K","metadata":{"name":"n"}}`, `{"kind":"K","metadata":{"uid":"u\"1","name":"n"}}`},
		{"an empty metadata takes no comma", `{"metadata":{}}`, `{"metadata":{"uid":"u\"1"}}`},
		{"white space is no field", `{"metadata": { } }`, `{"metadata": {"uid":"u\"1" } }`},
		{"white space before the first field", "{\n \"metadata\" : {\n  \"name\":\"n\"}}", "{\n \"metadata\" : {\"uid\":\"u\\\"1\",\n  \"name\":\"n\"}}"},
		{"a field before metadata has one too", `{"data":{"metadata":{"name":"x"}},"metadata":{"name":"n"}}`, `{"data":{"metadata":{"name":"x"}},"metadata":{"uid":"u\"1","name":"n"}}`},
		{"a value looks like metadata", `{"a":"\"metadata\":{","metadata":{"name":"n"}}`, `{"a":"\"metadata\":{","metadata":{"uid":"u\"1","name":"n"}}`},
		{"a list of objects with metadata", `{"items":[{"metadata":{}}],"metadata":{"name":"n"}}`, `{"items":[{"metadata":{}}],"metadata":{"uid":"u\"1","name":"n"}}`},
		{"a field below has the field's name", `{"metadata":{"labels":{"uid":"x"}},"spec":{"uid":"x"}}`, `{"metadata":{"uid":"u\"1","labels":{"uid":"x"}},"spec":{"uid":"x"}}`},
		{"the key is written with escapes", `{"\u006detadata":{"name":"n"}}`, `{"\u006detadata":{"uid":"u\"1","name":"n"}}`},
		{"numbers and characters stay as they are", `{"a":1.0e3,"b":"ü<&","metadata":{"name":"n"},"z":12345678901234567890}`, `{"a":1.0e3,"b":"ü<&","metadata":{"uid":"u\"1","name":"n"},"z":12345678901234567890}`},
	} {
		got, err := Manifest{Raw: []byte(tt.raw)}.WithMetadata("uid", `u"1`)
		if err != nil {
			t.Errorf("%s: %v", tt.reason, err)
			continue
		}
		if diff := cmp.Diff(tt.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
		if !json.Valid(got) {
			t.Errorf("%s: not JSON: %s", tt.reason, got)
		}
	}
}

func TestWithMetadataRefuses(t *testing.T) {
	for _, tt := range []struct{ reason, raw string }{
		{"nothing", ``},
		{"not an object", `["metadata"]`},
		{"no metadata", `{"kind":"K"}`},
		{"metadata only below", `{"spec":{"metadata":{"name":"n"}}}`},
		{"metadata is null", `{"metadata":null}`},
		{"metadata is text", `{"metadata":"{"}`},
		{"metadata is a list", `{"metadata":[{"name":"n"}]}`},
		{"metadata twice: which one counts is a matter of taste", `{"metadata":{"name":"a"},"metadata":{"name":"b"}}`},
		{"the field is there already", `{"metadata":{"name":"n","uid":"other"}}`},
		{"the field is there, written with escapes", `{"metadata":{"\u0075id":"other"}}`},
		{"broken in the middle", `{"metadata":{"name":"n"},"spec":{`},
		{"broken in metadata", `{"metadata":{"name"`},
	} {
		if got, err := (Manifest{Raw: []byte(tt.raw)}).WithMetadata("uid", "u"); err == nil {
			t.Errorf("%s: accepted as %s", tt.reason, got)
		}
	}
}

// TestWithMetadataAddsOnlyThat holds for any object that New makes.
func TestWithMetadataAddsOnlyThat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([]string{"aa", "data", "metadat", "metadata0", "spec", "zz"})
		o := map[string]any{
			"apiVersion": "v1", "kind": "K", "metadata": map[string]any{"name": "n"},
			key.Draw(t, "one"):   map[string]any{"metadata": map[string]any{rapid.String().Draw(t, "deep"): "x"}},
			key.Draw(t, "other"): rapid.String().Draw(t, "text"),
		}
		m, err := New(o, Stamp{})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := m.WithMetadata("resourceVersion", "7")
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		metadata := got["metadata"].(map[string]any)
		if metadata["resourceVersion"] != "7" {
			t.Fatalf("not in the metadata: %s", raw)
		}
		delete(metadata, "resourceVersion")
		var want map[string]any
		if err := json.Unmarshal(m.Raw, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("something else changed (-want +got):\n%s", diff)
		}
	})
}

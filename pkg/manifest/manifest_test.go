package manifest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

func object(name, value string) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"namespace": "shop", "name": name},
		"data":     map[string]any{"key": value},
	}
}

func mustNew(t testing.TB, o map[string]any, generation int64) Manifest {
	t.Helper()
	m, err := New(o, Stamp{Generation: generation})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNew(t *testing.T) {
	o := object("web", "x")
	o["metadata"].(map[string]any)["annotations"] = map[string]any{"mine": "kept"}
	m := mustNew(t, o, 7)

	if want := (schema.GroupVersionKind{Version: "v1", Kind: "ConfigMap"}); m.GVK != want || m.String() != "ConfigMap shop/web" {
		t.Errorf("identity is %v %s", m.GVK, m)
	}
	var decoded struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal(m.Raw, &decoded); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"mine": "kept", v1.AnnotationContentHash: m.Hash, v1.AnnotationAppGeneration: "7", v1.AnnotationHubEpoch: "0", v1.AnnotationAppSpecHash: "", v1.AnnotationHubVersion: ""}
	if diff := cmp.Diff(want, decoded.Metadata.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if _, err := New(map[string]any{"kind": "ConfigMap"}, Stamp{}); err == nil {
		t.Error("an object without metadata has no identity and must be refused")
	}
}

func TestHashIsOfTheContent(t *testing.T) {
	base := mustNew(t, object("web", "x"), 1)
	for _, tt := range []struct {
		reason string
		other  Manifest
		same   bool
	}{
		{"the same content has the same hash", mustNew(t, object("web", "x"), 1), true},
		{"an edit that changes no object must write none", mustNew(t, object("web", "x"), 2), true},
		{"another value is another content", mustNew(t, object("web", "y"), 1), false},
		{"the identity is content too", mustNew(t, object("api", "x"), 1), false},
	} {
		if same := tt.other.Hash == base.Hash; same != tt.same {
			t.Errorf("%s: same = %v", tt.reason, same)
		}
	}
	if len(base.Hash) != 16 {
		t.Errorf("hash %q is not 16 digits", base.Hash)
	}
}

func TestSetHash(t *testing.T) {
	a, b := mustNew(t, object("a", ""), 1), mustNew(t, object("b", ""), 1)
	seen := map[string]string{}
	for reason, set := range map[string][]Manifest{
		"nothing": nil, "one": {a}, "the other": {b}, "both": {a, b}, "in the other order": {b, a},
	} {
		hash := SetHash(set)
		if other, ok := seen[hash]; ok {
			t.Errorf("%q and %q are different sets with one hash", reason, other)
		}
		seen[hash] = reason
	}
}

func TestParseRefuses(t *testing.T) {
	whole := string(mustNew(t, object("web", "x"), 1).Raw)
	for _, tt := range []struct{ reason, raw string }{
		{"not JSON", "{"},
		{"empty", ""},
		{"not an object", "[]"},
		{"no kind", strings.Replace(whole, `"kind":"ConfigMap"`, `"kind":""`, 1)},
		{"no name", strings.Replace(whole, `"name":"web"`, `"name":""`, 1)},
		{"no hash: it was not made by New", strings.Replace(whole, v1.AnnotationContentHash, "example.com/other", 1)},
	} {
		if tt.raw == whole {
			t.Fatalf("%s: the row breaks nothing", tt.reason)
		}
		if m, err := Parse([]byte(tt.raw)); err == nil {
			t.Errorf("%s: Parse accepts it as %s", tt.reason, m)
		}
	}
	if _, err := Parse([]byte(whole)); err != nil {
		t.Errorf("Parse refuses what New made: %v", err)
	}
}

// TestRoundTrip: what New makes, Parse reads, whatever the content, and the
// bytes are a function of the content.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z][a-z0-9-]{0,20}`).Draw(t, "name")
		value := rapid.String().Draw(t, "value")
		generation := rapid.Int64().Draw(t, "generation")
		m, err := New(object(name, value), Stamp{Generation: generation})
		if err != nil {
			t.Fatal(err)
		}
		again, err := New(object(name, value), Stamp{Generation: generation})
		if err != nil || !bytes.Equal(m.Raw, again.Raw) {
			t.Fatalf("not deterministic: %s and %s (%v)", m.Raw, again.Raw, err)
		}
		parsed, err := Parse(m.Raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, parsed); diff != "" {
			t.Fatalf("-made +parsed:\n%s", diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(mustNew(f, object("web", "x"), 1).Raw)
	f.Add([]byte(`{"metadata":null}`))
	f.Add([]byte(`{"apiVersion":"v1","kind":"K","metadata":{"name":"no-hash"}}`))
	f.Add([]byte(`{"apiVersion":"a/b/c","kind":"K","metadata":{"name":"n","annotations":{"example.com/content-hash":"h"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(raw)
		if err != nil {
			return
		}
		if m.GVK.Kind == "" || m.Name == "" || m.Hash == "" {
			t.Errorf("accepted without an identity: %#v", m)
		}
		if !bytes.Equal(m.Raw, raw) {
			t.Error("the bytes that are applied are not those that were parsed")
		}
	})
}

package manifest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

func labelled(name, value, member string) map[string]any {
	o := object(name, value)
	o["metadata"].(map[string]any)["labels"] = map[string]any{v1.LabelMember: member, "a": value}
	return o
}

// TestFrame: what a frame gives a member is what would have been made for it alone,
// whatever the content, the holes' own marks among it.
func TestFrame(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"hole-0-", `hole-0-member"`, "hole-1-hole-0-epoch", `\u0000`, "</script>"}))
	rapid.Check(t, func(t *rapid.T) {
		name, value := rapid.StringMatching(`[a-z][a-z0-9-]{0,20}`).Draw(t, "name"), text.Draw(t, "value")
		stamp := Stamp{
			Epoch: rapid.Int64Range(0, MaxEpoch).Draw(t, "epoch"), Generation: rapid.Int64Min(0).Draw(t, "generation"),
			SpecHash: text.Draw(t, "hash"), HubVersion: text.Draw(t, "version"),
		}
		f, err := NewFrame(labelled(name, value, "eu-1"), Member{})
		if err != nil {
			t.Fatal(err)
		}
		alone, err := New(labelled(name, value, "us-1"), stamp)
		if err != nil {
			t.Fatal(err)
		}
		shared := f.For(Member{Name: "us-1"}, stamp)
		if diff := cmp.Diff(alone, shared); diff != "" {
			t.Fatalf("-alone +shared:\n%s\n%s", diff, shared.Raw)
		}
		homed, err := NewFrame(labelled(name, value, "eu-1"), Member{Namespace: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(alone.Raw), string(homed.For(Member{Name: "us-1", Namespace: "shop"}, stamp).Raw), cmp.Transformer("hashless", func(raw string) string {
			return strings.NewReplacer(alone.Hash, "", homed.like.Hash, "").Replace(raw)
		})); diff != "" {
			t.Fatalf("-alone +of a namespaced member:\n%s", diff)
		}
		var decoded, want any
		o := labelled(name, value, "us-1")
		o["metadata"].(map[string]any)["annotations"] = map[string]any{
			v1.AnnotationContentHash: shared.Hash, v1.AnnotationAppSpecHash: stamp.SpecHash, v1.AnnotationHubVersion: stamp.HubVersion,
			v1.AnnotationAppGeneration: jsonNumber(stamp.Generation), v1.AnnotationHubEpoch: jsonNumber(stamp.Epoch),
		}
		if err := json.Unmarshal(shared.Raw, &decoded); err != nil {
			t.Fatalf("%v: %s", err, shared.Raw)
		}
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, decoded); diff != "" {
			t.Fatalf("the object (-want +got):\n%s", diff)
		}
	})
}

func jsonNumber(n int64) string {
	text, _ := json.Marshal(n)
	return string(text)
}

// TestHashIsNotOfTheMember: equal hashes in two rows mean equal content.
func TestHashIsNotOfTheMember(t *testing.T) {
	hash := func(value, member string) string {
		m, err := New(labelled("web", value, member), Stamp{})
		if err != nil {
			t.Fatal(err)
		}
		return m.Hash
	}
	if hash("x", "eu-1") != hash("x", "us-1") {
		t.Error("the same content has two hashes")
	}
	if hash("x", "eu-1") == hash("y", "eu-1") {
		t.Error("two contents have the same hash")
	}
}

func BenchmarkFrameFor(b *testing.B) {
	f, err := NewFrame(labelled("web", "x", "eu-1"), Member{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if m := f.For(Member{Name: "us-1"}, Stamp{Generation: 7, SpecHash: "e99dc442-0123456789abcdef", HubVersion: "12345"}); len(m.Raw) == 0 {
			b.Fatal("no bytes")
		}
	}
}

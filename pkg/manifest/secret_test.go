package manifest

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

func frame(t testing.TB, stamp Stamp) Manifest {
	t.Helper()
	m, err := New(map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{"namespace": "shop", "name": "web.db", "labels": map[string]any{"mine": "kept"}},
	}, stamp)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFill(t *testing.T) {
	stamp := Stamp{Epoch: 2, Generation: 7, SpecHash: "abc", HubVersion: "41"}
	empty := frame(t, stamp)
	before := bytes.Clone(empty.Raw)
	source := &corev1.Secret{Type: corev1.SecretTypeBasicAuth, Data: map[string][]byte{"password": []byte("s3cret\x00")}}
	source.Name, source.Labels = "db", map[string]string{"theirs": "not taken"}
	filled, err := Fill(empty, source)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, empty.Raw) {
		t.Error("the frame was changed; manifests are immutable")
	}
	var got corev1.Secret
	if err := json.Unmarshal(filled.Raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(source.Data, got.Data); diff != "" || got.Type != source.Type {
		t.Errorf("type %s, data (-want +got):\n%s", got.Type, diff)
	}
	if got.Name != "web.db" || got.Namespace != "shop" || len(got.Labels) != 1 || got.Labels["mine"] != "kept" {
		t.Errorf("the copy keeps the frame's identity and marks, not those of the source: %+v", got.ObjectMeta)
	}
	if filled.Hash == empty.Hash {
		t.Error("the content is not in the hash: a change of it would not be written")
	}
	if s := StampOf(got.Annotations); s != stamp {
		t.Errorf("the stamp is %+v, want that of the frame", s)
	}
	again, err := Fill(empty, source)
	if err != nil || !bytes.Equal(filled.Raw, again.Raw) {
		t.Errorf("not deterministic: %v", err)
	}
	source.Data["password"] = []byte("other")
	if other, err := Fill(empty, source); err != nil || other.Hash == filled.Hash {
		t.Errorf("another content has the same hash (%v)", err)
	}
	if !filled.IsSecret() || mustNew(t, object("web", "x"), 1).IsSecret() {
		t.Error("IsSecret does not tell Secrets from others")
	}
}

// TestSetHashKnowsNoSecret: the hash of a set is in statuses, which people read
// who may not read Secrets.
func TestSetHashKnowsNoSecret(t *testing.T) {
	empty := frame(t, Stamp{})
	filled, err := Fill(empty, &corev1.Secret{Data: map[string][]byte{"a": []byte("b")}})
	if err != nil {
		t.Fatal(err)
	}
	if SetHash([]Manifest{empty}) != SetHash([]Manifest{filled}) {
		t.Error("the content of a Secret is in the hash of the set")
	}
	if SetHash([]Manifest{empty}) == SetHash(nil) {
		t.Error("the Secret itself is not in the hash of the set")
	}
}

func TestFillRefuses(t *testing.T) {
	for _, raw := range []string{``, `[]`, `{"kind":"Secret"}`, `{"metadata":"x"}`} {
		if _, err := Fill(Manifest{Raw: []byte(raw)}, &corev1.Secret{}); err == nil {
			t.Errorf("%q is no frame", raw)
		}
	}
}

func TestNewer(t *testing.T) {
	ours := Stamp{Epoch: 2, Generation: 5, SpecHash: "v1-a", HubVersion: "9"}
	for _, tt := range []struct {
		reason string
		found  Stamp
		want   bool
	}{
		{"the same", ours, false},
		{"another resourceVersion of the same spec", Stamp{Epoch: 2, Generation: 5, SpecHash: "v1-a", HubVersion: "10"}, false},
		{"an older generation", Stamp{Epoch: 2, Generation: 4, SpecHash: "v1-b"}, false},
		{"a newer generation", Stamp{Epoch: 2, Generation: 6, SpecHash: "v1-a"}, true},
		{"the same generation in another history", Stamp{Epoch: 2, Generation: 5, SpecHash: "v1-b"}, true},
		{"the same generation, hashed by another version of the hub", Stamp{Epoch: 2, Generation: 5, SpecHash: "v2-b"}, false},
		{"no hash claims nothing", Stamp{Epoch: 2, Generation: 5}, false},
		{"an epoch outranks generations", Stamp{Epoch: 3, Generation: 1, SpecHash: "v1-a"}, true},
		{"so does an older one", Stamp{Epoch: 1, Generation: 9, SpecHash: "v1-b"}, false},
		{"an object from before specs were hashed", Stamp{Epoch: 2, Generation: 5}, false},
		{"no stamp at all", StampOf(nil), false},
	} {
		if got := tt.found.Newer(ours); got != tt.want {
			t.Errorf("%s: newer = %v", tt.reason, got)
		}
	}
}

// What a member has written into a stamp is believed as far as it can be true.
func TestStampOf(t *testing.T) {
	for _, tt := range []struct {
		reason            string
		epoch, generation string
		want              Stamp
	}{
		{"nothing", "", "", Stamp{}},
		{"as it was written", "3", "7", Stamp{Epoch: 3, Generation: 7}},
		{"no number", "x", "1.5", Stamp{}},
		{"the latest that can be", "1000000", "7", Stamp{Epoch: MaxEpoch, Generation: 7}},
		{"more releases than anybody makes", "1000001", "7", Stamp{Generation: 7}},
		{"the epoch after it would be no number", "9223372036854775807", "7", Stamp{Generation: 7}},
		{"it is no number itself", "9223372036854775808", "9223372036854775808", Stamp{}},
		{"less than nothing", "-1", "-1", Stamp{}},
	} {
		got := StampOf(map[string]string{v1.AnnotationHubEpoch: tt.epoch, v1.AnnotationAppGeneration: tt.generation})
		if got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.reason, got, tt.want)
		}
	}
}

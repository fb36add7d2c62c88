package manifest

import (
	"encoding/json"
	"testing"

	v1 "github.com/example/myapp-hub/api/v1"
)

// FuzzWork decodes a Work as it comes from the mailbox and reads its manifests: each is
// refused, or names what it is. Nothing in a Work can stop an agent.
func FuzzWork(f *testing.F) {
	whole := mustNew(f, object("web", "x"), 1)
	work := func(manifests string) string {
		return `{"apiVersion":"example.com/v1","kind":"Work","spec":{"state":"Present","hubID":"h","hubEpoch":-1,"app":{"namespace":"shop","name":"web","uid":"u","generation":1},` +
			`"contentHash":"` + SetHash([]Manifest{whole}) + `","manifests":[` + manifests + `],"secrets":[{"name":"a","mailboxName":"b"}]},"status":{"state":"Ready"}}`
	}
	f.Add([]byte(work(string(whole.Raw))))
	f.Add([]byte(work(`{},null,[],"x",1`)))
	f.Add([]byte(work(`{"kind":"Secret","metadata":{"name":"a","annotations":{"` + v1.AnnotationContentHash + `":"h"}},"data":{"x":"!"}}`)))
	f.Add([]byte(work(`{"metadata":{"annotations":{"` + v1.AnnotationAppGeneration + `":"-99999999999999999999"},"labels":null}}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		var w v1.Work
		if json.Unmarshal(data, &w) != nil {
			return
		}
		var all []Manifest
		for _, raw := range w.Spec.Manifests {
			m, err := Parse(raw.Raw)
			if err != nil {
				continue
			}
			if m.GVK.Kind == "" || m.Name == "" || m.Hash == "" || m.String() == "" {
				t.Fatalf("accepted without a name: %+v", m)
			}
			StampOf(map[string]string{v1.AnnotationAppGeneration: m.Hash, v1.AnnotationHubEpoch: m.Name})
			all = append(all, m)
		}
		if again := SetHash(all); again != SetHash(all) || len(again) != 16 {
			t.Fatalf("the hash of a set is %q", again)
		}
	})
}

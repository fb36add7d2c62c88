package apply

import (
	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// atRest is true when the cache shows what is wanted and no more, and all of it was
// found to be so before. Nearly every pass ends here: it costs no memory.
func (e *Engine) atRest(owner Owner, manifests []manifest.Manifest, observed Observed) bool {
	if len(observed.objects) != len(manifests) {
		return false
	}
	for i := range manifests {
		m := &manifests[i]
		known := observed.objects[keyOf(*m)]
		if known == nil || known.DeletionTimestamp != nil || known.Annotations[v1.AnnotationContentHash] != m.Hash {
			return false
		}
		if _, kept := known.Annotations[v1.AnnotationKeptReplicas]; kept {
			return false
		}
		if manifest.StampOf(known.Annotations).Newer(owner.Stamp) || !e.memory.atRest(m, known) {
			return false
		}
	}
	return true
}

// unchanged says so of each manifest.
func unchanged(manifests []manifest.Manifest) []Change {
	changes := make([]Change, 0, len(manifests))
	for i := range manifests {
		changes = append(changes, Change{Object: manifests[i].String(), Action: Unchanged})
	}
	return changes
}

package apply

import (
	"time"
	"unique"

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
		if known == nil || known.deleted != nil || known.note(v1.AnnotationContentHash) != m.Hash {
			return false
		}
		if known.note(v1.AnnotationKeptReplicas) != "" {
			return false
		}
		if known.stamp().Newer(owner.Stamp) || !e.memory.atRest(m, known) {
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

// wroteAll says that the last write sent all of the manifest. If nothing of it was
// lost on the way, the object that comes back need not be compared.
func (m *memory) wroteAll(applied manifest.Manifest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := keyOf(applied)
	w, ok := m.written[key]
	if b, known := m.baseline[key]; ok && known && b.hash == applied.Hash && len(b.lost) == 0 {
		m.clean[key] = clean{hash: applied.Hash, tree: unique.Make(w.note(annotationFields))}
		m.covered.add(m.clean[key])
	}
}

// isClean is true when the object was found to have all fields of the manifest, or
// one of the same content and fields was.
func (m *memory) isClean(applied manifest.Manifest, tree string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := keyOf(applied)
	if c, ok := m.clean[key]; ok && c.hash == applied.Hash && c.tree.Value() == tree {
		return true
	}
	pair := clean{hash: applied.Hash, tree: unique.Make(tree)}
	if applied.Partial || !m.covered.has(pair) {
		return false
	}
	m.clean[key] = pair
	return true
}

// atRest is true when the object had all fields of the manifest as it is cached, is
// of a kind that is recorded, and nothing else is remembered of it.
func (m *memory) atRest(applied *manifest.Manifest, cached *record) bool {
	key := keyOf(*applied)
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.clean[key]; !ok || c.hash != applied.Hash || c.tree.Value() != cached.note(annotationFields) {
		return false
	}
	if w, ok := m.written[key]; ok && w.version != cached.version {
		return false
	}
	delete(m.written, key)
	if _, ok := m.recorded[key.kind]; !ok && !isBase(applied.GVK) {
		return false
	}
	if f, fought := m.fights[key]; fought && time.Since(f.last) <= fightWindow {
		return false
	}
	delete(m.fights, key)
	return m.taking[key] == nil
}

func (m *memory) setClean(applied manifest.Manifest, tree string) {
	if applied.Partial {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	pair := clean{hash: applied.Hash, tree: unique.Make(tree)}
	m.clean[keyOf(applied)] = pair
	m.covered.add(pair)
}

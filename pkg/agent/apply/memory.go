package apply

import (
	"maps"
	"slices"
	"sync"
	"time"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/example/myapp-hub/pkg/agent/fields"
	"github.com/example/myapp-hub/pkg/manifest"
)

// writtenTTL is how long a write of ours counts for more than a cache that does
// not show it. A cache that is behind for longer is not believed to be behind.
const writtenTTL = 10 * time.Second

// memory is what an engine has learned by its own requests. It saves requests: a
// pass without it does the same with more of them. What only memory speaks for is
// marked in the ChangeSet and looked at again.
type memory struct {
	covered *Covered

	mu sync.Mutex
	// written are our last writes, as long as the cache may not show them yet.
	written map[objectKey]write
	// sweeping is true while there will be a sweep of what was written.
	sweeping bool
	// foreign are objects that were found to be somebody else's.
	foreign map[objectKey]struct{}
	// clean are the objects that had all fields of their manifest.
	clean map[objectKey]clean
	// baseline are the fields that an object lacked right after it was applied, or
	// would lack: the cluster does not keep them.
	baseline map[objectKey]baseline
	// drift is what was found changed in a version of an object.
	drift map[objectKey]found
	// fights are the corrections of objects that others change.
	fights map[objectKey]fight
	// taking are the takeovers that were not ended.
	taking map[objectKey]*taking
	// compared are the objects that were not identical.
	compared map[objectKey]comparison
	// recorded are the kinds in the cluster's inventory.
	recorded map[kindKey]struct{}
	// patience is with apps whose pods are not ready.
	patience map[types.UID]*patience
	// apps are the objects of each app. What is remembered of others is forgotten.
	apps map[types.UID][]objectKey
}

// clean is the hash of a manifest and the tree of fields that had all of it. The
// handle keeps equal trees of many members in one place.
type clean struct {
	hash string
	tree unique.Handle[string]
}

type baseline struct {
	hash string
	lost map[string]struct{}
}

// baselineOf is the baseline of an apply that was answered with the tree. What was
// sent is the manifest, or a part of it.
func (m *memory) baselineOf(applied manifest.Manifest, sent []byte, tree string) (b baseline, ok bool) {
	b = baseline{hash: applied.Hash}
	if m.covered.has(clean{applied.Hash, unique.Make(tree)}) {
		return b, true
	}
	paths, err := fields.Lost(sent, tree)
	if err != nil {
		return b, false
	}
	for _, path := range paths {
		if b.lost == nil {
			b.lost = map[string]struct{}{}
		}
		b.lost[path.String()] = struct{}{}
	}
	return b, true
}

// found is what was found of fields that are not ours in a version of an object.
type found struct {
	// version is the content hash that was wanted, and the object's version.
	version string
	// message says what was changed, "" if that is nothing.
	message string
	// never is true if the cluster does not keep any of the fields.
	never bool
}

type write struct {
	*record
	at time.Time
}

func newMemory(covered *Covered) *memory {
	if covered == nil {
		covered = &Covered{}
	}
	return &memory{
		covered:  covered,
		written:  map[objectKey]write{},
		foreign:  map[objectKey]struct{}{},
		clean:    map[objectKey]clean{},
		baseline: map[objectKey]baseline{},
		drift:    map[objectKey]found{},
		fights:   map[objectKey]fight{},
		taking:   map[objectKey]*taking{},
		compared: map[objectKey]comparison{},
		recorded: map[kindKey]struct{}{},
		patience: map[types.UID]*patience{},
		apps:     map[types.UID][]objectKey{},
	}
}

// wrote remembers an object as the API server returned it. What was sent is the
// manifest without the fields that were left to others: those the cluster keeps.
func (m *memory) wrote(applied manifest.Manifest, sent []byte, object *metav1.PartialObjectMetadata) {
	key, r := keyOf(applied), newRecord(object)
	kept, ok := m.baselineOf(applied, sent, r.note(annotationFields))
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.baseline, key)
	if ok {
		m.baseline[key] = kept
	}
	m.written[key] = write{at: time.Now(), record: r}
	if !m.sweeping {
		m.sweeping = true
		time.AfterFunc(writtenTTL, m.sweep)
	}
}

// sweep forgets the writes that no longer count.
func (m *memory) sweep() {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.written, func(_ objectKey, w write) bool { return time.Since(w.at) > writtenTTL })
	if m.sweeping = len(m.written) > 0; m.sweeping {
		time.AfterFunc(writtenTTL, m.sweep)
	}
}

// isLastWrite is true for an object that is as our last write left it.
func (m *memory) isLastWrite(key objectKey, r *record) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, ok := m.written[key]
	return ok && w.uid == r.uid && w.version == r.version
}

// newer is our last write of an object if the cached state, nil if the cache
// does not show the object, is older than it.
func (m *memory) newer(key objectKey, cached *record) *record {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, ok := m.written[key]
	if !ok {
		return nil
	}
	behind := cached == nil
	if !behind {
		order, err := resourceversion.CompareResourceVersion(cached.version, w.version)
		behind = err == nil && order < 0 && cached.uid == w.uid
	}
	if !behind || time.Since(w.at) > writtenTTL {
		delete(m.written, key)
		return nil
	}
	return w.record
}

// keep forgets the objects that an app has no more.
func (m *memory) keep(app types.UID, manifests []manifest.Manifest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.apps[app]
	if slices.EqualFunc(before, manifests, func(key objectKey, m manifest.Manifest) bool { return key == keyOf(m) }) {
		return
	}
	now := make([]objectKey, 0, len(manifests))
	for _, m := range manifests {
		now = append(now, keyOf(m))
	}
	for _, key := range before {
		if !slices.Contains(now, key) {
			m.drop(key)
		}
	}
	m.apps[app] = now
}

// forget forgets an app and its objects.
func (m *memory) forget(app types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range m.apps[app] {
		m.drop(key)
	}
	delete(m.apps, app)
	delete(m.patience, app)
}

// removed forgets an object that was deleted.
func (m *memory) removed(key objectKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(key)
}

func (m *memory) drop(key objectKey) {
	delete(m.written, key)
	delete(m.clean, key)
	delete(m.baseline, key)
	delete(m.drift, key)
	delete(m.fights, key)
	delete(m.taking, key)
	delete(m.compared, key)
	delete(m.foreign, key)
}

// neverHad is true for a field that the object lacked right after the manifest
// had been applied.
func (m *memory) neverHad(applied manifest.Manifest, path fields.Path) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.baseline[keyOf(applied)]
	if !ok || b.hash != applied.Hash {
		return false
	}
	_, lost := b.lost[path.String()]
	return lost
}

// knowsBaseline is true once the manifest was applied, or tried.
func (m *memory) knowsBaseline(applied manifest.Manifest) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.baseline[keyOf(applied)]
	return ok && b.hash == applied.Hash
}

func (m *memory) setBaseline(applied manifest.Manifest, b baseline) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.baseline[keyOf(applied)] = b
}

// described is what was found in that state of the object.
func (m *memory) described(applied manifest.Manifest, state string) (found, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.drift[keyOf(applied)]
	return f, ok && f.version == applied.Hash+"@"+state
}

func (m *memory) setDescribed(applied manifest.Manifest, state string, f found) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.version = applied.Hash + "@" + state
	m.drift[keyOf(applied)] = f
}

// correctionDue is how long the next correction of an object has to wait.
func (m *memory) correctionDue(applied manifest.Manifest, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fights[keyOf(applied)].due(now)
}

// corrected counts a correction; refused is why it failed, "" if it did not.
func (m *memory) corrected(applied manifest.Manifest, message, refused string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fights[keyOf(applied)] = m.fights[keyOf(applied)].corrected(message, refused, now)
}

// waiting is the change that says that a correction has to wait.
func (m *memory) waiting(applied manifest.Manifest, wait time.Duration) Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fights[keyOf(applied)].report(applied.String(), wait)
}

// quiet is the change of an object that is as wanted: unchanged, but for one
// that was fought over not long ago.
func (m *memory) quiet(applied manifest.Manifest, now time.Time) Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.fights[keyOf(applied)]
	if !ok {
		return Change{Object: applied.String(), Action: Unchanged}
	}
	if left := f.contested(now); left > 0 {
		change := f.report(applied.String(), left+time.Second)
		change.Action = Unchanged
		return change
	}
	return Change{Object: applied.String(), Action: Unchanged}
}

func (m *memory) takingOf(key objectKey) *taking {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.taking[key]
}

func (m *memory) setTaking(key objectKey, t *taking) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t == nil {
		delete(m.taking, key)
	} else {
		m.taking[key] = t
	}
}

// comparisonOf is the last comparison of a version of an object with a manifest,
// if it is not to be made again yet.
func (m *memory) comparisonOf(applied manifest.Manifest, version string, now time.Time) (comparison, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.compared[keyOf(applied)]
	return c, c.of == applied.Hash+"@"+version && now.Before(c.next)
}

func (m *memory) setCompared(applied manifest.Manifest, version string, differing []string, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.compared[keyOf(applied)] = m.compared[keyOf(applied)].again(applied.Hash+"@"+version, differing, now)
}

func (m *memory) isRecorded(gvk schema.GroupVersionKind) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.recorded[gvk.GroupKind()]
	return ok
}

func (m *memory) setRecorded(kinds ...schema.GroupVersionKind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, gvk := range kinds {
		m.recorded[gvk.GroupKind()] = struct{}{}
	}
}

func (m *memory) isForeign(key objectKey) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.foreign[key]
	return ok
}

func (m *memory) setForeign(key objectKey, foreign bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if foreign {
		m.foreign[key] = struct{}{}
	} else {
		delete(m.foreign, key)
	}
}

package apply

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	v1 "github.com/example/myapp-hub/api/v1"
)

// writtenTTL is how long a write of ours counts for more than a cache that does
// not show it. A cache that is behind for longer is not believed to be behind.
const writtenTTL = 10 * time.Second

// memory is what an engine has learned by its own requests. It saves requests: a
// pass without it does the same with more of them. What only memory speaks for is
// marked in the ChangeSet and looked at again.
type memory struct {
	mu sync.Mutex
	// written are our last writes that the cache may not show yet.
	written map[objectKey]write
	// namespaces are known to exist.
	namespaces map[string]struct{}
	// foreign are objects that were found to be somebody else's.
	foreign map[objectKey]struct{}
}

type write struct {
	object metav1.ObjectMeta
	at     time.Time
}

func newMemory() *memory {
	return &memory{
		written:    map[objectKey]write{},
		namespaces: map[string]struct{}{},
		foreign:    map[objectKey]struct{}{},
	}
}

// wrote remembers an object as the API server returned it.
func (m *memory) wrote(key objectKey, object *metav1.PartialObjectMetadata) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written[key] = write{at: time.Now(), object: metav1.ObjectMeta{
		UID: object.UID, ResourceVersion: object.ResourceVersion, Labels: object.Labels,
		DeletionTimestamp: object.DeletionTimestamp,
		Annotations:       map[string]string{v1.AnnotationContentHash: object.Annotations[v1.AnnotationContentHash]},
	}}
}

// newer is our last write of an object if the cached state, nil if the cache
// does not show the object, is older than it.
func (m *memory) newer(key objectKey, cached *metav1.ObjectMeta) *metav1.ObjectMeta {
	m.mu.Lock()
	defer m.mu.Unlock()
	w, ok := m.written[key]
	if !ok {
		return nil
	}
	behind := cached == nil
	if !behind {
		order, err := resourceversion.CompareResourceVersion(cached.ResourceVersion, w.object.ResourceVersion)
		behind = err == nil && order < 0 && cached.UID == w.object.UID
	}
	if !behind || time.Since(w.at) > writtenTTL {
		delete(m.written, key)
		return nil
	}
	return &w.object
}

// removed forgets a write of an object that was deleted.
func (m *memory) removed(key objectKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.written, key)
}

func (m *memory) namespaceKnown(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.namespaces[name]
	return ok
}

func (m *memory) setNamespace(name string, exists bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if exists {
		m.namespaces[name] = struct{}{}
	} else {
		delete(m.namespaces, name)
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

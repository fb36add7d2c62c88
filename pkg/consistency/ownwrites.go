package consistency

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// OwnWrites remembers the resourceVersion of this process's last write of each
// object, so that a reconciler can leave an object alone until its cache has
// caught up with it. The zero value is ready for use; it is safe for concurrent
// use.
type OwnWrites struct {
	mu     sync.Mutex
	writes map[types.UID]write
}

type write struct {
	version string
	at      time.Time
}

// patience is how long a cache may be behind. A version that does not come for
// longer never will: the API server's store was restored from a backup.
const patience = 30 * time.Second

// Wrote records the object as the API server returned it after a write.
func (w *OwnWrites) Wrote(o client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writes == nil {
		w.writes = map[types.UID]write{}
	}
	for uid, last := range w.writes {
		if time.Since(last.at) > patience {
			delete(w.writes, uid)
		}
	}
	w.writes[o.GetUID()] = write{version: o.GetResourceVersion(), at: time.Now()}
}

// Behind is true when the cached object is older than the last write. Once the
// cache has caught up, the write is forgotten. The event that brings the newer
// object also brings the reconciler back; it should look again later all the
// same, for a version that never comes.
func (w *OwnWrites) Behind(cached client.Object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, ok := w.writes[cached.GetUID()]
	if !ok {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(cached.GetResourceVersion(), last.version)
	if err == nil && order < 0 && time.Since(last.at) < patience {
		return true
	}
	delete(w.writes, cached.GetUID())
	return false
}

// Forget drops an object that is gone.
func (w *OwnWrites) Forget(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.writes, uid)
}

package render

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// Template is the part of a spec that renders: all but replicas, placement and
// policies, which are read live and start no revision.
func Template(spec *v1.MyAppSpec) v1.MyAppSpec {
	t := *spec.DeepCopy()
	t.Replicas = nil
	t.Placement = nil
	t.DeletionPolicy = ""
	t.Paused = false
	t.RevisionHistoryLimit = nil
	return t
}

// Revision is a template as it is stored.
type Revision struct {
	// Name of the ControllerRevision: the app's name and a hash.
	Name string
	// Data is the template as JSON.
	Data []byte
}

// RevisionOf is the revision of a spec. The app's UID is hashed too, so that an
// app that was deleted and made again never meets its predecessor's revisions.
// The collision is 0 unless another template already has the name.
func RevisionOf(appName string, uid types.UID, spec *v1.MyAppSpec, collision int) (Revision, error) {
	t := Template(spec)
	data, err := json.Marshal(t)
	if err != nil {
		return Revision{}, fmt.Errorf("encoding the template of %s: %w", appName, err)
	}
	hash := manifest.Hash(fmt.Appendf(nil, "%s#%d#%s", uid, collision, data))
	return Revision{Name: appName + "-" + hash[:10], Data: data}, nil
}

// ParseTemplate reads a template that RevisionOf stored.
func ParseTemplate(data []byte) (v1.MyAppSpec, error) {
	var t v1.MyAppSpec
	if err := json.Unmarshal(data, &t); err != nil {
		return t, fmt.Errorf("decoding a stored template: %w", err)
	}
	return t, nil
}

package manifest

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	v1 "github.com/example/myapp-hub/api/v1"
)

var secretKind = schema.GroupVersionKind{Version: "v1", Kind: "Secret"}

// IsSecret is true for a Secret. Render makes Secrets without content; Fill adds
// it where the Secret is written, so that it is nowhere else.
func (m Manifest) IsSecret() bool { return m.GVK == secretKind }

// Fill is the Secret m with the content and type of source. m itself stays as it
// is.
func Fill(m Manifest, source *corev1.Secret) (Manifest, error) {
	var object map[string]any
	if err := json.Unmarshal(m.Raw, &object); err != nil {
		return Manifest{}, fmt.Errorf("decoding the frame of %s: %w", m, err)
	}
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return Manifest{}, fmt.Errorf("the frame of %s has no metadata", m)
	}
	annotations, _ := metadata["annotations"].(map[string]any)
	stamped := map[string]string{}
	for _, key := range append(stampKeys(), v1.AnnotationContentHash) {
		stamped[key], _ = annotations[key].(string)
		delete(annotations, key)
	}
	if len(source.Data) > 0 {
		object["data"] = source.Data
	}
	if source.Type != "" {
		object["type"] = source.Type
	}
	return New(object, StampOf(stamped))
}

// Package manifest is an object on its way to a cluster: its identity, its
// bytes and the hash of its content. Render makes manifests, the mailbox
// carries them, the engine applies them.
//
// It is pure: values in, values out.
package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Manifest is one object to be applied. Manifests are immutable once made.
type Manifest struct {
	// GVK is the object's kind.
	GVK schema.GroupVersionKind
	// Namespace and Name are the object's key.
	Namespace, Name string
	// Hash is the hash of the content, the value of v1.AnnotationContentHash.
	Hash string
	// Raw is the object as JSON, stamped with the hash and the app's generation.
	Raw []byte
}

// String names the object for a person: "Deployment shop/web".
func (m Manifest) String() string {
	return m.GVK.Kind + " " + m.Namespace + "/" + m.Name
}

// New hashes an object and stamps it with the hash and the generation of its
// app. The generation is not part of the hash, so that an edit which changes no
// object writes none. The object is changed in place.
func New(object map[string]any, generation int64) (Manifest, error) {
	content, err := json.Marshal(object)
	if err != nil {
		return Manifest{}, fmt.Errorf("encoding object: %w", err)
	}
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return Manifest{}, fmt.Errorf("object has no metadata")
	}
	annotations, ok := metadata["annotations"].(map[string]any)
	if !ok {
		annotations = map[string]any{}
		metadata["annotations"] = annotations
	}
	annotations[v1.AnnotationContentHash] = Hash(content)
	annotations[v1.AnnotationAppGeneration] = strconv.FormatInt(generation, 10)
	raw, err := json.Marshal(object)
	if err != nil {
		return Manifest{}, fmt.Errorf("encoding stamped object: %w", err)
	}
	return Parse(raw)
}

// Parse reads the identity of an object that New stamped. It fails for an
// object without kind, name or hash.
func Parse(raw []byte) (Manifest, error) {
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(raw, &object); err != nil {
		return Manifest{}, fmt.Errorf("decoding manifest: %w", err)
	}
	m := Manifest{
		GVK:       object.GroupVersionKind(),
		Namespace: object.Namespace,
		Name:      object.Name,
		Hash:      object.Annotations[v1.AnnotationContentHash],
		Raw:       raw,
	}
	if m.GVK.Kind == "" || m.Name == "" || m.Hash == "" {
		return Manifest{}, fmt.Errorf("manifest %s lacks its kind, name or content hash", m)
	}
	return m, nil
}

// SetHash is the hash of a list of manifests, in its order.
func SetHash(manifests []Manifest) string {
	h := sha256.New()
	for _, m := range manifests {
		h.Write([]byte(m.Hash))
	}
	return short(h.Sum(nil))
}

// Hash is the hash of some content: 16 hexadecimal digits of SHA-256.
func Hash(content []byte) string {
	sum := sha256.Sum256(content)
	return short(sum[:])
}

func short(sum []byte) string { return hex.EncodeToString(sum[:8]) }

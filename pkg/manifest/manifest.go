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
	"math"
	"strconv"
	"strings"

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
	// Raw is the object as JSON, stamped with the hash and the Stamp.
	Raw []byte
	// Partial is true if Raw lacks a part of the content that has the hash: it is
	// placed, and the hub no longer has it.
	Partial bool
}

// Stamp says how far the hub and the app were when an object was written. It is
// not part of an object's content: an edit that changes no object writes none.
type Stamp struct {
	// Epoch is the hub's epoch.
	Epoch int64
	// Generation and SpecHash are the MyApp's.
	Generation int64
	SpecHash   string
	// HubVersion is the resourceVersion of the MyApp.
	HubVersion string
}

func stampKeys() []string {
	return []string{v1.AnnotationAppGeneration, v1.AnnotationHubEpoch, v1.AnnotationAppSpecHash, v1.AnnotationHubVersion}
}

// MaxEpoch is the latest epoch that is believed: people release a hub after a
// restore, and nobody does that so often. A member can write anything, and the
// epoch after the latest that was seen must be a number.
const MaxEpoch = 1_000_000

// StampOf reads the stamp of an object on a member. What is missing, not readable
// or not plausible is zero: the object is older than anything.
func StampOf(annotations map[string]string) Stamp {
	return ReadStamp(func(key string) string { return annotations[key] })
}

// ReadStamp is StampOf of annotations that are kept in another form.
func ReadStamp(annotation func(key string) string) Stamp {
	return Stamp{
		Epoch:      number(annotation(v1.AnnotationHubEpoch), MaxEpoch),
		Generation: number(annotation(v1.AnnotationAppGeneration), math.MaxInt64),
		SpecHash:   annotation(v1.AnnotationAppSpecHash), HubVersion: annotation(v1.AnnotationHubVersion),
	}
}

// number is a count of at most most, zero if the text is none.
func number(text string, most int64) int64 {
	if text == "" {
		return 0 // and no error to be made
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > most {
		return 0
	}
	return n
}

// Newer is true when an object that carries stamp s was written by a hub that
// had got further than the one that stamps with ours. A spec of the same
// generation with another hash was written in another history, which counts as
// newer too.
func (s Stamp) Newer(ours Stamp) bool {
	switch {
	case s.Epoch != ours.Epoch:
		return s.Epoch > ours.Epoch
	case s.Generation != ours.Generation:
		return s.Generation > ours.Generation
	default:
		return s.SpecHash != ours.SpecHash && sameSchema(s.SpecHash, ours.SpecHash)
	}
}

// sameSchema is true for two hashes of specs, SCHEMA-HASH, that were made with the
// same schema.
func sameSchema(a, b string) bool {
	ofA, _, okA := strings.Cut(a, "-")
	ofB, _, okB := strings.Cut(b, "-")
	return okA && okB && ofA == ofB
}

// String names the object for a person: "Deployment shop/web".
func (m Manifest) String() string {
	return m.GVK.Kind + " " + m.Namespace + "/" + m.Name
}

// New hashes an object and stamps it. The object is changed in place.
func New(object map[string]any, stamp Stamp) (Manifest, error) {
	f, err := NewFrame(object, Member{})
	if err != nil {
		return Manifest{}, err
	}
	return f.For(Member{Name: f.member}, stamp), nil
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

// SetHash is the hash of a list of manifests, in its order. Of a Secret only the
// identity is in it: hashes of sets are shown to people who may not read Secrets.
func SetHash(manifests []Manifest) string {
	h := sha256.New()
	for _, m := range manifests {
		if m.IsSecret() {
			h.Write([]byte(m.String()))
			continue
		}
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

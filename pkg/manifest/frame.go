package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Frame is a manifest without what is not its content: the name of the member, the
// namespace if that is the member's, and the stamp. What is to be the same on many members is made once, and costs each of
// them a copy of its bytes. Frames are immutable.
type Frame struct {
	// like is the manifest but for its bytes.
	like Manifest
	// member is the name that the object came with.
	member string
	// homed is true if the namespace is that of the member.
	homed bool
	// parts are the bytes before, between and after the holes, in which the member
	// and the stamp go.
	parts [][]byte
	holes []string
}

// The holes of a frame.
const (
	holeMember     = "member"
	holeNamespace  = "namespace"
	holeGeneration = "generation"
	holeSpecHash   = "spec"
	holeEpoch      = "epoch"
	holeVersion    = "version"
)

// stampHoles are the annotations of a Stamp with their holes.
func stampHoles() map[string]string {
	return map[string]string{
		v1.AnnotationAppGeneration: holeGeneration, v1.AnnotationAppSpecHash: holeSpecHash,
		v1.AnnotationHubEpoch: holeEpoch, v1.AnnotationHubVersion: holeVersion,
	}
}

// NewFrame hashes the content of an object, which is changed in place. The label
// that names the member is not content, and neither is the namespace of a member to
// which all objects go: what is the same on all members has one hash.
func NewFrame(object map[string]any, member Member) (Frame, error) {
	metadata, ok := object["metadata"].(map[string]any)
	if !ok {
		return Frame{}, fmt.Errorf("object has no metadata")
	}
	f := Frame{like: identity(object, metadata)}
	if f.homed = member.Namespace != "" && f.like.Namespace == member.Namespace; f.homed {
		delete(metadata, "namespace")
	}
	labels, _ := metadata["labels"].(map[string]any)
	if f.member, ok = labels[v1.LabelMember].(string); ok {
		delete(labels, v1.LabelMember)
	}
	content, err := json.Marshal(object)
	if err != nil {
		return Frame{}, fmt.Errorf("encoding object: %w", err)
	}
	f.like.Hash = Hash(content)
	if f.like.GVK.Kind == "" || f.like.Name == "" {
		return Frame{}, fmt.Errorf("manifest %s lacks its kind or name", f.like)
	}
	annotations, ok := metadata["annotations"].(map[string]any)
	if !ok {
		annotations = map[string]any{}
		metadata["annotations"] = annotations
	}
	mark := unused(content)
	annotations[v1.AnnotationContentHash] = f.like.Hash
	for key, hole := range stampHoles() {
		annotations[key] = mark + hole
	}
	if f.member != "" {
		labels[v1.LabelMember] = mark + holeMember
	}
	if f.homed {
		metadata["namespace"] = mark + holeNamespace
	}
	raw, err := json.Marshal(object)
	if err != nil {
		return Frame{}, fmt.Errorf("encoding stamped object: %w", err)
	}
	f.cut(raw, mark)
	return f, nil
}

func identity(object, metadata map[string]any) Manifest {
	text := func(from map[string]any, key string) string {
		value, _ := from[key].(string)
		return value
	}
	return Manifest{
		GVK:       schema.FromAPIVersionAndKind(text(object, "apiVersion"), text(object, "kind")),
		Namespace: text(metadata, "namespace"), Name: text(metadata, "name"),
	}
}

// unused is a text that is not in the content.
func unused(content []byte) string {
	for n := 0; ; n++ {
		if mark := "hole-" + strconv.Itoa(n) + "-"; !bytes.Contains(content, []byte(mark)) {
			return mark
		}
	}
}

// cut takes the bytes apart at the marks.
func (f *Frame) cut(raw []byte, mark string) {
	for {
		before, after, found := bytes.Cut(raw, []byte(mark))
		f.parts = append(f.parts, bytes.Clone(before))
		if !found {
			return
		}
		end := bytes.IndexByte(after, '"')
		f.holes = append(f.holes, string(after[:end]))
		raw = after[end:]
	}
}

// Member is for whom a manifest is.
type Member struct {
	Name string
	// Namespace is where all objects of the member are; empty: in that of their app.
	Namespace string
}

// For is the manifest for a member.
func (f Frame) For(member Member, stamp Stamp) Manifest {
	m := f.like
	if f.homed {
		m.Namespace = member.Namespace
	}
	size := len(member.Name) + len(member.Namespace) + len(stamp.SpecHash) + len(stamp.HubVersion) + 2*len("1234567890")
	for _, part := range f.parts {
		size += len(part)
	}
	m.Raw = make([]byte, 0, size)
	for i, part := range f.parts {
		m.Raw = append(m.Raw, part...)
		if i == len(f.holes) {
			break
		}
		switch f.holes[i] {
		case holeMember:
			m.Raw = append(m.Raw, quotable(member.Name)...)
		case holeNamespace:
			m.Raw = append(m.Raw, quotable(member.Namespace)...)
		case holeGeneration:
			m.Raw = strconv.AppendInt(m.Raw, stamp.Generation, 10)
		case holeSpecHash:
			m.Raw = append(m.Raw, quotable(stamp.SpecHash)...)
		case holeEpoch:
			m.Raw = strconv.AppendInt(m.Raw, stamp.Epoch, 10)
		case holeVersion:
			m.Raw = append(m.Raw, quotable(stamp.HubVersion)...)
		}
	}
	return m
}

// quotable is a text as it is between the quotes of JSON.
func quotable(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r < '-' || r > 'z' || r == '\\' || r == '<' || r == '>' }) {
		return text
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return "" // a string can always be encoded
	}
	return string(quoted[1 : len(quoted)-1])
}

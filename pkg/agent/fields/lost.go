package fields

import (
	"fmt"
	"slices"
	"strings"
)

// Lost are the paths of the manifest that our tree does not cover, sorted. ours
// is what Ours returns; if it is "", all is lost. Identity, status and what the
// API server itself writes in metadata are never counted: no tree has them.
// It fails if the manifest or the tree is not a JSON object.
func Lost(manifest []byte, ours string) ([]Path, error) {
	object, err := decodeObject(manifest)
	if err != nil {
		return nil, fmt.Errorf("decoding manifest: %w", err)
	}
	root, err := parse(ours)
	if err != nil {
		return nil, err
	}
	s := search{at: make([]step, 0, 16)}
	for field, value := range object {
		switch field {
		case "apiVersion", "kind", "status":
		case "metadata":
			s.metadata(value, root.child("f:metadata"))
		default:
			s.field(field, value, root, false)
		}
	}
	slices.SortFunc(s.lost, func(a, b Path) int { return strings.Compare(a.text, b.text) })
	return s.lost, nil
}

// search is a walk through manifest and tree.
type search struct {
	at   []step
	lost []Path
}

// metadata leaves out what the API server strips from every tree.
func (s *search) metadata(value any, n tree) {
	metadata, _ := value.(map[string]any)
	s.at = append(s.at, step{field: "metadata"})
	for field, value := range metadata {
		switch field {
		case "name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields":
		default:
			s.field(field, value, n, false)
		}
	}
	s.at = s.at[:len(s.at)-1]
}

func (s *search) field(field string, value any, parent tree, elementLost bool) {
	s.at = append(s.at, step{field: field})
	s.value(value, parent.child("f:"+field), elementLost)
	s.at = s.at[:len(s.at)-1]
}

// value looks for what is lost of a value whose node is n. elementLost is true
// inside an element of a list that the tree does not have.
func (s *search) value(value any, n tree, elementLost bool) {
	if n.whole() {
		return
	}
	switch value := value.(type) {
	case map[string]any:
		for field, value := range value {
			s.field(field, value, n, elementLost)
		}
		s.empty(len(value), n, elementLost)
	case []any:
		s.list(value, n, elementLost)
		s.empty(len(value), n, elementLost)
	case nil:
		s.empty(0, n, elementLost)
	default:
		if !n.itself() {
			s.found(elementLost)
		}
	}
}

func (s *search) empty(length int, n tree, elementLost bool) {
	if length == 0 && n == nil && elementLost {
		s.found(elementLost)
	}
}

func (s *search) list(items []any, n tree, elementLost bool) {
	if n == nil && !named(items) {
		if len(items) > 0 {
			s.found(elementLost)
		}
		return
	}
	for i, m := range n.match(items, 0) {
		s.at = append(s.at, step{element: &element{index: i, item: items[i], key: m.key, others: m.others, set: m.set}})
		item, isMap := items[i].(map[string]any)
		if isMap && m.node != nil && !m.node.whole() {
			s.element(item, m)
		} else {
			s.value(items[i], m.node, elementLost || m.node == nil)
		}
		s.at = s.at[:len(s.at)-1]
	}
}

// element leaves out the key fields: the tree has them by having the element.
func (s *search) element(item map[string]any, m match) {
	for field, value := range item {
		if _, isKey := m.key[field]; !isKey {
			s.field(field, value, m.node, false)
		}
	}
}

// named is true if all elements of a list have a name.
func named(items []any) bool {
	return !slices.ContainsFunc(items, func(item any) bool { return name(item) == "" })
}

func (s *search) found(elementLost bool) {
	p := pathOf(s.at)
	p.elementLost = elementLost
	s.lost = append(s.lost, p)
}

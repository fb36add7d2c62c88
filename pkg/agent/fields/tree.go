package fields

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// tree is a node of FieldsV1. nil is a path that the tree does not have.
type tree map[string]any

// parse reads FieldsV1; "" is a tree without paths.
func parse(fieldsV1 string) (tree, error) {
	if fieldsV1 == "" {
		return nil, nil
	}
	// There are no numbers in a tree, which makes this the cheaper way.
	var object map[string]any
	if err := json.Unmarshal([]byte(fieldsV1), &object); err != nil {
		return nil, fmt.Errorf("decoding managed fields: %w", err)
	}
	if len(object) == 0 {
		return nil, nil
	}
	return object, nil
}

// whole is true if the node has nothing below it: all that is below the path in
// a manifest belongs to whoever has the path.
func (n tree) whole() bool {
	_, itself := n["."]
	return n != nil && (len(n) == 0 || itself && len(n) == 1)
}

// itself is true if the node's own path is in the tree, not only paths below.
func (n tree) itself() bool {
	_, ok := n["."]
	return ok || n.whole()
}

func (n tree) child(pathElement string) tree {
	child, ok := n[pathElement].(map[string]any)
	if !ok {
		return nil
	}
	return child
}

// match is what a tree has for an element of a list. Without a node it is what the
// tree tells of the list.
type match struct {
	node tree
	// at is the path element that leads to the node.
	at  string
	key map[string]any
	set bool
	// others are the keys of its like: elements that differ from it in key fields
	// that it leaves out.
	others []map[string]any
}

// match finds the elements of a list in the tree. first is the index of the first
// of them.
func (n tree) match(items []any, first int) []match {
	matches := make([]match, len(items))
	rest := false
	for i, item := range items {
		// Most lists have elements that are known by their name alone.
		if id := name(item); id != "" && plain(id) {
			at := `k:{"name":"` + id + `"}`
			if node := n.child(at); node != nil {
				matches[i] = match{node: node, at: at, key: map[string]any{"name": id}}
			}
		}
		rest = rest || matches[i].node == nil
	}
	if rest {
		n.matchRest(items, first, matches)
	}
	return matches
}

// plain is true if s is in JSON as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
			return false
		}
	}
	return true
}

func (n tree) matchRest(items []any, first int, matches []match) {
	candidates := n.candidates()
	for i, item := range items {
		if matches[i].node == nil {
			matches[i] = known(item, first+i, candidates)
		}
	}
	// An element that leaves out a key field means its default, which only the tree
	// knows: it is whichever candidate no element names wholly.
	for i, item := range items {
		m, ok := item.(map[string]any)
		if matches[i].node != nil || !ok {
			continue
		}
		for c := range candidates {
			candidate := &candidates[c]
			if agrees(candidate.key, m) != partly {
				continue
			}
			if !candidate.taken {
				candidate.taken = true
				matches[i] = match{node: candidate.node, at: candidate.at, key: candidate.key}
				break
			}
			matches[i].others = append(matches[i].others, candidate.key)
		}
	}
}

// known is the match of an item that says all of its key, or what is known of
// the list for one that has none.
func known(item any, index int, candidates []candidate) (found match) {
	m, isMap := item.(map[string]any)
	for c := range candidates {
		candidate := &candidates[c]
		switch candidate.kind {
		case 'v':
			found.set = true
			if equal(candidate.value, item) {
				return match{node: candidate.node, at: candidate.at, set: true}
			}
		case 'i':
			if candidate.index == index {
				return match{node: candidate.node, at: candidate.at}
			}
		case 'k':
			if isMap && agrees(candidate.key, m) == wholly {
				candidate.taken = true
				return match{node: candidate.node, at: candidate.at, key: candidate.key}
			}
			found.key = keyOf(m, candidate.key)
		}
	}
	return found
}

// keyOf are the values that an item has for the fields of a key.
func keyOf(item, like map[string]any) map[string]any {
	key := map[string]any{}
	for field := range like {
		if value := item[field]; value != nil {
			key[field] = value
		}
	}
	return key
}

// candidate is a child of a list's node.
type candidate struct {
	at    string
	kind  byte
	key   map[string]any
	value any
	index int
	node  tree
	taken bool
}

// candidates are in an order that depends on nothing but the tree. What cannot
// be read is left out: a later version of FieldsV1 may know more.
func (n tree) candidates() []candidate {
	candidates := make([]candidate, 0, len(n))
	for _, pathElement := range slices.Sorted(maps.Keys(n)) {
		if len(pathElement) < 2 || pathElement[1] != ':' || n.child(pathElement) == nil {
			continue
		}
		c := candidate{at: pathElement, kind: pathElement[0], node: n.child(pathElement)}
		var err error
		switch content := pathElement[2:]; c.kind {
		case 'k':
			c.key, err = decodeObject([]byte(content))
		case 'v':
			c.value, err = decode([]byte(content))
		case 'i':
			c.index, err = strconv.Atoi(content)
		default:
			continue
		}
		if err == nil {
			candidates = append(candidates, c)
		}
	}
	return candidates
}

type agreement int

const (
	not agreement = iota
	partly
	wholly
)

// agrees compares an item with a key. It agrees partly if it leaves out some of
// the key's fields and the others are equal.
func agrees(key, item map[string]any) agreement {
	same, missing := 0, 0
	for field, want := range key {
		switch got := item[field]; {
		case got == nil:
			missing++
		case equal(want, got):
			same++
		default:
			return not
		}
	}
	switch {
	case same == 0:
		return not
	case missing > 0:
		return partly
	}
	return wholly
}

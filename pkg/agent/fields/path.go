package fields

import (
	"slices"
	"strconv"
	"strings"
)

// Path is the place of a value in a manifest. It belongs to the manifest that it
// was found in. The zero Path is the whole object.
type Path struct {
	steps []step
	text  string
	// elementLost is true below an element of a list that the tree does not have.
	elementLost bool
}

// ElementLost is true for a lost path below an element of a list of which nothing
// is ours: it is new in the manifest, or somebody has taken it out.
func (p Path) ElementLost() bool { return p.elementLost }

// step leads from a map to a field, or from a list to an element.
type step struct {
	field   string
	element *element
}

// element is an element of a list, known by all that may be used to find it
// elsewhere.
type element struct {
	// index and item are the element in the manifest.
	index int
	item  any
	// key are its key fields with their defaults, if a tree tells them.
	key map[string]any
	// others are keys of elements that are not this one.
	others []map[string]any
	// set is true if the list is a set.
	set bool
}

func pathOf(steps []step) Path {
	var text strings.Builder
	for _, s := range steps {
		text.WriteByte('/')
		text.WriteString(escape(s.String()))
	}
	return Path{steps: slices.Clone(steps), text: text.String()}
}

// String is the path as a JSON pointer (RFC 6901), in which an element of a list
// is named by its name, or else by its index in the manifest:
// /spec/template/spec/containers/web/image, /spec/ports/0/port.
func (p Path) String() string { return p.text }

func (s step) String() string {
	switch {
	case s.element == nil:
		return s.field
	case name(s.element.item) != "":
		return name(s.element.item)
	default:
		return strconv.Itoa(s.element.index)
	}
}

// is true if token names the step. An element is named by its index too.
func (s step) is(token string) bool {
	return token == s.String() || s.element != nil && token == strconv.Itoa(s.element.index)
}

// Covers is true if p is one of the ignored paths or below one. These are JSON
// pointers in which an element of a list is named by its name or by its index in
// the manifest. What does not begin with "/" covers nothing.
func Covers(ignored []string, p Path) bool {
	return slices.ContainsFunc(ignored, func(pointer string) bool { return covers(pointer, p.steps) })
}

func covers(pointer string, steps []step) bool {
	rest, more := strings.CutPrefix(pointer, "/")
	if !more {
		return false
	}
	for _, s := range steps {
		var token string
		if token, rest, more = strings.Cut(rest, "/"); !s.is(unescape(token)) {
			return false
		}
		if !more {
			return true
		}
	}
	return false
}

// escape and unescape are those of RFC 6901: the order of unescaping matters.
func escape(token string) string {
	if !strings.ContainsAny(token, "~/") {
		return token
	}
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}

func unescape(token string) string {
	if !strings.Contains(token, "~") {
		return token
	}
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
}

// name is the name of an element of a list, "" if it has none.
func name(item any) string {
	m, _ := item.(map[string]any)
	name, _ := m["name"].(string)
	return name
}

// in is the index of the element in a list of the manifest, -1 if the list is
// another one.
func (e *element) in(list []any) int {
	if e.index >= len(list) || name(list[e.index]) != name(e.item) {
		return -1
	}
	return e.index
}

// find is the index of the element in a list of an object as the API server
// shows it, -1 if it is not there.
func (e *element) find(list []any) int {
	byKey := func(key map[string]any) int {
		return slices.IndexFunc(list, func(item any) bool {
			m, ok := item.(map[string]any)
			isOther := func(other map[string]any) bool { return agrees(other, m) == wholly }
			return ok && agrees(key, m) == wholly && !slices.ContainsFunc(e.others, isOther)
		})
	}
	switch {
	case e.set:
		return slices.IndexFunc(list, func(item any) bool { return equal(e.item, item) })
	case len(e.key) > 0:
		return byKey(e.key)
	case name(e.item) != "":
		return byKey(map[string]any{"name": name(e.item)})
	case e.index < len(list):
		return e.index
	}
	return -1
}

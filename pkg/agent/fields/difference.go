package fields

import "unicode/utf8"

// Difference is a path with what the manifest wants there and what the cluster
// has.
type Difference struct {
	Path Path
	// Wanted and Found are JSON, cut to 100 characters; "(none)" is no value and
	// "(hidden)" the value of a Secret.
	Wanted, Found string
	// Same is true if both have the same value: it was changed and changed back.
	Same bool
}

const (
	none       = "(none)"
	hidden     = "(hidden)"
	characters = 100
)

// Differences are the paths of the manifest with their values in it and in the
// live object. An element of a list is found in the live object by its key
// fields, or else by its index. What cannot be read has no value. The values of
// a Secret are never shown.
func Differences(manifest []byte, live map[string]any, paths []Path) []Difference {
	object, _ := decodeObject(manifest)
	secret := object["kind"] == "Secret" || live["kind"] == "Secret"
	differences := make([]Difference, 0, len(paths))
	for _, p := range paths {
		wanted, wants := at(object, p, (*element).in)
		found, finds := at(live, p, (*element).find)
		d := Difference{Path: p, Wanted: hidden, Found: hidden, Same: wants && finds && equal(wanted, found)}
		if !secret {
			d.Wanted, d.Found = text(wanted, wants), text(found, finds)
		}
		differences = append(differences, d)
	}
	return differences
}

// at is the value at a path. find finds an element in a list.
func at(object map[string]any, p Path, find func(*element, []any) int) (any, bool) {
	value := any(object)
	for _, s := range p.steps {
		if s.element == nil {
			m, _ := value.(map[string]any)
			child, ok := m[s.field]
			if !ok {
				return nil, false
			}
			value = child
			continue
		}
		list, _ := value.([]any)
		i := find(s.element, list)
		if i < 0 {
			return nil, false
		}
		value = list[i]
	}
	return value, true
}

func text(value any, ok bool) string {
	if !ok {
		return none
	}
	raw, err := encode(value)
	if err != nil {
		return none
	}
	if utf8.RuneCount(raw) <= characters {
		return string(raw)
	}
	return string([]rune(string(raw))[:characters-1]) + "…"
}

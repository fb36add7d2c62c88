package fields

import "fmt"

// Remove is the manifest without the given paths of it. A map or list that
// becomes empty by that is removed too; one that was empty stays, and so do the
// key fields of an element that loses only others. It fails if the manifest is
// not a JSON object.
func Remove(manifest []byte, paths []Path) ([]byte, error) {
	if len(paths) == 0 {
		return manifest, nil
	}
	object, err := decodeObject(manifest)
	if err != nil {
		return nil, fmt.Errorf("decoding manifest: %w", err)
	}
	var all cut
	for _, p := range paths {
		all.add(p.steps)
	}
	rest, keep := all.from(object)
	if !keep {
		rest = map[string]any{}
	}
	return encode(rest)
}

// cut says what is removed of a value: all of it, or something below.
type cut struct {
	all      bool
	fields   map[string]*cut
	elements map[int]*below
}

// below is a cut of an element of a list.
type below struct {
	cut
	element *element
}

func (c *cut) add(steps []step) {
	if len(steps) == 0 {
		c.all = true
		return
	}
	if e := steps[0].element; e != nil {
		if c.elements == nil {
			c.elements = map[int]*below{}
		}
		if c.elements[e.index] == nil {
			c.elements[e.index] = &below{element: e}
		}
		c.elements[e.index].add(steps[1:])
		return
	}
	field := steps[0].field
	if c.fields == nil {
		c.fields = map[string]*cut{}
	}
	if c.fields[field] == nil {
		c.fields[field] = &cut{}
	}
	c.fields[field].add(steps[1:])
}

// from is what remains of a value, and whether anything does. It changes maps in
// place.
func (c *cut) from(value any) (rest any, keep bool) {
	if c.all {
		return nil, false
	}
	switch value := value.(type) {
	case map[string]any:
		before := len(value)
		for field, c := range c.fields {
			child, ok := value[field]
			if !ok {
				continue
			}
			if value[field], ok = c.from(child); !ok {
				delete(value, field)
			}
		}
		return value, len(value) > 0 || before == 0
	case []any:
		var kept []any
		for i, item := range value {
			if c := c.elements[i]; c != nil && c.element.in(value) == i {
				var ok bool
				if item, ok = c.from(item); !ok {
					continue
				}
			}
			kept = append(kept, item)
		}
		if len(kept) == 0 {
			return value, len(value) == 0
		}
		return kept, true
	}
	return value, true
}

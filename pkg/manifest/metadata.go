package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// WithMetadata is the object as JSON with one more field in its metadata; the
// manifest itself stays as it is. All other bytes are those of Raw: they are what
// was hashed, and decoding could change them. It fails if the metadata has the
// field already.
func (m Manifest) WithMetadata(field, value string) ([]byte, error) {
	at, empty, err := m.insertionPoint(field)
	if err != nil {
		return nil, fmt.Errorf("adding metadata.%s to %s: %w", field, m, err)
	}
	member, err := json.Marshal(map[string]string{field: value})
	if err != nil {
		return nil, fmt.Errorf("adding metadata.%s to %s: %w", field, m, err)
	}
	member = member[1 : len(member)-1] // without the braces
	raw := make([]byte, 0, len(m.Raw)+len(member)+1)
	raw = append(raw, m.Raw[:at]...)
	raw = append(raw, member...)
	if !empty {
		raw = append(raw, ',')
	}
	return append(raw, m.Raw[at:]...), nil
}

// insertionPoint is the offset after the opening brace of the object's own
// metadata, and whether nothing is between the braces. Any value below may have a
// field called metadata, such as a pod template; only the top level counts.
func (m Manifest) insertionPoint(field string) (at int64, empty bool, err error) {
	decoder := json.NewDecoder(bytes.NewReader(m.Raw))
	if err := open(decoder); err != nil {
		return 0, false, err
	}
	found := false
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return 0, false, err
		}
		if key != "metadata" {
			if err := skip(decoder); err != nil {
				return 0, false, err
			}
			continue
		}
		if found {
			return 0, false, fmt.Errorf("it has metadata twice")
		}
		found = true
		if err := open(decoder); err != nil {
			return 0, false, fmt.Errorf("metadata: %w", err)
		}
		at, empty = decoder.InputOffset(), !decoder.More()
		if err := scan(decoder, field); err != nil {
			return 0, false, err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return 0, false, err
	}
	if !found {
		return 0, false, fmt.Errorf("it has no metadata")
	}
	return at, empty, nil
}

// open reads the brace at the beginning of an object.
func open(decoder *json.Decoder) error {
	token, err := decoder.Token()
	if err == nil && token != json.Delim('{') {
		err = fmt.Errorf("it is not an object")
	}
	return err
}

// scan reads an object to its end and fails if it has the field.
func scan(decoder *json.Decoder, field string) error {
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return err
		}
		if key == field {
			return fmt.Errorf("it has that field already")
		}
		if err := skip(decoder); err != nil {
			return err
		}
	}
	_, err := decoder.Token()
	return err
}

// skip reads one value.
func skip(decoder *json.Decoder) error {
	var value json.RawMessage
	return decoder.Decode(&value)
}

package fields

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// decode reads one JSON value and keeps numbers as they are written: an int64
// does not fit a float64.
func decode(raw []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(raw[decoder.InputOffset():])) > 0 {
		return nil, errors.New("more than one JSON value")
	}
	return value, nil
}

func decodeObject(raw []byte) (map[string]any, error) {
	value, err := decode(raw)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%T is not a JSON object", value)
	}
	return object, nil
}

// encode is JSON on one line, without the escapes that are for HTML.
func encode(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// equal compares JSON values. Numbers are equal if they are the same number,
// whatever they were decoded to; the number 80 is not the string "80".
func equal(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case bool:
		b, ok := b.(bool)
		return ok && a == b
	case string:
		b, ok := b.(string)
		return ok && a == b
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, equal)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	}
	x, ok := number(a)
	y, also := number(b)
	if !ok || !also {
		return false
	}
	if x == y {
		return true
	}
	// Other ways to write one number: 1.0 and 1e0. Two different integers are
	// not compared as floats, which do not tell them apart.
	if _, err := strconv.ParseInt(x, 10, 64); err == nil {
		if _, err := strconv.ParseInt(y, 10, 64); err == nil {
			return false
		}
	}
	f, err := strconv.ParseFloat(x, 64)
	g, also2 := strconv.ParseFloat(y, 64)
	return err == nil && also2 == nil && f == g
}

// number is the text of a number as encoding/json and apimachinery decode it.
func number(value any) (string, bool) {
	switch value := value.(type) {
	case json.Number:
		return value.String(), true
	case int64:
		return strconv.FormatInt(value, 10), true
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 64), true
	}
	return "", false
}

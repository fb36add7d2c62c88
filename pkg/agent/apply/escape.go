package apply

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// escaped is the JSON with escapes for what YAML, as which an API server reads an
// apply, has no place for in a text. YAML refuses most control characters, and
// takes U+0085 for the end of a line, which it folds into a space. JSON has them
// only inside of strings, where an escape means the same.
func escaped(raw []byte) []byte {
	if !bytes.ContainsFunc(raw, unprintable) {
		return raw
	}
	out := make([]byte, 0, len(raw)+64)
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		if unprintable(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, raw[:size]...)
		}
		raw = raw[size:]
	}
	return out
}

// unprintable is what YAML 1.1 does not allow as it is, or takes for the end of a
// line.
func unprintable(r rune) bool {
	switch r {
	case 0x2028, 0x2029, 0xfeff, 0xfffe, 0xffff:
		return true
	}
	return r >= 0x7f && r <= 0x9f
}

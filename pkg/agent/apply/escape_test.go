package apply

import (
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestEscapedSurvivesYAML: what is sent says the same to a reader of YAML as to a
// reader of JSON, whatever characters are in it.
func TestEscapedSurvivesYAML(t *testing.T) {
	var runes []rune
	for _, block := range [][2]rune{{0, 0x2ff}, {0x2000, 0x20ff}, {0xfd00, 0x1000f}, {0x1f600, 0x1f60f}} {
		for r := block[0]; r <= block[1]; r++ {
			runes = append(runes, r)
		}
	}
	for _, r := range runes {
		text := string(r) + "a" + string(r) + "b"
		raw, err := json.Marshal(map[string]string{"text": text, text: "key"})
		if err != nil {
			t.Fatal(err)
		}
		var fromJSON, fromYAML map[string]string
		if err := json.Unmarshal(raw, &fromJSON); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(escaped(raw), &fromYAML); err != nil {
			t.Errorf("%U: %v", r, err)
		} else if fromYAML["text"] != fromJSON["text"] || fromYAML[fromJSON["text"]] != "key" {
			t.Errorf("%U: YAML has %q, JSON %q", r, fromYAML, fromJSON)
		}
	}
}

func TestEscapedLeavesTheRestAlone(t *testing.T) {
	plain := []byte(`{"a":"ü 漢 🚀 \u2028 \u0001 \" \\u0085"}`)
	if got := escaped(plain); &got[0] != &plain[0] {
		t.Errorf("it was copied: %s", got)
	}
	if got, want := string(escaped([]byte("{\"\u0085\":\"ü\u007f\"}"))), `{"\u0085":"ü\u007f"}`; got != want {
		t.Errorf("got %s, want %s", got, strings.ToLower(want))
	}
}

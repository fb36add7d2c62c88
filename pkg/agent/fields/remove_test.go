package fields

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRemove(t *testing.T) {
	for _, tt := range []struct {
		reason, manifest, tree string
		want                   string
	}{
		{"nothing is lost: it stays as it is written", `{ "a": 1 }`, `{"f:a":{}}`, `{ "a": 1 }`},
		{"a value", `{"a":1,"b":2}`, `{"f:a":{}}`, `{"a":1}`},
		{"a map that becomes empty goes too", `{"a":1,"m":{"n":{"b":2}}}`, `{"f:a":{}}`, `{"a":1}`},
		{"a map that was empty stays", `{"a":1,"m":{"n":{},"b":2}}`, `{"f:a":{}}`, `{"a":1,"m":{"n":{}}}`},
		{
			"an element keeps its key fields", `{"l":[{"name":"a","v":1}]}`,
			`{"f:l":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}}}}`, `{"l":[{"name":"a"}]}`,
		},
		{
			"an element goes as a whole, with what is empty in it", `{"l":[{"name":"a","e":{}},{"name":"b"}]}`,
			`{"f:l":{"k:{\"name\":\"b\"}":{".":{},"f:name":{}}}}`, `{"l":[{"name":"b"}]}`,
		},
		{"an atomic list goes as a whole", `{"a":1,"l":[{"x":1,"e":{}},{"x":2}]}`, `{"f:a":{}}`, `{"a":1}`},
		{"an element of a set", `{"s":["a","b"]}`, `{"f:s":{"v:\"b\"":{}}}`, `{"s":["b"]}`},
		{"identity stays", `{"kind":"K","metadata":{"name":"n","labels":{"a":"b"}}}`, "", `{"kind":"K","metadata":{"name":"n"}}`},
		{"all", `{"a":1}`, "", `{}`},
		{"numbers and characters stay as they are", `{"a":1,"n":9007199254740993,"s":"<&>"}`, `{"f:n":{},"f:s":{}}`, `{"n":9007199254740993,"s":"<&>"}`},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			got, err := Remove([]byte(tt.manifest), mustLost(t, tt.manifest, tt.tree))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A path of another manifest must not hit a neighbour.
func TestRemoveOfAnotherManifest(t *testing.T) {
	path := only(t, `{"l":[{"name":"a"}]}`)
	for _, manifest := range []string{`{"l":[{"name":"b"}]}`, `{"l":[]}`, `{"l":1}`, `{"m":1}`} {
		got, err := Remove([]byte(manifest), []Path{path})
		if err != nil || string(got) != manifest {
			t.Errorf("%s became %s (%v)", manifest, got, err)
		}
	}
	if _, err := Remove([]byte("["), []Path{path}); err == nil {
		t.Error("what is not JSON was changed")
	}
}

func TestDifferences(t *testing.T) {
	long := strings.Repeat("é", 200)
	const manifest = `{"kind":"Deployment","replicas":2,"url":"<a>","gone":1,"tags":["a","b"],"args":["x"],
		"ports":[{"port":80,"name":""}],"env":[{"name":"A","value":"1"},{"name":"B","value":"2"}]}`
	const ours = `{"f:tags":{"v:\"b\"":{}},"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}},
		"f:env":{"k:{\"name\":\"A\"}":{".":{},"f:name":{}}}}`
	live := map[string]any{
		"replicas": int64(5), "url": long, "tags": []any{"b", "c"}, "args": []any{"y", 1.5},
		"ports": []any{
			map[string]any{"port": int64(80), "protocol": "UDP", "name": "u"},
			map[string]any{"port": int64(80), "protocol": "TCP", "name": "t"},
		},
		"env": []any{map[string]any{"name": "X"}, map[string]any{"name": "A", "value": "9"}},
	}
	got := map[string][2]string{}
	for _, d := range Differences([]byte(manifest), live, mustLost(t, manifest, ours)) {
		got[d.Path.String()] = [2]string{d.Wanted, d.Found}
	}
	want := map[string][2]string{
		"/replicas":     {"2", "5"},
		"/url":          {`"<a>"`, `"` + strings.Repeat("é", 98) + "…"},
		"/gone":         {"1", "(none)"},
		"/tags/0":       {`"a"`, "(none)"},
		"/args":         {`["x"]`, `["y",1.5]`},
		"/ports/0/name": {`""`, `"t"`},
		"/env/A/value":  {`"1"`, `"9"`},
		"/env/B/name":   {`"B"`, "(none)"},
		"/env/B/value":  {`"2"`, "(none)"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The port without a protocol is gone: the other one is not shown in its place.
func TestDifferenceOfAnElementThatIsGone(t *testing.T) {
	const manifest = `{"ports":[{"port":53,"name":""},{"port":53,"protocol":"UDP"}]}`
	udp := map[string]any{"port": int64(53), "protocol": "UDP"}
	tcp := map[string]any{"port": int64(53), "protocol": "TCP"}
	lost := mustLost(t, manifest, `{"f:ports":{"k:{\"port\":53,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{}}}}`)
	for _, tt := range []struct {
		reason string
		live   []any
		want   string
	}{
		{"it is gone", []any{udp}, "(none)"},
		{"somebody else has made it again", []any{udp, tcp}, "53"},
	} {
		for _, d := range Differences([]byte(manifest), map[string]any{"ports": tt.live}, lost) {
			if d.Path.String() == "/ports/0/port" && d.Found != tt.want {
				t.Errorf("%s: found %s, want %s", tt.reason, d.Found, tt.want)
			}
		}
	}
	if got, want := len(lost), 2; got != want {
		t.Errorf("%d paths are lost, want %d: %v", got, want, lost)
	}
}

// Law 10: what is in a Secret is in no message.
func TestDifferencesHideSecrets(t *testing.T) {
	const manifest = `{"kind":"Secret","data":{"password":"aHVudGVyMg=="}}`
	live := map[string]any{"kind": "Secret", "data": map[string]any{"password": "c2VjcmV0"}}
	paths := mustLost(t, manifest, "")
	want := []Difference{{Path: paths[0], Wanted: "(hidden)", Found: "(hidden)"}}
	if diff := cmp.Diff(want, Differences([]byte(manifest), live, paths), cmp.Comparer(func(a, b Path) bool { return a.String() == b.String() })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	same, _ := decodeObject([]byte(manifest))
	if got := Differences([]byte(manifest), same, paths); !got[0].Same {
		t.Errorf("the value that is wanted is %+v", got)
	}
}

func TestEqual(t *testing.T) {
	for _, tt := range []struct {
		reason string
		a, b   any
		want   bool
	}{
		{"an integer as the API server decodes it", json.Number("8080"), int64(8080), true},
		{"a float that is an integer", json.Number("1"), float64(1), true},
		{"another way to write it", json.Number("1e0"), json.Number("1.0"), true},
		{"no number and its text", json.Number("80"), "80", false},
		{"big integers differ in their last digit", json.Number("9007199254740993"), int64(9007199254740992), false},
		{"deeply", map[string]any{"a": []any{nil, true}}, map[string]any{"a": []any{nil, true}}, true},
		{"and not", map[string]any{"a": []any{nil, true}}, map[string]any{"a": []any{nil, false}}, false},
		{"unknown types are not equal", struct{}{}, struct{}{}, false},
	} {
		for _, pair := range [][]any{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := equal(pair[0], pair[1]); got != tt.want {
				t.Errorf("%s: equal(%v, %v) = %v", tt.reason, pair[0], pair[1], got)
			}
		}
	}
}

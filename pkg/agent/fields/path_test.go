package fields

import "testing"

// only is the path to the one leaf of a manifest.
func only(t testing.TB, manifest string) Path {
	t.Helper()
	paths := mustLost(t, manifest, "")
	if len(paths) != 1 {
		t.Fatalf("%s has the paths %v, want one", manifest, paths)
	}
	return paths[0]
}

func TestCovers(t *testing.T) {
	image := mustLost(t, `{"spec":{"containers":[{"name":"log"},{"name":"web","image":"i"}]}}`,
		`{"f:spec":{"f:containers":{"k:{\"name\":\"log\"}":{},"k:{\"name\":\"web\"}":{".":{},"f:name":{}}}}}`)[0]
	if want := "/spec/containers/web/image"; image.String() != want {
		t.Fatalf("the path is %s, want %s", image, want)
	}
	port := mustLost(t, `{"ports":[{"port":80},{"port":81}]}`, `{"f:ports":{"k:{\"port\":80}":{}}}`)[0]
	escaped := only(t, `{"metadata":{"labels":{"example.com/~1":"x"}}}`)
	for _, tt := range []struct {
		reason  string
		ignored []string
		path    Path
		want    bool
	}{
		{"nothing is ignored", nil, image, false},
		{"the path itself", []string{"/spec/containers/web/image"}, image, true},
		{"by index", []string{"/spec/containers/1/image"}, image, true},
		{"by another index", []string{"/spec/containers/0/image"}, image, false},
		{"a prefix covers all below", []string{"/spec/containers"}, image, true},
		{"a prefix ends with a whole name", []string{"/spec/contain"}, image, false},
		{"an element and all of it", []string{"/spec/containers/web"}, image, true},
		{"one of several", []string{"/spec/replicas", "/spec/containers/web"}, image, true},
		{"what is below is not the path", []string{"/spec/containers/web/image/tag"}, image, false},
		{"a slash at the end is one more name", []string{"/spec/"}, image, false},
		{"no pointer", []string{"spec", ""}, image, false},
		{"an element without a name has its index", []string{"/ports/1"}, port, true},
		{"escaped", []string{"/metadata/labels/example.com~1~01"}, escaped, true},
		{"escapes are not undone twice", []string{"/metadata/labels/example.com~1~1"}, escaped, false},
		{"an index is of a list, not a field", []string{"/0"}, image, false},
	} {
		if got := Covers(tt.ignored, tt.path); got != tt.want {
			t.Errorf("%s: Covers(%q, %s) = %v", tt.reason, tt.ignored, tt.path, got)
		}
	}
}

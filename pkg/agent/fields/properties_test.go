package fields

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

// node is the tree that the API server makes of a value: lists of named elements
// are list maps, lists of ports are keyed with a default, other lists of maps are
// atomic, lists of values are sets. leaf is told of each leaf; to remove one
// removes the nodes that have no path any more, too.
func nodeOf(value any, at string, removeNode func(), leaf func(at string, remove func())) map[string]any {
	node := map[string]any{}
	add := func(pathElement, at string, value any) {
		remove := func() {
			if delete(node, pathElement); len(node) == 0 {
				removeNode()
			}
		}
		child := nodeOf(value, at, remove, leaf)
		node[pathElement] = child
		if len(child) == 0 {
			leaf(at, remove)
		}
	}
	switch value := value.(type) {
	case map[string]any:
		for field, v := range value {
			add("f:"+field, at+"/"+escape(field), v)
		}
	case []any:
		for i, item := range value {
			m, isMap := item.(map[string]any)
			index := fmt.Sprintf("%s/%d", at, i)
			switch {
			case !isMap:
				add("v:"+mustJSON(item), index, item)
				continue
			case m["name"] != nil:
				key := "k:" + mustJSON(map[string]any{"name": m["name"]})
				add(key, at+"/"+escape(m["name"].(string)), item)
				node[key].(map[string]any)["."] = map[string]any{}
			case m["port"] != nil:
				protocol := m["protocol"]
				if protocol == nil {
					protocol = "TCP"
				}
				key := "k:" + mustJSON(map[string]any{"port": m["port"], "protocol": protocol})
				add(key, index, item)
				node[key].(map[string]any)["."] = map[string]any{}
			default:
				return map[string]any{}
			}
		}
	}
	return node
}

func mustJSON(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// strip takes out what no tree has.
func strip(root map[string]any) {
	for _, field := range []string{"f:apiVersion", "f:kind"} {
		delete(root, field)
	}
	metadata, _ := root["f:metadata"].(map[string]any)
	for _, field := range []string{"f:name", "f:namespace"} {
		delete(metadata, field)
	}
	if len(metadata) == 0 {
		delete(root, "f:metadata")
	}
}

// treeOf is the tree of a manifest that was just applied.
func treeOf(t interface{ Fatal(...any) }, manifest string) string {
	object, err := decodeObject([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	root := nodeOf(object, "", func() {}, func(string, func()) {})
	strip(root)
	return mustJSON(root)
}

var (
	names   = rapid.SampledFrom([]string{"a", "b", "c/d", "e~f", `q"<é>`, "0"})
	scalars = rapid.SampledFrom([]any{"x", "", "<&>", int64(1), int64(9007199254740993), true, 1.5})
)

func genValue(depth int) *rapid.Generator[any] {
	if depth == 0 {
		return scalars
	}
	return rapid.Custom(func(t *rapid.T) any {
		below := genValue(depth - 1)
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return anyMap(rapid.MapOfN(names, below, 0, 3).Draw(t, "map"))
		case 1:
			var list []any
			for _, name := range rapid.SliceOfNDistinct(names, 0, 3, rapid.ID).Draw(t, "names") {
				item := anyMap(rapid.MapOfN(names, below, 0, 2).Draw(t, "item"))
				item["name"] = name
				list = append(list, item)
			}
			return list
		case 2:
			return slices.Clone(rapid.SampledFrom([][]any{
				{map[string]any{"port": int64(53)}},
				{map[string]any{"port": int64(53)}, map[string]any{"port": int64(53), "protocol": "UDP"}},
				{map[string]any{"port": int64(53), "protocol": "UDP"}, map[string]any{"port": int64(53)}},
				{map[string]any{"port": int64(80), "x": true}, map[string]any{"port": int64(53)}},
			}).Draw(t, "ports"))
		case 3:
			return rapid.SliceOfNDistinct(scalars, 0, 3, rapid.ID).Draw(t, "set")
		case 4:
			return []any{map[string]any{"atomic": below.Draw(t, "atomic"), "empty": map[string]any{}}}
		default:
			return scalars.Draw(t, "scalar")
		}
	})
}

func anyMap(m map[string]any) map[string]any {
	// name would make an element of what is a map.
	m = maps.Clone(m)
	delete(m, "name")
	return m
}

func genManifest(t *rapid.T) map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "K",
		"metadata": map[string]any{"name": "n", "labels": anyMap(rapid.MapOfN(names, scalars, 0, 2).Draw(t, "labels"))},
		"spec":     anyMap(rapid.MapOfN(names, genValue(4), 0, 4).Draw(t, "spec")),
	}
}

// What was just applied is all ours, and of a leaf that leaves the tree exactly
// that one is lost, unless it is empty.
func TestExactlyTheLeafIsLost(t *testing.T) {
	lost := 0
	rapid.Check(t, func(t *rapid.T) {
		object := genManifest(t)
		manifest := mustJSON(object)
		type leaf struct {
			at     string
			remove func()
		}
		var leaves []leaf
		root := nodeOf(object, "", func() {}, func(at string, remove func()) { leaves = append(leaves, leaf{at, remove}) })
		strip(root)
		if paths := mustLostRapid(t, manifest, root); len(paths) > 0 {
			t.Fatalf("just applied, %v is lost of %s with %s", texts(paths), manifest, mustJSON(root))
		}
		leaves = slices.DeleteFunc(leaves, func(l leaf) bool {
			return slices.Contains([]string{"apiVersion", "kind", "name", "port", "protocol"}, path.Base(l.at))
		})
		if len(leaves) == 0 {
			return
		}
		slices.SortFunc(leaves, func(a, b leaf) int { return strings.Compare(a.at, b.at) })
		gone := rapid.SampledFrom(leaves).Draw(t, "gone")
		gone.remove()
		paths := mustLostRapid(t, manifest, root)
		want := gone.at
		values := map[string]any{}
		valuesOf(object, "", values)
		switch list, _ := values[path.Dir(gone.at)].([]any); {
		case len(paths) == 0 && isEmpty(values[gone.at]):
			return
		case len(list) == 1:
			// The only element of a set takes the list with it.
			want = path.Dir(gone.at)
		}
		lost++
		if diff := cmp.Diff([]string{want}, texts(paths)); diff != "" {
			t.Fatalf("of %s with %s (-want +got):\n%s", manifest, mustJSON(root), diff)
		}
	})
	if lost == 0 {
		t.Error("nothing was ever lost: the test tests nothing")
	}
}

func isEmpty(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		return len(value) == 0
	case []any:
		return len(value) == 0
	}
	return false
}

// valuesOf are all values by their paths.
func valuesOf(value any, at string, into map[string]any) {
	into[at] = value
	switch value := value.(type) {
	case map[string]any:
		for field, v := range value {
			valuesOf(v, at+"/"+escape(field), into)
		}
	case []any:
		for i, v := range value {
			element := step{element: &element{index: i, item: v}}
			valuesOf(v, at+"/"+escape(element.String()), into)
		}
	}
}

// fillDefaults does what the API server does with the key fields of ports.
func fillDefaults(value any) {
	switch value := value.(type) {
	case map[string]any:
		if value["port"] != nil && value["protocol"] == nil {
			value["protocol"] = "TCP"
		}
		for _, v := range value {
			fillDefaults(v)
		}
	case []any:
		for _, v := range value {
			fillDefaults(v)
		}
	}
}

func mustLostRapid(t *rapid.T, manifest string, root map[string]any) []Path {
	paths, err := Lost([]byte(manifest), mustJSON(root))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// thin takes random parts out of a tree.
func thin(t *rapid.T, node map[string]any) {
	for _, pathElement := range slices.Sorted(maps.Keys(node)) {
		if rapid.IntRange(0, 3).Draw(t, pathElement) == 0 {
			delete(node, pathElement)
			continue
		}
		child := node[pathElement].(map[string]any)
		had := len(child) > 0
		thin(t, child)
		// No node is left without a path.
		if had && len(child) == 0 {
			delete(node, pathElement)
		}
	}
}

// Whatever is lost, the manifest without it is all ours: nothing that remains is
// taken from anybody.
func TestWithoutTheLostAllIsOurs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		object := genManifest(t)
		manifest := mustJSON(object)
		root := nodeOf(object, "", func() {}, func(string, func()) {})
		strip(root)
		thin(t, root)
		paths := mustLostRapid(t, manifest, root)
		rest, err := Remove([]byte(manifest), paths)
		if err != nil {
			t.Fatal(err)
		}
		if again := mustLostRapid(t, string(rest), root); len(again) > 0 {
			t.Fatalf("without %v, %v is lost of\n%s, from\n%s with\n%s", texts(paths), texts(again), rest, manifest, mustJSON(root))
		}
		if !slices.IsSorted(texts(paths)) {
			t.Fatalf("not sorted: %v", paths)
		}
		live, err := decodeObject([]byte(manifest))
		if err != nil {
			t.Fatal(err)
		}
		fillDefaults(live)
		for _, d := range Differences([]byte(manifest), live, paths) {
			same := d.Wanted == d.Found || strings.Contains(d.Wanted, `"port"`) // with defaults
			if d.Wanted == none || d.Found == none || !same {
				t.Fatalf("%s is %s and was found as %s in the object itself", d.Path, d.Wanted, d.Found)
			}
		}
		whole := nodeOf(object, "", func() {}, func(string, func()) {})
		for _, p := range paths {
			entries := []metav1.ManagedFieldsEntry{entry("other", metav1.ManagedFieldsOperationUpdate, "", mustJSON(whole))}
			if diff := cmp.Diff([]string{"other"}, Owners(entries, "self", p)); diff != "" {
				t.Fatalf("owner of %s (-want +got):\n%s", p, diff)
			}
		}
	})
}

// The same question has the same answer: order in maps is chance.
func TestLostIsDeterministic(t *testing.T) {
	tree := treeOf(t, deployment)
	first := texts(mustLost(t, deployment, tree[:len(tree)-1]+`,"f:x":{}}`))
	for range 20 {
		if diff := cmp.Diff(first, texts(mustLost(t, deployment, tree[:len(tree)-1]+`,"f:x":{}}`))); diff != "" {
			t.Fatalf("-first +later:\n%s", diff)
		}
	}
}

func FuzzLost(f *testing.F) {
	f.Add(pod, treeOf(f, deployment))
	f.Add(deployment, treeOf(f, deployment))
	f.Add(`{"l":[null,[],[[1]],{"name":1},{"name":"a"}],"metadata":1}`, `{"f:l":{"k:":{},"k:1":{},"v:":{},"i:x":{},"i:-1":{},"k:{}":{".":1},":":{},"":{}}}`)
	f.Add(`{"l":[{"a":null}],"metadata":{"labels":[]}}`, `{"f:l":{"k:{\"a\":null}":{"f:a":[]}},"f:metadata":{"f:labels":null}}`)
	// Pieces of trees under manifests that they are not of.
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		tree := treeOf(f, deployment)
		f.Add(deployment, tree[:random.IntN(len(tree))])
	}
	f.Fuzz(func(t *testing.T, manifest, tree string) {
		paths, err := Lost([]byte(manifest), tree)
		if err != nil {
			return
		}
		rest, err := Remove([]byte(manifest), paths)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Lost(rest, tree); err != nil {
			t.Fatal(err)
		}
		live, _ := decodeObject([]byte(tree))
		if got := Differences([]byte(manifest), live, paths); len(got) != len(paths) {
			t.Fatalf("%d differences of %d paths", len(got), len(paths))
		}
		for _, p := range paths {
			if !Covers([]string{p.String()}, p) {
				t.Errorf("%q does not cover itself", p)
			}
			Owners([]metav1.ManagedFieldsEntry{entry("m", metav1.ManagedFieldsOperationUpdate, "", tree)}, "", p)
		}
	})
}

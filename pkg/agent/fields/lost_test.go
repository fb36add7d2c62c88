package fields

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func texts(paths []Path) []string {
	texts := []string{}
	for _, p := range paths {
		texts = append(texts, p.String())
	}
	return texts
}

func mustLost(t testing.TB, manifest, tree string) []Path {
	t.Helper()
	paths, err := Lost([]byte(manifest), tree)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// pod is what of a Deployment is written in most of the ways that there are.
const pod = `{"spec":{
	"containers":[
		{"name":"web","image":"web:1","args":["-v","2"],"resources":{},
		 "ports":[{"containerPort":53},{"containerPort":53,"protocol":"UDP"}],
		 "env":[{"name":"A","value":"1"},{"name":"B","value":"2"}]},
		{"name":"log","image":"log:1"}],
	"volumes":[{"name":"tmp","emptyDir":{}}]}}`

func TestLost(t *testing.T) {
	const (
		tcp     = `"k:{\"containerPort\":53,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}`
		udp     = `"k:{\"containerPort\":53,\"protocol\":\"UDP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}`
		ports   = `"f:ports":{` + tcp + `,` + udp + `}`
		env     = `"f:env":{"k:{\"name\":\"A\"}":{".":{},"f:name":{},"f:value":{}},"k:{\"name\":\"B\"}":{".":{},"f:name":{},"f:value":{}}}`
		web     = `"k:{\"name\":\"web\"}":{".":{},"f:name":{},"f:image":{},"f:args":{},"f:resources":{},` + ports + `,` + env + `}`
		log     = `"k:{\"name\":\"log\"}":{".":{},"f:name":{},"f:image":{}}`
		volumes = `"f:volumes":{"k:{\"name\":\"tmp\"}":{".":{},"f:emptyDir":{},"f:name":{}}}`
	)
	spec := func(containers, volumes string) string {
		return `{"f:spec":{"f:containers":{` + containers + `},` + volumes + `}}`
	}
	for _, tt := range []struct {
		reason, manifest, tree string
		want                   []string
	}{
		{"all is covered", pod, spec(web+","+log, volumes), nil},
		{
			"a value that somebody changed has left the tree",
			pod, spec(web+`,"k:{\"name\":\"log\"}":{".":{},"f:name":{}}`, volumes),
			[]string{"/spec/containers/log/image"},
		},
		{
			"an atomic list that was changed is one path: no element of it is ours",
			pod, spec(`"k:{\"name\":\"web\"}":{".":{},"f:name":{},"f:image":{},`+ports+`,`+env+`},`+log, volumes),
			[]string{"/spec/containers/web/args"},
		},
		{
			"an element that is gone is lost with its empty maps: in it they mean something",
			pod, `{"f:spec":{"f:containers":{` + web + `,` + log + `}}}`,
			[]string{"/spec/volumes/tmp/emptyDir", "/spec/volumes/tmp/name"},
		},
		{
			"the port that leaves its protocol out is the one that no other port names",
			`{"ports":[{"containerPort":53},{"containerPort":53,"protocol":"UDP"}]}`, `{"f:ports":{` + udp + `}}`,
			[]string{"/ports/0/containerPort"},
		},
		{
			"and the one that names it stays its own",
			`{"ports":[{"containerPort":53},{"containerPort":53,"protocol":"UDP"}]}`, `{"f:ports":{` + tcp + `}}`,
			[]string{"/ports/1/containerPort", "/ports/1/protocol"},
		},
		{
			"a key field without a default is missing from the tree too",
			`{"l":[{"a":1,"x":1}]}`, `{"f:l":{"k:{\"a\":1}":{".":{},"f:a":{},"f:x":{}}}}`, nil,
		},
		{
			"an element that has none of the key fields is not the one of the tree",
			`{"l":[{"x":1}]}`, `{"f:l":{"k:{\"a\":1}":{".":{},"f:a":{},"f:x":{}}}}`,
			[]string{"/l/0/x"},
		},
		{
			"names with quotes and HTML are found, however they are escaped",
			`{"l":[{"name":"<\"é\">"}]}`, `{"f:l":{"k:{\"name\":\"\\u003c\\\"é\\\"\\u003e\"}":{".":{},"f:name":{}}}}`, nil,
		},
		{
			"numbers of keys are compared as numbers, and 1 is not \"1\"",
			`{"l":[{"p":1.0},{"p":"1"}]}`, `{"f:l":{"k:{\"p\":1}":{".":{},"f:p":{}}}}`,
			[]string{"/l/1/p"},
		},
		{
			"integers that are one float64 are two keys",
			`{"l":[{"p":9007199254740993}]}`, `{"f:l":{"k:{\"p\":9007199254740992}":{".":{},"f:p":{}}}}`,
			[]string{"/l/0/p"},
		},
		{"an element of a set is its value", `{"s":["a",2,true]}`, `{"f:s":{"v:\"a\"":{},"v:2":{},"v:true":{}}}`, nil},
		{"of a set the others remain", `{"s":["a","b"]}`, `{"f:s":{"v:\"b\"":{}}}`, []string{"/s/0"}},
		{"elements by index", `{"l":["a","b"]}`, `{"f:l":{"i:0":{}}}`, []string{"/l/1"}},
		{"an atomic map is covered with all that is in it", `{"m":{"a":{"b":[1]}}}`, `{"f:m":{}}`, nil},
		{"a node that is only itself is atomic too", `{"m":{"a":1}}`, `{"f:m":{".":{}}}`, nil},
		{"a map's own path does not cover its fields", `{"m":{"a":1,"b":2}}`, `{"f:m":{".":{},"f:a":{}}}`, []string{"/m/b"}},
		{"the API server drops what is empty", `{"m":{},"l":[],"n":null,"s":{"r":{}}}`, `{"f:x":{}}`, nil},
		{
			"identity, status and what the API server writes are in no tree",
			`{"apiVersion":"v1","kind":"K","status":{"a":1},"metadata":{"name":"n","namespace":"s","uid":"u",
			  "resourceVersion":"1","generation":1,"creationTimestamp":"2026-01-01T00:00:00Z","selfLink":"/","managedFields":[{"manager":"m"}]}}`, "", nil,
		},
		{"labels and annotations count", `{"metadata":{"labels":{"app.kubernetes.io/name":"a~b"}}}`, "", []string{"/metadata/labels/app.kubernetes.io~1name"}},
		{
			"without a tree all is lost",
			pod, "",
			[]string{
				"/spec/containers/log/image", "/spec/containers/log/name", "/spec/containers/web/args",
				"/spec/containers/web/env/A/name", "/spec/containers/web/env/A/value", "/spec/containers/web/env/B/name",
				"/spec/containers/web/env/B/value", "/spec/containers/web/image", "/spec/containers/web/name",
				"/spec/containers/web/ports", "/spec/containers/web/resources", "/spec/volumes/tmp/emptyDir", "/spec/volumes/tmp/name",
			},
		},
		{"an empty tree is none", `{"a":1}`, "{}", []string{"/a"}},
		{"what a later FieldsV1 may have is passed over", `{"l":[1],"a":1}`, `{"f:l":{"z:1":{},"v:1":{}},"y:a":{},"f:a":{}}`, nil},
		{"a node that is no object is none", `{"a":1}`, `{"f:a":true}`, []string{"/a"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			if tt.want == nil {
				tt.want = []string{}
			}
			if diff := cmp.Diff(tt.want, texts(mustLost(t, tt.manifest, tt.tree))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A field of an element that we have is lost to somebody; one of an element that
// we have nothing of is new, or gone with it.
func TestElementLost(t *testing.T) {
	const tree = `{"f:ports":{"k:{\"port\":53,\"protocol\":\"UDP\"}":{".":{},"f:port":{},"f:protocol":{}}},
		"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:name":{}}}}`
	manifest := `{"ports":[{"port":53,"protocol":"TCP"}],"containers":[{"name":"web","image":"web"},{"name":"log","image":"log"}],"replicas":1}`
	got := map[string]bool{}
	for _, p := range mustLost(t, manifest, tree) {
		got[p.String()] = p.ElementLost()
	}
	want := map[string]bool{
		"/ports/0/port": true, "/ports/0/protocol": true, "/containers/web/image": false,
		"/containers/log/name": true, "/containers/log/image": true, "/replicas": false,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLostRefuses(t *testing.T) {
	for _, tt := range []struct{ reason, manifest, tree string }{
		{"a manifest is JSON", "{", ""},
		{"a manifest is an object", "[]", ""},
		{"a manifest is one object", "{}{}", ""},
		{"a tree is JSON", "{}", "{"},
		{"a tree is an object", "{}", "1"},
	} {
		if paths, err := Lost([]byte(tt.manifest), tt.tree); err == nil {
			t.Errorf("%s: Lost accepts it: %v", tt.reason, paths)
		}
	}
}

func BenchmarkLost(b *testing.B) {
	manifest, tree := []byte(deployment), treeOf(b, deployment)
	b.ReportAllocs()
	for b.Loop() {
		if paths, err := Lost(manifest, tree); err != nil || len(paths) > 0 {
			b.Fatal(paths, err)
		}
	}
}

// deployment is of the size and the shape that render makes.
const deployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"annotations":{"myapp.example.com/app-generation":"1","myapp.example.com/content-hash":"0123456789abcdef","myapp.example.com/hub-epoch":"0"},"labels":{"app.kubernetes.io/managed-by":"myapp-hub","app.kubernetes.io/name":"web","myapp.example.com/app":"web"},"name":"web","namespace":"shop"},"spec":{"replicas":2,"selector":{"matchLabels":{"myapp.example.com/app":"web"}},"template":{"metadata":{"labels":{"app.kubernetes.io/name":"web","myapp.example.com/app":"web"}},"spec":{"containers":[{"args":["--port","8080"],"env":[{"name":"A","value":"1"},{"name":"B","value":"2"},{"name":"C","value":"3"}],"image":"registry.example.com/web:1","livenessProbe":{"httpGet":{"path":"/healthz","port":"http"},"periodSeconds":10},"name":"web","ports":[{"containerPort":8080,"name":"http"}],"resources":{"limits":{"memory":"128Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},"volumeMounts":[{"mountPath":"/tmp","name":"tmp"}]}],"volumes":[{"emptyDir":{},"name":"tmp"}]}}}}`

package fields

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"
)

const (
	theirUpdate = metav1.ManagedFieldsOperationUpdate
	theirApply  = metav1.ManagedFieldsOperationApply
)

// in is an entry of a version of the kind.
func in(version string, e metav1.ManagedFieldsEntry) metav1.ManagedFieldsEntry {
	e.APIVersion, e.FieldsType = version, "FieldsV1"
	return e
}

func TestTakeOver(t *testing.T) {
	const (
		service = `{"metadata":{"labels":{"a":"b"}},"spec":{"ports":[{"port":80,"targetPort":8080}]}}`
		named   = `{"spec":{"ports":[{"name":"http","port":80}]}}`
		pod     = `{"spec":{"containers":[{"name":"web","image":"web:1","ports":[{"containerPort":80}],"env":[{"name":"A","value":"1"}]}]}}`

		port81 = `"k:{\"port\":81,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:targetPort":{}}`
		port80 = `"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{},"f:targetPort":{}}`
	)
	spec := func(fields string) string { return `{"f:spec":{` + fields + `}}` }
	ports := func(elements string) string { return spec(`"f:ports":{` + elements + `}`) }
	container := func(fields string) string { return spec(`"f:containers":{"k:{\"name\":\"web\"}":{` + fields + `}}`) }
	us := func(tree string) metav1.ManagedFieldsEntry { return in("v1", entry("us", theirApply, "", tree)) }
	them := func(tree string) metav1.ManagedFieldsEntry { return in("v1", entry("them", theirUpdate, "", tree)) }
	for _, tt := range []struct {
		reason, manifest string
		before, after    []metav1.ManagedFieldsEntry // after is nil if nothing changes
	}{
		{
			"the only port has another number: the list is ours, and their entry ends with it", service,
			[]metav1.ManagedFieldsEntry{us(`{"f:metadata":{"f:labels":{"f:a":{}}}}`), them(ports(port81))},
			[]metav1.ManagedFieldsEntry{us(`{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:ports":{` + port81 + `}}}`)},
		},
		{
			"what else they have stays theirs", service,
			[]metav1.ManagedFieldsEntry{them(`{"f:metadata":{"f:labels":{"f:x":{}}},"f:spec":{"f:type":{},"f:ports":{` + port81 + `}}}`), us(spec(`"f:type":{}`))},
			[]metav1.ManagedFieldsEntry{them(`{"f:metadata":{"f:labels":{"f:x":{}}},"f:spec":{"f:type":{}}}`), us(spec(`"f:ports":{` + port81 + `},"f:type":{}`))},
		},
		{
			"of several, whether they apply or update", named,
			[]metav1.ManagedFieldsEntry{us(spec(`"f:type":{}`)), them(ports(port81)), in("v1", entry("it", theirApply, "", ports(`"k:{\"port\":81,\"protocol\":\"TCP\"}":{"f:name":{}}`)))},
			[]metav1.ManagedFieldsEntry{us(spec(`"f:ports":{"k:{\"port\":81,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{},"f:targetPort":{}}},"f:type":{}`))},
		},
		{
			"an adoption: we have no entry yet", named,
			[]metav1.ManagedFieldsEntry{them(ports(port81))},
			[]metav1.ManagedFieldsEntry{us(ports(port81))},
		},
		{
			"a list in an element that is still there is taken alone", pod,
			[]metav1.ManagedFieldsEntry{
				us(container(`".":{},"f:name":{},"f:image":{},"f:env":{"k:{\"name\":\"A\"}":{".":{},"f:name":{},"f:value":{}}}`)),
				them(container(`"f:ports":{"k:{\"containerPort\":81,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}},"f:env":{"k:{\"name\":\"X\"}":{".":{},"f:name":{}}}`)),
			},
			[]metav1.ManagedFieldsEntry{
				us(container(`".":{},"f:env":{"k:{\"name\":\"A\"}":{".":{},"f:name":{},"f:value":{}}},"f:image":{},"f:name":{},"f:ports":{"k:{\"containerPort\":81,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}`)),
				them(container(`"f:env":{"k:{\"name\":\"X\"}":{".":{},"f:name":{}}}`)),
			},
		},
		{
			"in an adoption, their lists that have our elements stay theirs", pod,
			[]metav1.ManagedFieldsEntry{them(spec(`"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:name":{},"f:env":{"k:{\"name\":\"A\"}":{".":{}}},"f:ports":{"k:{\"containerPort\":81,\"protocol\":\"TCP\"}":{".":{}}}},"k:{\"name\":\"side\"}":{".":{}}}`))},
			[]metav1.ManagedFieldsEntry{
				them(spec(`"f:containers":{"k:{\"name\":\"side\"}":{".":{}},"k:{\"name\":\"web\"}":{".":{},"f:env":{"k:{\"name\":\"A\"}":{".":{}}},"f:name":{}}}`)),
				us(container(`"f:ports":{"k:{\"containerPort\":81,\"protocol\":\"TCP\"}":{".":{}}}`)),
			},
		},
		{
			"a value that is lost is no list: a sidecar stays theirs", pod,
			[]metav1.ManagedFieldsEntry{
				us(container(`".":{},"f:name":{},"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}},"f:env":{"k:{\"name\":\"A\"}":{".":{},"f:name":{},"f:value":{}}}`)),
				them(spec(`"f:containers":{"k:{\"name\":\"web\"}":{"f:image":{}},"k:{\"name\":\"side\"}":{".":{}}}`)),
			},
			nil,
		},
		{"an element that others hold too is not missing", named, []metav1.ManagedFieldsEntry{us(`{"f:x":{}}`), them(ports(port80 + "," + port81))}, nil},
		{"what was set by a subresource or in another version stays", named, []metav1.ManagedFieldsEntry{us(`{"f:x":{}}`), in("v1", entry("them", theirUpdate, "status", ports(port81))), in("v2", entry("them", theirUpdate, "", ports(port81)))}, nil},
		{"nobody has the list", named, []metav1.ManagedFieldsEntry{us(`{"f:x":{}}`), {Manager: "empty"}}, nil},
		{"an atomic list needs no taking: an apply replaces it", named, []metav1.ManagedFieldsEntry{us(`{"f:x":{}}`), them(spec(`"f:ports":{}`))}, nil},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			lost := mustLost(t, tt.manifest, Ours(tt.before, "us"))
			given := append([]metav1.ManagedFieldsEntry{}, tt.before...)
			got, changed, err := TakeOver(tt.before, "us", lost)
			if err != nil || changed != (tt.after != nil) {
				t.Fatalf("changed = %v, %v", changed, err)
			}
			want := tt.after
			if want == nil {
				want = tt.before
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(given, tt.before); diff != "" {
				t.Errorf("the given entries were changed:\n%s", diff)
			}
		})
	}
	if _, _, err := TakeOver([]metav1.ManagedFieldsEntry{them("{")}, "us", nil); err == nil {
		t.Error("an entry that cannot be read must not be lost")
	}
}

// Whatever is taken, no path is lost to the record and none is made up.
func TestTakeOverKeepsAllPaths(t *testing.T) {
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		manifest := mustJSON(genManifest(t))
		var before []metav1.ManagedFieldsEntry
		for _, manager := range rapid.SliceOfN(rapid.SampledFrom([]string{"us", "them", "it"}), 0, 4).Draw(t, "managers") {
			before = append(before, entry(manager, theirApply, "", treeOf(t, mustJSON(genManifest(t)))))
		}
		lost, err := Lost([]byte(manifest), Ours(before, "us"))
		if err != nil {
			t.Fatal(err)
		}
		after, changed, err := TakeOver(before, "us", lost)
		if err != nil {
			t.Fatal(err)
		}
		if changed {
			taken++
		}
		if diff := cmp.Diff(allPaths(t, before), allPaths(t, after)); diff != "" {
			t.Fatalf("paths of all (-before +after):\n%s", diff)
		}
		if again, changed, err := TakeOver(after, "us", lost); changed || err != nil || !cmp.Equal(after, again) {
			t.Fatalf("taken twice, it takes more: %v, %v", changed, err)
		}
	})
	if taken == 0 && !testing.Short() {
		t.Error("nothing was ever taken: the test tests nothing")
	}
}

func allPaths(t *rapid.T, entries []metav1.ManagedFieldsEntry) map[string]bool {
	paths := map[string]bool{}
	var walk func(at string, n tree)
	walk = func(at string, n tree) {
		if n.itself() {
			paths[at] = true
		}
		for child := range n {
			if child != "." {
				walk(at+" "+child, n.child(child))
			}
		}
	}
	for _, e := range entries {
		n, err := parse(e.FieldsV1.GetRawString())
		if err != nil {
			t.Fatal(err)
		}
		if n != nil {
			walk("", n)
		}
	}
	return paths
}

// What was written after a takeover stays when it is given back.
func TestGiveBack(t *testing.T) {
	entry := func(manager, subresource, tree string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: "v1", Subresource: subresource,
			FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(tree),
		}
	}
	us, taken, them := entry("us", "", `{"f:a":{}}`), entry("us", "", `{"f:a":{},"f:b":{}}`), entry("them", "", `{"f:b":{}}`)
	status, later := entry("status", "status", `{"f:s":{}}`), entry("status", "status", `{"f:s":{},"f:t":{}}`)
	other, newer := entry("other", "", `{"f:c":{}}`), entry("us", "", `{"f:d":{}}`)
	for _, tt := range []struct {
		reason    string
		now, want []metav1.ManagedFieldsEntry
	}{
		{"nothing since", []metav1.ManagedFieldsEntry{taken, status}, []metav1.ManagedFieldsEntry{us, them, status}},
		{"a status", []metav1.ManagedFieldsEntry{taken, later}, []metav1.ManagedFieldsEntry{later, us, them}},
		{"somebody new", []metav1.ManagedFieldsEntry{taken, status, other}, []metav1.ManagedFieldsEntry{other, us, them, status}},
		{"an apply of our own", []metav1.ManagedFieldsEntry{newer, status}, []metav1.ManagedFieldsEntry{newer, them, status}},
	} {
		got := GiveBack(tt.now, []metav1.ManagedFieldsEntry{taken, status}, []metav1.ManagedFieldsEntry{us, them, status})
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

package fields

import (
	"runtime"
	"strings"
	"testing"
	"unique"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func entry(manager string, operation metav1.ManagedFieldsOperationType, subresource, tree string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, Subresource: subresource, FieldsV1: metav1.NewFieldsV1(tree)}
}

func TestOurs(t *testing.T) {
	const us = "myapp-hub"
	entries := []metav1.ManagedFieldsEntry{
		entry("other", metav1.ManagedFieldsOperationApply, "", `{"f:other":{}}`),
		entry(us, metav1.ManagedFieldsOperationUpdate, "", `{"f:update":{}}`),
		entry(us, metav1.ManagedFieldsOperationApply, "status", `{"f:status":{}}`),
		{Manager: us, Operation: metav1.ManagedFieldsOperationApply},
	}
	if got := Ours(entries, us); got != "" {
		t.Errorf("nothing was applied to the object itself, but ours is %s", got)
	}
	entries = append(entries, entry(us, metav1.ManagedFieldsOperationApply, "", `{"f:ours":{}}`))
	if got, want := Ours(entries, us), `{"f:ours":{}}`; got != want {
		t.Errorf("ours is %s, want %s", got, want)
	}
}

// A tree is the same on many members: whoever holds it holds it once.
func TestOursSharesMemory(t *testing.T) {
	read := func() string {
		return Ours([]metav1.ManagedFieldsEntry{
			entry("m", metav1.ManagedFieldsOperationApply, "", strings.Repeat(" ", 100)+"{}"),
		}, "m")
	}
	held := unique.Make(read())
	for range 3 {
		runtime.GC()
	}
	if again := read(); unsafe.StringData(again) != unsafe.StringData(held.Value()) {
		t.Error("equal trees have memory of their own")
	}
	runtime.KeepAlive(held)
}

func TestOwners(t *testing.T) {
	const manifest = `{"spec":{"replicas":1,"selector":{"a":"b"},"args":["x"],"tags":["a","b"],
		"ports":[{"port":53,"targetPort":1},{"port":53,"protocol":"UDP"}],"env":[{"name":"A","value":"1"}]}}`
	const ours = `{"f:spec":{"f:tags":{"v:\"b\"":{}},"f:ports":{"k:{\"port\":53,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}},"f:env":{"k:{\"name\":\"A\"}":{".":{},"f:name":{}}}}}`
	lost := map[string]Path{}
	for _, p := range mustLost(t, manifest, ours) {
		lost[p.String()] = p
	}
	const update, apply = metav1.ManagedFieldsOperationUpdate, metav1.ManagedFieldsOperationApply
	for _, tt := range []struct {
		reason, path string
		entries      []metav1.ManagedFieldsEntry
		want         []string
	}{
		{"nobody", "/spec/replicas", nil, nil},
		{
			"sorted, once each, without ourselves", "/spec/replicas",
			[]metav1.ManagedFieldsEntry{
				entry("b", update, "", `{"f:spec":{"f:replicas":{}}}`), entry("b", apply, "", `{"f:spec":{"f:replicas":{}}}`),
				entry("a", update, "scale", `{"f:spec":{"f:replicas":{}}}`), entry("self", update, "", `{"f:spec":{"f:replicas":{}}}`),
				entry("c", update, "", `{"f:spec":{"f:paused":{}}}`), entry("broken", update, "", `{`), {Manager: "empty"},
			},
			[]string{"a", "b"},
		},
		{"who has the atomic map above", "/spec/selector/a", []metav1.ManagedFieldsEntry{entry("a", update, "", `{"f:spec":{"f:selector":{}}}`)}, []string{"a"}},
		{
			"not who made the map if another has the field", "/spec/selector/a",
			[]metav1.ManagedFieldsEntry{
				entry("made", update, "", `{"f:spec":{"f:selector":{}}}`), entry("changed", update, "", `{"f:spec":{"f:selector":{"f:a":{}}}}`),
			},
			[]string{"changed"},
		},
		{"of an element by name", "/spec/env/A/value", []metav1.ManagedFieldsEntry{entry("a", update, "", `{"f:spec":{"f:env":{"k:{\"name\":\"A\"}":{"f:value":{}}}}}`)}, []string{"a"}},
		{
			"of the element with the default that we left out", "/spec/ports/0/targetPort",
			[]metav1.ManagedFieldsEntry{
				entry("tcp", update, "", `{"f:spec":{"f:ports":{"k:{\"port\":53,\"protocol\":\"TCP\"}":{"f:targetPort":{}}}}}`),
				entry("udp", update, "", `{"f:spec":{"f:ports":{"k:{\"port\":53,\"protocol\":\"UDP\"}":{"f:targetPort":{}}}}}`),
			},
			[]string{"tcp"},
		},
		{"of an element of a set", "/spec/tags/0", []metav1.ManagedFieldsEntry{entry("a", update, "", `{"f:spec":{"f:tags":{"v:\"a\"":{}}}}`)}, []string{"a"}},
		{"of a list", "/spec/args", []metav1.ManagedFieldsEntry{entry("a", update, "", `{"f:spec":{"f:args":{}}}`)}, []string{"a"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			p, ok := lost[tt.path]
			if !ok {
				t.Fatalf("%s is not among what is lost: %v", tt.path, lost)
			}
			if diff := cmp.Diff(tt.want, Owners(tt.entries, "self", p)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

package fleet

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseRequest(t *testing.T) {
	for _, tt := range []struct {
		reason, method, url string
		want                Request
	}{
		{"a list of all namespaces", http.MethodGet, "/api/v1/pods",
			Request{Verb: "list", Resource: "pods"}},
		{"a list in a namespace", http.MethodGet, "/apis/apps/v1/namespaces/shop/deployments?limit=500",
			Request{Verb: "list", APIGroup: "apps", Resource: "deployments", Namespace: "shop"}},
		{"a watch", http.MethodGet, "/apis/example.com/v1/myapps?watch=true&resourceVersion=7",
			Request{Verb: "watch", APIGroup: "example.com", Resource: "myapps"}},
		{"an informer's first watch", http.MethodGet, "/api/v1/pods?watch=1&sendInitialEvents=true",
			Request{Verb: "watch", Resource: "pods", InitialEvents: true}},
		{"a subresource", http.MethodPut, "/apis/example.com/v1/namespaces/shop/myapps/web/status",
			Request{Verb: "update", APIGroup: "example.com", Resource: "myapps", Subresource: "status", Namespace: "shop", Name: "web"}},
		{"an apply", http.MethodPatch, "/api/v1/namespaces/shop/services/web?fieldManager=x",
			Request{Verb: "patch", Resource: "services", Namespace: "shop", Name: "web"}},
		{"a token", http.MethodPost, "/api/v1/namespaces/shop/serviceaccounts/web/token",
			Request{Verb: "create", Resource: "serviceaccounts", Subresource: "token", Namespace: "shop", Name: "web"}},
		{"a deletion", http.MethodDelete, "/api/v1/namespaces/shop/pods/web",
			Request{Verb: "delete", Resource: "pods", Namespace: "shop", Name: "web"}},
		{"a deletion of all", http.MethodDelete, "/api/v1/namespaces/shop/pods",
			Request{Verb: "deletecollection", Resource: "pods", Namespace: "shop"}},
		{"the namespaces", http.MethodGet, "/api/v1/namespaces",
			Request{Verb: "list", Resource: "namespaces"}},
		{"a namespace", http.MethodGet, "/api/v1/namespaces/shop",
			Request{Verb: "get", Resource: "namespaces", Namespace: "shop", Name: "shop"}},
		{"a namespace's end", http.MethodPut, "/api/v1/namespaces/shop/finalize",
			Request{Verb: "update", Resource: "namespaces", Subresource: "finalize", Namespace: "shop", Name: "shop"}},
		{"discovery", http.MethodGet, "/apis/apps/v1", Request{Verb: "get"}},
		{"the root", http.MethodGet, "/", Request{Verb: "get"}},
	} {
		got := parseRequest(httptest.NewRequest(tt.method, tt.url, nil))
		if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(Request{}, "Request")); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.reason, diff)
		}
	}
}

// Which fault can befall which request.
func TestBefalls(t *testing.T) {
	get, list, watch, initial, create := Request{Verb: "get"}, Request{Verb: "list"}, Request{Verb: "watch"},
		Request{Verb: "watch", InitialEvents: true}, Request{Verb: "create"}
	all := []Request{get, list, watch, initial, create}
	for fault, want := range map[Fault][]Request{
		FaultForbidden: all, FaultTimeout: all, FaultResetBefore: all,
		FaultConflict:       {create},
		FaultExpired:        {list, watch, initial},
		FaultResetAfter:     {get, list, create},
		FaultEmptyList:      {list, initial},
		FaultIncompleteList: {list},
		FaultTruncated:      {get, list},
		FaultCutWatch:       {watch, initial},
	} {
		got := slices.DeleteFunc(slices.Clone(all), func(r Request) bool { return !fault.befalls(r) })
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s befalls: -want +got\n%s", fault, diff)
		}
	}
}

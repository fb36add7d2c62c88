package fleet

import (
	"net/http"
	"slices"
	"strings"
)

// Request is a request as an API server understands it.
type Request struct {
	*http.Request
	// Verb is that of RBAC: get, list, watch, create, update, patch, delete or
	// deletecollection. Where no resource is asked for, as in discovery, it is the
	// method in lower case and Resource is empty.
	Verb                  string
	APIGroup              string
	Resource, Subresource string
	Namespace, Name       string
	// InitialEvents is set for a watch that is to begin with all that exists
	// (KEP-3157): informers list in this way.
	InitialEvents bool
}

// Write says whether the request asks for a change.
func (r Request) Write() bool { return AuditEvent{Verb: r.Verb}.Write() }

// Leases matches the requests of leader election.
func Leases(r Request) bool { return r.APIGroup == "coordination.k8s.io" && r.Resource == "leases" }

// parseRequest reads a path as API servers do:
// /apis/GROUP/VERSION[/namespaces/NAMESPACE]/RESOURCE[/NAME[/SUBRESOURCE]].
func parseRequest(in *http.Request) Request {
	r := Request{Request: in, Verb: strings.ToLower(in.Method)}
	parts := strings.Split(strings.Trim(in.URL.Path, "/"), "/")
	switch {
	case parts[0] == "api" && len(parts) > 2:
		parts = parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		r.APIGroup, parts = parts[1], parts[3:]
	default:
		return r
	}
	if parts[0] == "namespaces" && len(parts) > 1 {
		r.Namespace = parts[1] // of a Namespace, its own name
		if len(parts) > 2 && !slices.Contains([]string{"status", "finalize"}, parts[2]) {
			parts = parts[2:]
		}
	}
	r.Resource = parts[0]
	if len(parts) > 1 {
		r.Name = parts[1]
	}
	if len(parts) > 2 {
		r.Subresource = parts[2]
	}
	r.Verb = verbOf(in, r.Name)
	r.InitialEvents = r.Verb == "watch" && isTrue(in.URL.Query().Get("sendInitialEvents"))
	return r
}

func verbOf(in *http.Request, name string) string {
	switch in.Method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodDelete:
		if name == "" {
			return "deletecollection"
		}
	case http.MethodGet:
		switch {
		case isTrue(in.URL.Query().Get("watch")):
			return "watch"
		case name == "":
			return "list"
		}
	}
	return strings.ToLower(in.Method)
}

func isTrue(value string) bool { return value == "true" || value == "1" }

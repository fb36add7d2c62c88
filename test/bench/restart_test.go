package main

import (
	"testing"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

func TestBegins(t *testing.T) {
	for _, tt := range []struct {
		reason string
		event  fleet.AuditEvent
		want   bool
	}{
		{"a watch that lists first", fleet.AuditEvent{Verb: "watch", RequestURI: "/apis/apps/v1/deployments?sendInitialEvents=true&watch=true"}, true},
		{"a watch of everything", fleet.AuditEvent{Verb: "watch", RequestURI: "/apis/apps/v1/deployments?resourceVersion=0&watch=true"}, true},
		{"a watch that goes on", fleet.AuditEvent{Verb: "watch", RequestURI: "/apis/apps/v1/deployments?resourceVersion=7&watch=true"}, false},
		{"a list of a page", fleet.AuditEvent{Verb: "list", RequestURI: "/apis/apps/v1/deployments?limit=100"}, true},
		{"a question how far the API server is", fleet.AuditEvent{Verb: "list", RequestURI: "/apis/example.com/v1/myapps?limit=1"}, false},
		{"a read of one object", fleet.AuditEvent{Verb: "get", RequestURI: "/api/v1/namespaces/web"}, false},
	} {
		if begins(tt.event) != tt.want {
			t.Errorf("%s: %+v", tt.reason, tt.event)
		}
	}
}

func TestSelection(t *testing.T) {
	list := fleet.AuditEvent{RequestURI: "/api/v1/secrets?labelSelector=a%3Db&limit=100&resourceVersion=0"}
	for _, tt := range []struct {
		reason, uri string
		same        bool
	}{
		{"the watch that follows the list", "/api/v1/secrets?labelSelector=a%3Db&watch=true&resourceVersion=7", true},
		{"others of the kind", "/api/v1/secrets?labelSelector=c%3Dd&watch=true", false},
		{"those of a namespace", "/api/v1/namespaces/web/secrets?labelSelector=a%3Db&watch=true", false},
	} {
		if (selection(fleet.AuditEvent{RequestURI: tt.uri}) == selection(list)) != tt.same {
			t.Errorf("%s: %s", tt.reason, selection(fleet.AuditEvent{RequestURI: tt.uri}))
		}
	}
}

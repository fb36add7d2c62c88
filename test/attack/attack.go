// Package attack makes requests that must be denied, with the credential of whoever is
// not to be trusted with more.
package attack

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// Call is a request as an API server sees it.
type Call struct {
	Method, Path string
	Body         string
	Header       http.Header
}

// String is the Call in one line.
func (c Call) String() string {
	return strings.TrimSpace(fmt.Sprint(c.Method, " ", c.Path, " ", c.Header))
}

// Do makes the request with a credential and returns the status and the answer.
func (c Call) Do(t testing.TB, config *rest.Config) (int, string) {
	t.Helper()
	status, body, err := c.Try(config)
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	return status, body
}

// Try is Do for requests that may get no answer.
func (c Call) Try(config *rest.Config) (int, string, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return 0, "", err
	}
	request, err := http.NewRequest(c.Method, config.Host+c.Path, strings.NewReader(c.Body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", "application/json")
	if c.Method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	for k, v := range c.Header {
		request.Header[k] = v
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return response.StatusCode, string(body), err
}

// Get reads.
func Get(path string) Call { return Call{Method: http.MethodGet, Path: path} }

// Post creates.
func Post(path, body string) Call { return Call{Method: http.MethodPost, Path: path, Body: body} }

// Put replaces by nothing.
func Put(path string) Call { return Call{Method: http.MethodPut, Path: path, Body: "{}"} }

// Patch changes nothing.
func Patch(path string) Call { return PatchWith(path, "{}") }

// PatchWith merges.
func PatchWith(path, body string) Call { return Call{Method: http.MethodPatch, Path: path, Body: body} }

// Remove deletes.
func Remove(path string) Call { return Call{Method: http.MethodDelete, Path: path} }

// As impersonates a user.
func (c Call) As(user string) Call { c.Header = http.Header{"Impersonate-User": {user}}; return c }

// Group adds a group to the user that is impersonated.
func (c Call) Group(name string) Call { c.Header["Impersonate-Group"] = []string{name}; return c }

// Denied makes every request and wants each to be forbidden; the one that is allowed
// shows that it is not the credential that is bad.
func Denied(t testing.TB, config *rest.Config, allowed Call, denied []Call) {
	t.Helper()
	if status, body := allowed.Do(t, config); status != http.StatusOK {
		t.Fatalf("%s must be allowed: %d %s", allowed, status, body)
	}
	for _, c := range denied {
		if status, body := c.Do(t, config); status != http.StatusForbidden {
			t.Errorf("%s: %d, want 403: %s", c, status, body)
		}
	}
	t.Logf("%d requests were made that must be forbidden", len(denied))
}

// Paths of API groups.
const (
	Ours   = "/apis/example.com/v1"
	Core   = "/api/v1"
	Roles  = "/apis/rbac.authorization.k8s.io/v1"
	Leases = "/apis/coordination.k8s.io/v1"
	// Webhooks are those that API servers ask before they take an object.
	Webhooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
)

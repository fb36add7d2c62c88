// Package impersonate lets one credential act for many tenants, with the rights of each:
// what it does in a namespace it does as the ServiceAccount of one name there.
//
// The request itself says which namespace it is about, so that no caller can forget it.
package impersonate

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/transport"
)

// OwnNamespace is where the hub and the agent keep what is theirs on a member.
const OwnNamespace = "myapp-hub-system"

// inNamespace matches the path of a request for objects in a namespace, and not of one
// for the namespace itself: the namespace, and the name of the object if it is for one.
var inNamespace = regexp.MustCompile(`/(?:api/[^/]+|apis/[^/]+/[^/]+)/namespaces/([^/]+)/[^/]+(?:/([^/]+))?`)

// ServiceAccounts returns what wraps the transport of a client so that its requests in a
// namespace are those of the ServiceAccount of this name there. Requests for what is in
// no namespace, or in one of its own, are not changed, nor are lists: the client watches
// all namespaces, and whether something is gone must not depend on a tenant. An account without a name is
// refused: it would be nobody's, and the requests those of the client itself.
func ServiceAccounts(account string, own ...string) (transport.WrapperFunc, error) {
	if problems := validation.IsDNS1123Subdomain(account); len(problems) > 0 {
		return nil, fmt.Errorf("%q is not the name of a ServiceAccount: %s", account, problems[0])
	}
	return func(next http.RoundTripper) http.RoundTripper {
		return &roundTripper{next: next, account: account, own: own}
	}, nil
}

type roundTripper struct {
	next    http.RoundTripper
	account string
	own     []string
}

// RoundTrip sends the request as whom it concerns.
func (r *roundTripper) RoundTrip(request *http.Request) (*http.Response, error) {
	namespace := about(request)
	if namespace == "" || slices.Contains(r.own, namespace) {
		return r.next.RoundTrip(request)
	}
	request = request.Clone(request.Context())
	request.Header.Set(transport.ImpersonateUserHeader, "system:serviceaccount:"+namespace+":"+r.account)
	return r.next.RoundTrip(request)
}

// WrappedRoundTripper is for client-go, which looks for what is underneath.
func (r *roundTripper) WrappedRoundTripper() http.RoundTripper { return r.next }

type contextKey struct{}

// In says that requests are about a namespace that their paths do not name: reviews of
// one's rights there.
func In(ctx context.Context, namespace string) context.Context {
	return context.WithValue(ctx, contextKey{}, namespace)
}

func about(request *http.Request) string {
	if namespace, ok := request.Context().Value(contextKey{}).(string); ok {
		return namespace
	}
	found := inNamespace.FindStringSubmatch(request.URL.Path)
	if len(found) == 0 || request.Method == http.MethodGet && found[2] == "" {
		return ""
	}
	return found[1]
}

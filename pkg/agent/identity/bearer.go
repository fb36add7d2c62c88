package identity

import (
	"fmt"
	"net/http"
	"net/url"

	"k8s.io/client-go/transport"
)

// bearer puts a token into each request to a server, and lets no request go anywhere else:
// a client follows redirects, and would show the token to whoever they lead to. Nor does a
// token travel without TLS.
func bearer(server string, token func() string) transport.WrapperFunc {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if is, err := url.Parse(server); err != nil || is.Scheme != "https" || r.URL.Scheme != "https" || r.URL.Host != is.Host {
				if r.Body != nil {
					_ = r.Body.Close() // as a RoundTripper has to
				}
				return nil, fmt.Errorf("the token of this cluster is for the hub at %s, by https; it is not sent to %s://%s", server, r.URL.Scheme, r.URL.Host)
			}
			r = r.Clone(r.Context())
			r.Header.Set("Authorization", "Bearer "+token())
			return next.RoundTrip(r)
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

package identity

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// Neither a join token nor an agent's own follows a redirect to another server, nor goes
// to one without TLS.
func TestTokensGoToTheHubOnly(t *testing.T) {
	var seen []string
	watch := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusTeapot)
	})
	other, plain := httptest.NewTLSServer(watch), httptest.NewServer(watch)
	defer other.Close()
	defer plain.Close()
	asked := 0
	redirecting := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if got := r.Header.Get("Authorization"); got != "Bearer secret" {
			t.Errorf("the hub was shown %q", got)
		}
		// The method and the body stay with this one.
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer redirecting.Close()

	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: redirecting.Certificate().Raw})
	authority = bytes.Join([][]byte{authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})}, nil)
	for _, tt := range []struct {
		reason, server string
		asked          int
	}{
		{"a redirect to another server", redirecting.URL, 1},
		{"a server without TLS", plain.URL, 0},
	} {
		for kind, ask := range map[string]func(Credential) error{
			"join token": func(c Credential) error { _, _, err := Claim(t.Context(), c); return err },
			"own token": func(c Credential) error {
				tokens, err := NewTokens(c, Store{}, clock.RealClock{}, logr.Discard())
				if err != nil {
					t.Fatal(err)
				}
				return tokens.Renew(t.Context())
			},
		} {
			asked, seen = 0, nil
			err := ask(Credential{Member: "m", Server: tt.server, CA: authority, JoinToken: "secret", Token: "secret", UID: "uid"})
			if err == nil || !strings.Contains(err.Error(), "it is not sent to") || IsRefused(err) {
				t.Errorf("%s, %s: %v", tt.reason, kind, err)
			}
			if asked != tt.asked || len(seen) > 0 {
				t.Errorf("%s, %s: the hub was asked %d times, another server saw %q", tt.reason, kind, asked, seen)
			}
		}
	}
}

package agent

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// asked is a cluster that answers reviews and remembers them.
type asked struct {
	authenticated, allowed, denied bool
	tokenErr, accessErr            error

	tokens []string
	access []authorizationv1.SubjectAccessReviewSpec
}

func (a *asked) Create(_ context.Context, object client.Object, _ ...client.CreateOption) error {
	switch review := object.(type) {
	case *authenticationv1.TokenReview:
		a.tokens = append(a.tokens, review.Spec.Token)
		review.Status.Authenticated = a.authenticated
		review.Status.User = authenticationv1.UserInfo{
			Username: "scraper", UID: "7", Groups: []string{"system:authenticated"},
			Extra: map[string]authenticationv1.ExtraValue{"pod": {"a"}},
		}
		return a.tokenErr
	case *authorizationv1.SubjectAccessReview:
		a.access = append(a.access, review.Spec)
		review.Status.Allowed, review.Status.Denied = a.allowed, a.denied
		return a.accessErr
	}
	return errors.New("not a review")
}

func TestOnlyWhomTheClusterLetsReadsMetrics(t *testing.T) {
	for _, tt := range []struct {
		reason string
		header string
		answer asked
		want   int
		asks   int
	}{
		{"no credential", "", asked{authenticated: true, allowed: true}, http.StatusUnauthorized, 0},
		{"not a token", "Basic dTpw", asked{authenticated: true, allowed: true}, http.StatusUnauthorized, 0},
		{"an empty token", "Bearer ", asked{authenticated: true, allowed: true}, http.StatusUnauthorized, 0},
		{"a space before the token", "Bearer  t", asked{authenticated: true, allowed: true}, http.StatusUnauthorized, 0},
		{"the token is nobody's, whatever else is said", "Bearer t", asked{allowed: true}, http.StatusUnauthorized, 1},
		{"no right", "Bearer t", asked{authenticated: true}, http.StatusForbidden, 1},
		{"denied", "Bearer t", asked{authenticated: true, denied: true}, http.StatusForbidden, 1},
		{"both allowed and denied", "Bearer t", asked{authenticated: true, allowed: true, denied: true}, http.StatusInternalServerError, 1},
		{"allowed", "Bearer t", asked{authenticated: true, allowed: true}, http.StatusOK, 1},
		{"the scheme has no case", "bearer t", asked{authenticated: true, allowed: true}, http.StatusOK, 1},
		{"no answer about the token", "Bearer t", asked{authenticated: true, allowed: true, tokenErr: errors.New("gone")}, http.StatusInternalServerError, 1},
		{"no answer about the right", "Bearer t", asked{authenticated: true, allowed: true, accessErr: errors.New("gone")}, http.StatusInternalServerError, 1},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			passed := false
			next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true })
			handler, err := newReviewer(&tt.answer).filter(logr.Discard(), next)
			if err != nil {
				t.Fatal(err)
			}
			if got := get(handler, "/metrics", tt.header); got != tt.want {
				t.Errorf("answered with %d, want %d", got, tt.want)
			}
			if passed != (tt.want == http.StatusOK) {
				t.Errorf("passed on: %t", passed)
			}
			if len(tt.answer.tokens) != tt.asks {
				t.Errorf("asked whose %q is, want %d questions", tt.answer.tokens, tt.asks)
			}
		})
	}
}

func TestOnlyWhatWasAllowedIsRemembered(t *testing.T) {
	answer := &asked{authenticated: true}
	handler, err := newReviewer(answer).filter(logr.Discard(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if err != nil {
		t.Fatal(err)
	}
	get(handler, "/metrics", "Bearer t")
	answer.allowed = true
	for range 3 {
		if got := get(handler, "/metrics", "Bearer t"); got != http.StatusOK {
			t.Errorf("a new right does not count: answered with %d", got)
		}
	}
	get(handler, "/metrics", "Bearer u")
	get(handler, "/other", "Bearer t")
	if diff := cmp.Diff([]string{"t", "t", "u", "t"}, answer.tokens); diff != "" {
		t.Errorf("asked about other tokens (-want +got):\n%s", diff)
	}
	want := authorizationv1.SubjectAccessReviewSpec{
		User: "scraper", UID: "7", Groups: []string{"system:authenticated"},
		Extra:                 map[string]authorizationv1.ExtraValue{"pod": {"a"}},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/other", Verb: "get"},
	}
	if diff := cmp.Diff(want, answer.access[len(answer.access)-1]); diff != "" {
		t.Errorf("asked for something else (-want +got):\n%s", diff)
	}
}

func get(handler http.Handler, path, authorization string) int {
	req := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, req)
	return w.Code
}

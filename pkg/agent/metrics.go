package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	// reviewTimeout is for the answers of the own cluster about one request.
	reviewTimeout = 10 * time.Second
	// knownFor is how long one who may read the metrics is not asked about again.
	knownFor = time.Minute
)

// askCluster lets the own cluster decide who may read the metrics; the agent may
// not ask the hub. It does for bearer tokens what controller-runtime's filters do,
// without what they bring along: k8s.io/apiserver, with gRPC, OpenTelemetry and
// OpenAPI, makes the agent half as large again, on disk and in memory.
func askCluster(own cluster.Cluster) func(*rest.Config, *http.Client) (metricsserver.Filter, error) {
	return func(*rest.Config, *http.Client) (metricsserver.Filter, error) {
		mapper := meta.NewDefaultRESTMapper(nil)
		mapper.Add(authenticationv1.SchemeGroupVersion.WithKind("TokenReview"), meta.RESTScopeRoot)
		mapper.Add(authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"), meta.RESTScopeRoot)
		c, err := client.New(own.GetConfig(), client.Options{HTTPClient: own.GetHTTPClient(), Scheme: own.GetScheme(), Mapper: mapper})
		if err != nil {
			return nil, fmt.Errorf("making a client that asks who may read the metrics: %w", err)
		}
		return newReviewer(c).filter, nil
	}
}

// creator creates reviews, which come back with their answers.
type creator interface {
	Create(ctx context.Context, object client.Object, options ...client.CreateOption) error
}

// reviewer decides about requests as a cluster says.
type reviewer struct {
	cluster creator
	// allowed are the requests that were allowed lately. A refusal is not kept: a new
	// right counts at once, and nobody fills the memory with tokens of their own making.
	allowed *utilcache.Expiring
}

// request is what is decided about, with the hash of the token in its place.
type request struct {
	token      [sha256.Size]byte
	verb, path string
}

func newReviewer(c creator) *reviewer {
	return &reviewer{cluster: c, allowed: utilcache.NewExpiring()}
}

// filter passes on the requests of those whom the cluster lets make them.
func (r *reviewer) filter(log logr.Logger, next http.Handler) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		status, err := r.review(req)
		switch {
		case err != nil:
			log.Error(err, "Cannot tell who may read the metrics")
			http.Error(w, "the cluster does not say who may read this", http.StatusInternalServerError)
		case status != http.StatusOK:
			log.V(4).Info("Refused to show the metrics", "status", status)
			http.Error(w, http.StatusText(status), status)
		default:
			next.ServeHTTP(w, req)
		}
	}), nil
}

// review is the status with which to answer, 200 if the request may be made.
func (r *reviewer) review(req *http.Request) (int, error) {
	token := bearerToken(req.Header.Get("Authorization"))
	if token == "" {
		return http.StatusUnauthorized, nil
	}
	key := request{sha256.Sum256([]byte(token)), strings.ToLower(req.Method), req.URL.Path}
	if _, ok := r.allowed.Get(key); ok {
		return http.StatusOK, nil
	}
	ctx, cancel := context.WithTimeout(req.Context(), reviewTimeout)
	defer cancel()
	who := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
	if err := r.cluster.Create(ctx, who); err != nil {
		return 0, fmt.Errorf("asking the own cluster whose token it is: %w", err)
	}
	if !who.Status.Authenticated {
		return http.StatusUnauthorized, nil
	}
	may := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: who.Status.User.Username, UID: who.Status.User.UID, Groups: who.Status.User.Groups,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: key.path, Verb: key.verb},
	}}
	for name, values := range who.Status.User.Extra {
		if may.Spec.Extra == nil {
			may.Spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		may.Spec.Extra[name] = authorizationv1.ExtraValue(values)
	}
	if err := r.cluster.Create(ctx, may); err != nil {
		return 0, fmt.Errorf("asking the own cluster what %s may read: %w", who.Status.User.Username, err)
	}
	if may.Status.Allowed && may.Status.Denied {
		return 0, errors.New("the own cluster both allows and denies")
	}
	if !may.Status.Allowed {
		return http.StatusForbidden, nil
	}
	r.allowed.Set(key, nil, knownFor)
	return http.StatusOK, nil
}

// bearerToken is the token of an Authorization header, empty if it has none.
func bearerToken(header string) string {
	scheme, token, _ := strings.Cut(strings.TrimSpace(header), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	token, _, _ = strings.Cut(token, " ")
	return token
}

package fleet

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// answers are what an API server says in such a case.
var answers = map[Fault]func(Request) *apierrors.StatusError{
	FaultUnauthorized: func(Request) *apierrors.StatusError { return apierrors.NewUnauthorized("Unauthorized") },
	FaultForbidden: func(r Request) *apierrors.StatusError {
		return apierrors.NewForbidden(r.groupResource(), r.Name, errors.New("the fleet forbids it"))
	},
	FaultNotFound: func(r Request) *apierrors.StatusError {
		if r.Name == "" {
			return apierrors.NewGenericServerResponse(http.StatusNotFound, r.Method, r.groupResource(), "", "", 0, false)
		}
		return apierrors.NewNotFound(r.groupResource(), r.Name)
	},
	FaultConflict: func(r Request) *apierrors.StatusError {
		return apierrors.NewConflict(r.groupResource(), r.Name,
			errors.New("the object has been modified; please apply your changes to the latest version and try again"))
	},
	FaultExpired: func(Request) *apierrors.StatusError {
		return apierrors.NewResourceExpired("too old resource version")
	},
	FaultTooManyRequests: func(Request) *apierrors.StatusError {
		return apierrors.NewTooManyRequests("too many requests, please try again later", 1)
	},
	FaultInternalError: func(Request) *apierrors.StatusError {
		return apierrors.NewInternalError(errors.New("injected by the fleet"))
	},
	FaultServiceUnavailable: func(Request) *apierrors.StatusError {
		return apierrors.NewServiceUnavailable("the server is currently unable to handle the request")
	},
}

func (r Request) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: r.APIGroup, Resource: r.Resource}
}

// writeStatus answers with a Status. A watch is told that it is too old in an
// event, as an API server does.
func writeStatus(w http.ResponseWriter, r Request, problem *apierrors.StatusError, retryAfter time.Duration) {
	s := problem.Status()
	s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	if retryAfter > 0 {
		if s.Details == nil {
			s.Details = &metav1.StatusDetails{}
		}
		s.Details.RetryAfterSeconds = int32(math.Ceil(retryAfter.Seconds()))
	}
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(s.Details.RetryAfterSeconds)))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache, private")
	var body any = s
	if r.Verb == "watch" && s.Reason == metav1.StatusReasonExpired {
		body = map[string]any{"type": "ERROR", "object": s}
	} else {
		w.WriteHeader(int(s.Code))
	}
	_ = json.NewEncoder(w).Encode(body) // the client may have left
}

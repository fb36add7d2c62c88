package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/impersonate"
	"github.com/example/myapp-hub/pkg/manifest"
)

const (
	// rightsTTL is how long the cluster's answer about rights counts. One that lacks
	// some is asked for again sooner: whoever reads of it in a row will mend it.
	rightsTTL     = 10 * time.Minute
	rightsRecheck = 20 * time.Second
	// nowhere is a namespace that cannot be: in it one has the rights that one has in
	// all namespaces.
	nowhere = "-"
)

// needed are the verbs that the engine uses on objects of apps. What tenants do, they do
// not list and watch, which is for all of them at once.
func needed(tenants bool) []string {
	if tenants {
		return []string{"get", "create", "patch", "delete"}
	}
	return []string{"get", "list", "watch", "create", "patch", "delete"}
}

// rights are what the engine may do on its cluster, as the cluster says. An app of which
// one object could not be made is not begun: half of it would be worse.
type rights struct {
	mu    sync.Mutex
	known map[string]answer // by namespace
}

// answer is a cluster's answer about the rights in a namespace.
type answer struct {
	rules []authorizationv1.ResourceRule
	// partial is true if there may be rights that are not in it.
	partial bool
	at      time.Time
}

// scope is where an engine has its rights.
type scope struct {
	// only is true for the engine of one namespace, tenants for one that acts as another
	// in each.
	only, tenants bool
}

// missing are the rules that would have to be granted before objects of these kinds can
// be put into a namespace. What one has in all namespaces is asked for first, if there is
// more than the one, and if one is the same in all of them.
func (r *rights) missing(ctx context.Context, client dynamic.Interface, namespace string, s scope, kinds []schema.GroupResource, now time.Time) ([]string, error) {
	verbs := needed(s.tenants)
	if !s.only && !s.tenants {
		everywhere, err := r.ask(ctx, client, nowhere, now, rightsTTL)
		if err != nil || everywhere.partial || len(everywhere.lacks(kinds, verbs)) == 0 {
			return nil, err
		}
	}
	here, err := r.ask(ctx, client, namespace, now, rightsTTL)
	if err != nil || here.partial {
		return nil, err
	}
	if len(here.lacks(kinds, verbs)) > 0 {
		if here, err = r.ask(ctx, client, namespace, now, rightsRecheck); err != nil {
			return nil, err
		}
	}
	return here.lacks(kinds, verbs), nil
}

// ask is what the cluster has answered no longer ago than that.
func (r *rights) ask(ctx context.Context, client dynamic.Interface, namespace string, now time.Time, ttl time.Duration) (answer, error) {
	r.mu.Lock()
	known, ok := r.known[namespace]
	r.mu.Unlock()
	if ok && now.Sub(known.at) < ttl {
		return known, nil
	}
	fresh, err := review(ctx, client, namespace)
	if err != nil {
		return answer{}, err
	}
	fresh.at = now
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[string]answer{}
	}
	r.known[namespace] = fresh
	return fresh, nil
}

// review asks the cluster for all of one's rights in a namespace, which is one request. A
// cluster that cannot tell them leaves it to each request.
func review(ctx context.Context, client dynamic.Interface, namespace string) (answer, error) {
	ctx, cancel := context.WithTimeout(impersonate.In(ctx, namespace), RequestTimeout)
	defer cancel()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&authorizationv1.SelfSubjectRulesReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authorizationv1.SchemeGroupVersion.String(), Kind: "SelfSubjectRulesReview"},
		Spec:     authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace},
	})
	if err != nil {
		return answer{}, fmt.Errorf("encoding a question about rights: %w", err)
	}
	said, err := client.Resource(authorizationv1.SchemeGroupVersion.WithResource("selfsubjectrulesreviews")).
		Create(ctx, &unstructured.Unstructured{Object: content}, metav1.CreateOptions{})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		return answer{partial: true}, nil
	case err != nil:
		return answer{}, fmt.Errorf("asking for the rights in namespace %s: %w", namespace, err)
	}
	var status struct {
		Status authorizationv1.SubjectRulesReviewStatus `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(said.Object, &status); err != nil {
		return answer{}, fmt.Errorf("reading the rights in namespace %s: %w", namespace, err)
	}
	return answer{rules: status.Status.ResourceRules, partial: status.Status.Incomplete}, nil
}

// lacks are the rules that are missing, in the form of RBAC.
func (a answer) lacks(kinds []schema.GroupResource, needed []string) []string {
	var rules []string
	for _, kind := range kinds {
		var verbs []string
		for _, verb := range needed {
			if !slices.ContainsFunc(a.rules, func(r authorizationv1.ResourceRule) bool { return allows(r, kind, verb) }) {
				verbs = append(verbs, verb)
			}
		}
		if len(verbs) > 0 {
			rules = append(rules, ruleFor(kind, verbs))
		}
	}
	return rules
}

// ruleFor is a rule in the form of RBAC.
func ruleFor(kind schema.GroupResource, verbs []string) string {
	return fmt.Sprintf("{apiGroups: [%q], resources: [%s], verbs: [%s]}", kind.Group, kind.Resource, strings.Join(verbs, ", "))
}

func allows(r authorizationv1.ResourceRule, kind schema.GroupResource, verb string) bool {
	has := func(list []string, word string) bool {
		return slices.Contains(list, word) || slices.Contains(list, "*")
	}
	return len(r.ResourceNames) == 0 && has(r.Verbs, verb) && has(r.APIGroups, kind.Group) && has(r.Resources, kind.Resource)
}

// permitted refuses to begin with manifests of which some could not be written for want
// of rights. It asks only if there is something to write.
func (e *Engine) permitted(ctx context.Context, home string, manifests []manifest.Manifest, observed Observed) (refusal Change, ok bool, err error) {
	differs := slices.ContainsFunc(manifests, func(m manifest.Manifest) bool {
		hash, _ := observed.HashOf(m)
		return hash != m.Hash
	})
	if !differs {
		return Change{}, true, nil
	}
	var kinds []schema.GroupResource
	for _, m := range manifests {
		mapping, err := e.mapper.RESTMapping(m.GVK.GroupKind(), m.GVK.Version)
		if err != nil {
			return Change{}, false, fmt.Errorf("finding the resource of %s: %w", m.GVK, err)
		}
		if kind := mapping.Resource.GroupResource(); !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	missing, err := e.rights.missing(ctx, e.dynamic, home, scope{only: e.namespace != "", tenants: e.tenants}, kinds, time.Now())
	if err != nil || len(missing) == 0 {
		return Change{}, err == nil, err
	}
	refusal = refused(manifests[0], v1.ReasonPermissionMissing,
		"nothing of the app was changed, because the account on the member lacks rights in namespace %s: grant it %s", home, strings.Join(missing, ", "))
	refusal.Retry = retryMended
	return refusal, false, nil
}

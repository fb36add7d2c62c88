package apply

import (
	"fmt"
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

var (
	deploymentGVK = appsv1.SchemeGroupVersion.WithKind("Deployment")
	serviceGVK    = corev1.SchemeGroupVersion.WithKind("Service")
	namespaceGVK  = corev1.SchemeGroupVersion.WithKind("Namespace")
	configMapGVK  = corev1.SchemeGroupVersion.WithKind("ConfigMap")
)

// baseKinds are watched on every member from the start, in the order in which
// they are applied. All others are watched from their first use.
func baseKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{serviceGVK, deploymentGVK}
}

func isBase(gvk schema.GroupVersionKind) bool { return gvk == serviceGVK || gvk == deploymentGVK }

// plainKinds are the kinds without a health of their own; metadata is all that
// is known of them.
func plainKinds() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("ServiceAccount"),
		corev1.SchemeGroupVersion.WithKind("Secret"),
		configMapGVK, serviceGVK,
		policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"),
		autoscalingv2.SchemeGroupVersion.WithKind("HorizontalPodAutoscaler"),
	}
}

func isPlain(kind schema.GroupKind) bool {
	for _, gvk := range plainKinds() {
		if gvk.GroupKind() == kind {
			return true
		}
	}
	return false
}

// watched is an object of the type in which the cache holds a kind: Deployments
// whole but for their spec, plain kinds as metadata, others as they are.
func watched(gvk schema.GroupVersionKind) client.Object {
	switch {
	case gvk == deploymentGVK:
		return &appsv1.Deployment{}
	case isPlain(gvk.GroupKind()):
		o := &metav1.PartialObjectMetadata{}
		o.SetGroupVersionKind(gvk)
		return o
	default:
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(gvk)
		return o
	}
}

// NewMapper knows the kinds that every app may have, so that no discovery is
// needed to write those to a cluster. Other kinds are discovered when they are
// asked for.
func NewMapper(config *rest.Config, httpClient *http.Client) (meta.RESTMapper, error) {
	known := meta.NewDefaultRESTMapper(nil)
	for _, gvk := range append(plainKinds(), deploymentGVK) {
		known.Add(gvk, meta.RESTScopeNamespace)
	}
	known.Add(namespaceGVK, meta.RESTScopeRoot)
	limited := *httpClient
	limited.Timeout = RequestTimeout // discovery takes no context
	discovered, err := apiutil.NewDynamicRESTMapper(config, &limited)
	if err != nil {
		return nil, fmt.Errorf("making a mapper: %w", err)
	}
	return meta.FirstHitRESTMapper{MultiRESTMapper: meta.MultiRESTMapper{known, discovered}}, nil
}

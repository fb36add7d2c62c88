package render

import (
	"cmp"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

// PodSelector is the selector of an app's pods on every member, as a query.
func PodSelector(appName string) string { return v1.LabelApp + "=" + appName }

// podSelector selects the app's pods, on a namespaced member among those of apps
// of other namespaces of the hub.
func (r *rendering) podSelector() map[string]string {
	selector := map[string]string{v1.LabelApp: r.in.Name}
	if r.in.Cluster.Namespace != "" {
		selector[v1.LabelAppNamespace] = r.in.Namespace
	}
	return selector
}

func (r *rendering) addServiceAccount() error {
	t := r.in.Template.ServiceAccount
	if t == nil {
		return nil
	}
	account := &corev1.ServiceAccount{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta: r.objectMeta(),
	}
	path := r.spec.Child("serviceAccount")
	for _, key := range ownAnnotations() {
		if _, ok := t.Annotations[key]; ok {
			return failf(path.Child("annotations").Key(key), "the hub itself sets this annotation: remove it")
		}
	}
	account.Annotations = t.Annotations
	return add(r, path, account)
}

func (r *rendering) addService() error {
	t := r.in.Template.Service
	if t == nil {
		return nil
	}
	s := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: r.objectMeta(),
		Spec:       corev1.ServiceSpec{Type: cmp.Or(t.Type, corev1.ServiceTypeClusterIP), Selector: r.podSelector()},
	}
	for _, p := range t.Ports {
		port := corev1.ServicePort{Name: p.Name, Port: p.Port, Protocol: protocol(p.Protocol)}
		if p.TargetPort != nil {
			port.TargetPort = *p.TargetPort
		} else {
			port.TargetPort.IntVal = p.Port
		}
		s.Spec.Ports = append(s.Spec.Ports, port)
	}
	return add(r, r.spec.Child("service"), s)
}

func (r *rendering) addDisruptionBudget() error {
	t := r.in.Template.Disruption
	if t == nil {
		return nil
	}
	return add(r, r.spec.Child("disruption"), &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: r.objectMeta(),
		Spec: policyv1.PodDisruptionBudgetSpec{
			Selector:       &metav1.LabelSelector{MatchLabels: r.podSelector()},
			MinAvailable:   t.MinAvailable,
			MaxUnavailable: t.MaxUnavailable,
		},
	})
}

func (r *rendering) addAutoscaler() error {
	t := r.in.Template.Autoscaling
	if t == nil {
		return nil
	}
	minReplicas := minReplicas(t)
	scaler := &autoscalingv2.HorizontalPodAutoscaler{
		TypeMeta:   metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"},
		ObjectMeta: r.objectMeta(),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: r.in.Name},
			MinReplicas:    &minReplicas,
			MaxReplicas:    t.MaxReplicas,
		},
	}
	aim := func(resource corev1.ResourceName, percent *int32) {
		if percent == nil {
			return
		}
		scaler.Spec.Metrics = append(scaler.Spec.Metrics, autoscalingv2.MetricSpec{
			Type: autoscalingv2.ResourceMetricSourceType,
			Resource: &autoscalingv2.ResourceMetricSource{
				Name:   resource,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: percent},
			},
		})
	}
	aim(corev1.ResourceCPU, t.TargetCPUUtilization)
	aim(corev1.ResourceMemory, t.TargetMemoryUtilization)
	return add(r, r.spec.Child("autoscaling"), scaler)
}

func minReplicas(a *v1.Autoscaling) int32 {
	if a.MinReplicas != nil {
		return *a.MinReplicas
	}
	return 1
}

// protocol fills in the default, which is part of the key of a port in
// server-side apply.
func protocol(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

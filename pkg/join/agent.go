package join

import (
	"crypto/sha256"
	"encoding/hex"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
)

// annotationJoin restarts an agent whose cluster is joined again.
const annotationJoin = "example.com/join"

// AgentOptions are how an agent runs.
type AgentOptions struct {
	// Image of the agent.
	Image string
	// Proxy is the URL of the HTTP proxy by which the agent reaches the hub. Default: none.
	Proxy string
	// TenantServiceAccount is the ServiceAccount as which the agent acts in each
	// namespace. Default: itself.
	TenantServiceAccount string
}

// Agent is the Deployment of the agent.
func Agent(l Line, o AgentOptions) *appsv1.Deployment {
	name := AgentName(l.Namespace)
	selector := map[string]string{"app.kubernetes.io/name": "myapp-agent", "app.kubernetes.io/instance": name}
	labels := map[string]string{v1.LabelManagedBy: "kubectl-myapp"}
	for k, v := range selector {
		labels[k] = v
	}
	sum := sha256.Sum256([]byte(l.Token))
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](1),
			// Two agents of one member would undo each other's tokens.
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
			Selector: &metav1.LabelSelector{MatchLabels: selector},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{annotationJoin: hex.EncodeToString(sum[:8])}},
				Spec: corev1.PodSpec{
					ServiceAccountName: name,
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532), RunAsGroup: ptr.To[int64](65532),
						SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{agentContainer(name, o, l.Namespace != "")},
				},
			},
		},
	}
}

// proxyEnv leads to the proxy, but for the agent's own cluster.
func proxyEnv(proxy string) []corev1.EnvVar {
	if proxy == "" {
		return nil
	}
	return []corev1.EnvVar{
		{Name: "HTTPS_PROXY", Value: proxy},
		{Name: "NO_PROXY", Value: "$(KUBERNETES_SERVICE_HOST),.svc,.cluster.local"},
	}
}

// Network lets the agent out and others in to its metrics only. Where the two API servers
// are is not known to a policy; name servers listen on port 53, or on 5353 behind a Service.
func Network(l Line) *networkingv1.NetworkPolicy {
	agent := Agent(l, AgentOptions{})
	tcp, udp := corev1.ProtocolTCP, corev1.ProtocolUDP
	return &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Namespace: agent.Namespace, Name: agent.Name, Labels: agent.Labels},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: *agent.Spec.Selector,
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: ptr.To(intstr.FromString("metrics"))}}}},
			Egress: []networkingv1.NetworkPolicyEgressRule{{Ports: []networkingv1.NetworkPolicyPort{
				{Protocol: &tcp}, {Protocol: &udp, Port: ptr.To(intstr.FromInt32(53))}, {Protocol: &udp, Port: ptr.To(intstr.FromInt32(5353))},
			}}},
		},
	}
}

func agentContainer(name string, o AgentOptions, namespaced bool) corev1.Container {
	args := []string{"--secret=" + Namespace + "/" + name}
	if namespaced {
		// It may not ask its cluster who may read the metrics.
		args = append(args, "--metrics-bind-address=0")
	}
	if o.TenantServiceAccount != "" {
		args = append(args, "--tenant-service-account="+o.TenantServiceAccount)
	}
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("health")}}}
	}
	return corev1.Container{
		Name: "agent", Image: o.Image, Args: args, Env: proxyEnv(o.Proxy),
		Ports:         []corev1.ContainerPort{{Name: "health", ContainerPort: 8081}, {Name: "metrics", ContainerPort: 8443}},
		LivenessProbe: probe("/healthz"), ReadinessProbe: probe("/readyz"),
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("48Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

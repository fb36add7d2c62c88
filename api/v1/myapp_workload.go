package v1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// DefaultConfigMountPath is where the files of spec.config are mounted.
const DefaultConfigMountPath = "/etc/config"

// ConfigValue is the content of one file of spec.config.
//
// +kubebuilder:validation:MaxLength=131072
type ConfigValue string

// Sidecar is a further container of every pod. What it does not offer can be
// set through spec.podTemplate, which merges containers by name.
type Sidecar struct {
	// Name of the container, different from the app's name.
	// Example: proxy
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="a container name has lower-case letters, digits and '-', and starts and ends with a letter or digit: for example proxy"
	Name string `json:"name"`
	// Image is the container image. Example: registry.example.com/proxy:2.1
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image"`
	// Command replaces the image's entrypoint. Default: the image's.
	// Example: ["/bin/proxy"]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Command []string `json:"command,omitempty"`
	// Args replaces the image's arguments. Default: the image's.
	// Example: ["--upstream=localhost:8080"]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Args []string `json:"args,omitempty"`
	// Ports are the ports the container listens on; spec.service refers to them
	// by number. Default: none. Example: [{name: proxy, containerPort: 15001}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Ports []Port `json:"ports,omitempty"`
	// Env are environment variables of the container, as in spec.env.
	// Default: none. Example: [{name: LOG_LEVEL, value: debug}]
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []corev1.EnvVar `json:"env,omitempty"`
	// EnvFrom takes environment variables from ConfigMaps and Secrets, as in
	// spec.envFrom. Default: none. Example: [{secretRef: {name: proxy-keys}}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`
	// Resources are the container's requests and limits.
	// Default: none. Example: {requests: {cpu: 50m, memory: 32Mi}}
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
}

// ServiceAccount is a ServiceAccount of the app's own, under which its pods run.
type ServiceAccount struct {
	// Annotations are put on the ServiceAccount, as clouds want them to give
	// pods an identity.
	// Default: none. Example: {eks.amazonaws.com/role-arn: arn:aws:iam::1:role/web}
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Autoscaling makes a HorizontalPodAutoscaler on each member. The number of pods
// there is then the autoscaler's business.
//
// +kubebuilder:validation:XValidation:rule="self.?minReplicas.orValue(1) <= self.maxReplicas",message="minReplicas is larger than maxReplicas: lower the one or raise the other"
// +kubebuilder:validation:XValidation:rule="has(self.targetCPUUtilization) || has(self.targetMemoryUtilization)",message="an autoscaler needs something to aim at: set targetCPUUtilization, targetMemoryUtilization or both"
type Autoscaling struct {
	// MinReplicas is the fewest pods on each member.
	// Default: 1. Example: 2
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// MaxReplicas is the most pods on each member. Example: 20
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	MaxReplicas int32 `json:"maxReplicas"`
	// TargetCPUUtilization is the average use of CPU aimed at, in percent of
	// what the containers request. Default: none. Example: 70
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	TargetCPUUtilization *int32 `json:"targetCPUUtilization,omitempty"`
	// TargetMemoryUtilization is the average use of memory aimed at, in percent
	// of what the containers request. Default: none. Example: 80
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	TargetMemoryUtilization *int32 `json:"targetMemoryUtilization,omitempty"`
}

// Disruption makes a PodDisruptionBudget on each member.
//
// +kubebuilder:validation:XValidation:rule="has(self.minAvailable) != has(self.maxUnavailable)",message="a disruption budget has exactly one of minAvailable and maxUnavailable"
type Disruption struct {
	// MinAvailable is how many pods of a member must stay while nodes are
	// drained, as a number or in percent. Default: none. Example: 1
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == string ? self.matches('^(100|[0-9]{1,2})%$') : self >= 0",message="use a number that is not negative or a share from 0% to 100%"
	MinAvailable *intstr.IntOrString `json:"minAvailable,omitempty"`
	// MaxUnavailable is how many pods of a member may be missing while nodes
	// are drained, as a number or in percent. Default: none. Example: 25%
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:XValidation:rule="type(self) == string ? self.matches('^(100|[0-9]{1,2})%$') : self >= 0",message="use a number that is not negative or a share from 0% to 100%"
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

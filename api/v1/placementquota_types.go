package v1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What a PlacementQuota can bound.
const (
	// QuotaClusters is the number of different members that apps of the namespace are on.
	QuotaClusters corev1.ResourceName = "clusters"
	// QuotaReplicas is the number of pods that apps of the namespace have on all members
	// together; of an app with an autoscaler, the most that it may have.
	QuotaReplicas corev1.ResourceName = "replicas"
	// QuotaCPU and QuotaMemory are what the containers of these pods request.
	QuotaCPU    corev1.ResourceName = corev1.ResourceRequestsCPU
	QuotaMemory corev1.ResourceName = corev1.ResourceRequestsMemory
)

// PlacementQuota bounds what the MyApps of its namespace may have on all members
// together, as a ResourceQuota bounds what is on one cluster. An app that would go beyond
// it keeps what it has, and says so: nothing of it is changed on any member before it fits.
// A quota that is made smaller takes nothing away. Objects of spec.manifests do not count.
// How many MyApps there are is bounded by a ResourceQuota on the hub, with
// count/myapps.example.com.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=placementquotas,singular=placementquota,shortName=pq
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Clusters",type=string,JSONPath=`.status.used.clusters`
// +kubebuilder:printcolumn:name="Of",type=string,JSONPath=`.spec.hard.clusters`
// +kubebuilder:printcolumn:name="Replicas",type=string,JSONPath=`.status.used.replicas`
// +kubebuilder:printcolumn:name="Of",type=string,JSONPath=`.spec.hard.replicas`
// +kubebuilder:printcolumn:name="CPU",type=string,JSONPath=`.status.used.requests\.cpu`
// +kubebuilder:printcolumn:name="Of",type=string,JSONPath=`.spec.hard.requests\.cpu`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PlacementQuota struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what is allowed.
	// +required
	Spec PlacementQuotaSpec `json:"spec"`
	// Status is what is used. Only the hub writes it.
	// +optional
	Status PlacementQuotaStatus `json:"status,omitempty,omitzero"`
}

// PlacementQuotaSpec is what the apps of a namespace may have.
type PlacementQuotaSpec struct {
	// Hard is the most of each: clusters, replicas, requests.cpu, requests.memory. What is
	// not named is not bounded. Example: {clusters: 3, replicas: 100, requests.cpu: 40}
	// +required
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=4
	// +kubebuilder:validation:XValidation:rule="self.all(k, k in ['clusters', 'replicas', 'requests.cpu', 'requests.memory'])",message="what can be bounded is clusters, replicas, requests.cpu and requests.memory"
	Hard map[corev1.ResourceName]resource.Quantity `json:"hard"`
}

// PlacementQuotaStatus is what the apps of a namespace have.
type PlacementQuotaStatus struct {
	// Used is what rows of status.placements stand for, of what is bounded.
	// +optional
	Used corev1.ResourceList `json:"used,omitempty"`
}

// PlacementQuotaList is a list of PlacementQuotas.
//
// +kubebuilder:object:root=true
type PlacementQuotaList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PlacementQuota `json:"items"`
}

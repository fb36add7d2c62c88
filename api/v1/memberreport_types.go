package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MemberReport is what the agent of a Pull member finds out about its cluster. It is in
// the mailbox of the member and always has the name agent. Only the agent writes it; the
// hub copies it to the status of the MemberCluster, so that it stays the only writer there.
// It has no status, for it is nobody's wish: one request of one writer makes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=memberreports,singular=memberreport,scope=Namespaced
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.kubernetesVersion`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'agent'",message="a member has one MemberReport: metadata.name must be agent"
type MemberReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what is reported.
	// +required
	Spec MemberReportSpec `json:"spec"`
}

// MemberReportSpec is what is known of a cluster.
//
// +kubebuilder:validation:XValidation:rule="!has(self.apis) || self.apis.map(a, size(a)).sum() <= 131072",message="apis are too long: all of them together may have 131072 characters"
// +kubebuilder:validation:XValidation:rule="!has(self.capacity) || !has(self.capacityUnknown)",message="capacity is known or it is not: leave out capacityUnknown or capacity"
type MemberReportSpec struct {
	// KubernetesVersion is that of the cluster's API server.
	// Default: not known. Example: v1.36.3
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[-+._0-9A-Za-z]*$`
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// Capacity is what the cluster's nodes have for pods.
	// Default: not known
	// +optional
	Capacity *Capacity `json:"capacity,omitempty"`
	// CapacityUnknown is why capacity is missing.
	// Default: it was not measured. Example: PermissionMissing
	// +optional
	CapacityUnknown CapacityUnknown `json:"capacityUnknown,omitempty"`
	// APIs are the kinds that the cluster serves and an app may need, as VERSION/KIND or
	// GROUP/VERSION/KIND: those that are in namespaces and can be created.
	// Default: not known. Example: [apps/v1/Deployment, v1/Service]
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=2000
	// +kubebuilder:validation:items:MaxLength=450
	// +kubebuilder:validation:items:Pattern=`^([-.0-9a-z]+/)?[0-9a-z]+/[0-9A-Za-z]+$`
	APIs []string `json:"apis,omitempty"`
}

// CapacityUnknown is why the capacity of a cluster is not known; it becomes the reason of the
// condition CapacityKnown.
//
// +kubebuilder:validation:Enum=PermissionMissing;Unreadable;NamespacedMember;NoNodes
type CapacityUnknown string

const (
	// CapacityForbidden: nodes or pods may not be read.
	CapacityForbidden CapacityUnknown = "PermissionMissing"
	// CapacityUnreadable: nodes or pods cannot be read.
	CapacityUnreadable CapacityUnknown = "Unreadable"
	// CapacityNamespaced: the member is one namespace of its cluster.
	CapacityNamespaced CapacityUnknown = "NamespacedMember"
	// CapacityNoNodes: the cluster has no nodes, and may get some when there are pods.
	CapacityNoNodes CapacityUnknown = "NoNodes"
)

// MemberReportList is a list of MemberReports.
//
// +kubebuilder:object:root=true
type MemberReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MemberReport `json:"items"`
}

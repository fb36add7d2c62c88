package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Work is one app in the mailbox of a Pull member: what its agent is to put on
// the cluster, and what the agent reports back. The hub writes the spec, the
// agent of that member the status.
//
// A Work that vanishes means nothing: the agent removes an app only when a
// Work says state: Removed.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=works,singular=work,scope=Namespaced
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="App",type=string,JSONPath=`.spec.app.name`
// +kubebuilder:printcolumn:name="Namespace",type=string,JSONPath=`.spec.app.namespace`
// +kubebuilder:printcolumn:name="Wanted",type=string,JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Work struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what the agent is to put on the cluster.
	// +required
	Spec WorkSpec `json:"spec"`
	// Status is what the agent reports.
	// +optional
	Status WorkStatus `json:"status,omitempty,omitzero"`
}

// WorkState is whether an app is to be on the cluster.
//
// +kubebuilder:validation:Enum=Present;Removed
type WorkState string

const (
	// WorkPresent orders the agent to have the manifests on the cluster.
	WorkPresent WorkState = "Present"
	// WorkRemoved orders the agent to take the app off the cluster.
	WorkRemoved WorkState = "Removed"
)

// WorkSpec is what the agent is to put on the cluster.
//
// +kubebuilder:validation:XValidation:rule="self.state != 'Present' || (has(self.contentHash) && has(self.manifests) && size(self.manifests) > 0)",message="state Present needs manifests and their contentHash; to take the app off the cluster use state Removed"
type WorkSpec struct {
	// State is whether the app is to be on the cluster. Example: Present
	// +required
	State WorkState `json:"state"`
	// HubID is the identity of the hub that gave the order.
	// +required
	// +kubebuilder:validation:MinLength=1
	HubID string `json:"hubID"`
	// HubEpoch counts the times the hub was released after it had been restored
	// from a backup. An order of a lower epoch is older.
	// +optional
	HubEpoch int64 `json:"hubEpoch,omitempty"`
	// App is the MyApp on the hub.
	// +required
	App AppReference `json:"app"`
	// Namespace is where all objects of the app are, if the member is one namespace
	// of its cluster. An agent that runs for another one, or for the whole cluster,
	// does not carry the order out. Default: the app's own. Example: team-a
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// ContentHash is the hash of the manifests.
	// +optional
	ContentHash string `json:"contentHash,omitempty"`
	// DeletionPolicy says what Removed means for the objects.
	// +required
	DeletionPolicy DeletionPolicy `json:"deletionPolicy"`
	// Manifests are the objects, in the order in which they are applied.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:pruning:PreserveUnknownFields
	Manifests []runtime.RawExtension `json:"manifests,omitempty"`
	// Secrets say where the content of the Secrets among the manifests is.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	Secrets []WorkSecret `json:"secrets,omitempty"`
	// Policies say how to treat what is found on the cluster.
	// +optional
	Policies Policies `json:"policies,omitempty,omitzero"`
}

// AppReference is a MyApp on the hub.
type AppReference struct {
	// Namespace of the MyApp.
	Namespace string `json:"namespace"`
	// Name of the MyApp.
	Name string `json:"name"`
	// UID of the MyApp: an app that was deleted and made again is another app.
	UID types.UID `json:"uid"`
	// Generation of the MyApp when the order was given.
	Generation int64 `json:"generation"`
	// SpecHash is the hash of the MyApp's spec at that generation.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SpecHash string `json:"specHash,omitempty"`
}

// Policies say how the engine is to treat what it finds on the cluster.
type Policies struct {
	// Drift says what happens when somebody changes an object.
	// +optional
	Drift Drift `json:"drift,omitempty,omitzero"`
	// Adoption says what happens with objects that exist already.
	// +optional
	Adoption AdoptionPolicy `json:"adoption,omitempty"`
	// HealthRules say when objects are healthy.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	HealthRules []HealthRule `json:"healthRules,omitempty"`
}

// WorkSecret is a Secret of the app. Its content is not in the Work but in a
// Secret of the mailbox.
type WorkSecret struct {
	// Name of the Secret on the cluster, which is one of the manifests.
	Name string `json:"name"`
	// MailboxName is the name of the Secret in the mailbox that has the content.
	MailboxName string `json:"mailboxName"`
}

// WorkStatus is what the agent reports.
type WorkStatus struct {
	// ObservedGeneration is the metadata.generation of the Work this report is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Sequence counts the reports about this Work.
	// +optional
	Sequence int64 `json:"sequence,omitempty"`
	// AppUID is the UID of the MyApp that this report is about: that of spec.app.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	AppUID string `json:"appUID,omitempty"`
	// HubEpoch is the epoch of the order that this report answers: spec.hubEpoch.
	// +optional
	HubEpoch int64 `json:"hubEpoch,omitempty"`
	// ObservedTime is when the report was made, by the agent's clock.
	// +optional
	ObservedTime metav1.Time `json:"observedTime,omitempty,omitzero"`
	// Feedback is how the app is doing on the cluster.
	Feedback `json:",inline"`
}

// FeedbackState is how an app is doing on one cluster.
//
// +kubebuilder:validation:Enum=Progressing;Ready;Failed;Removing;Removed
type FeedbackState string

const (
	// FeedbackProgressing: applied or being applied, not all pods updated and ready.
	FeedbackProgressing FeedbackState = "Progressing"
	// FeedbackReady: applied, and all pods are updated and ready.
	FeedbackReady FeedbackState = "Ready"
	// FeedbackFailed: the cluster refused an object, or pods cannot become ready.
	FeedbackFailed FeedbackState = "Failed"
	// FeedbackRemoving: objects of the app are still there.
	FeedbackRemoving FeedbackState = "Removing"
	// FeedbackRemoved: nothing of the app is left on the cluster, or it was orphaned.
	FeedbackRemoved FeedbackState = "Removed"
)

// Feedback is how an app is doing on one cluster, seen from that cluster.
type Feedback struct {
	// State is how the app is doing.
	// +optional
	State FeedbackState `json:"state,omitempty"`
	// AppliedHash is the hash of the content that is on the cluster; empty
	// while some of it is not.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	AppliedHash string `json:"appliedHash,omitempty"`
	// Replicas is the number of pods.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Replicas int32 `json:"replicas,omitempty"`
	// ReadyReplicas is the number of ready pods.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`
	// Reason is why the app is in its state, one word of a closed set.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^([A-Z][A-Za-z0-9]*)?$`
	Reason string `json:"reason,omitempty"`
	// Message says it for a person.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// WorkList is a list of Works.
//
// +kubebuilder:object:root=true
type WorkList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Work `json:"items"`
}

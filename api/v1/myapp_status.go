package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MyAppStatus is what the hub knows of the app on every member.
type MyAppStatus struct {
	// ObservedGeneration is the metadata.generation this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Revision is the name of the ControllerRevision of the current spec.
	// +optional
	Revision string `json:"revision,omitempty"`
	// Summary counts members and replicas.
	// +optional
	Summary *Summary `json:"summary,omitempty"`
	// Replicas is, in the unit of spec.replicas, what every member has at
	// least: the fewest pods on one of the members whose number no override
	// changes, 0 if there is none; with autoscaling the fewest on any member.
	// The scale subresource shows it.
	// +optional
	Replicas int32 `json:"replicas"`
	// Selector selects the app's pods on a member, in the form of a query.
	// The scale subresource shows it.
	// +optional
	Selector string `json:"selector,omitempty"`
	// Placements has a row for every member that has, gets or is losing the
	// app, ordered by name. The hub records a decision here before it acts on it.
	// +optional
	// +listType=atomic
	Placements []PlacementRow `json:"placements,omitempty"`
	// Departures are the members that the app was taken off by decisions that nobody has
	// acknowledged. Those of the last ten minutes count when the hub asks whether too many
	// members are left; older ones mean nothing, and go with the next.
	// +optional
	// +listType=atomic
	Departures []Departure `json:"departures,omitempty"`
	// Rollout is how far a new revision is, with spec.rollout.type Progressive.
	// +optional
	Rollout *RolloutStatus `json:"rollout,omitempty"`
	// Conditions are Scheduled, Applied, Available, Progressing, Held, Stalled
	// and Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Departure is that the app was taken off a member.
type Departure struct {
	// Cluster is the name of the MemberCluster.
	Cluster string `json:"cluster"`
	// Time is when that was decided.
	Time metav1.Time `json:"time"`
}

// Summary counts members and replicas. Members that do not answer count as
// unknown, never as ready.
type Summary struct {
	// Clusters is the number of members that have, get or are losing the app.
	Clusters int32 `json:"clusters"`
	// Ready is the number of members on which the current revision is ready.
	Ready int32 `json:"ready"`
	// Updated is the number of members that have the current revision and replicas.
	Updated int32 `json:"updated"`
	// Unknown is the number of members that do not answer.
	Unknown int32 `json:"unknown"`
	// TotalReplicas is the number of pods wanted on all members together.
	TotalReplicas int32 `json:"totalReplicas"`
	// ReadyReplicas is the number of ready pods on members that answer.
	ReadyReplicas int32 `json:"readyReplicas"`
	// UnknownReplicas is the number of pods wanted on members that do not answer.
	UnknownReplicas int32 `json:"unknownReplicas"`
}

// PlacementState is where the app stands on one member.
//
// +kubebuilder:validation:Enum=Pending;Progressing;Ready;Failed;Unknown;Leaving;Removing;Stray
type PlacementState string

const (
	// PlacementPending: decided and recorded; the member does not have it yet.
	PlacementPending PlacementState = "Pending"
	// PlacementProgressing: applied; its pods are not all updated and ready.
	PlacementProgressing PlacementState = "Progressing"
	// PlacementReady: applied, and all its pods are updated and ready.
	PlacementReady PlacementState = "Ready"
	// PlacementFailed: the member refused it, or its pods cannot become ready.
	PlacementFailed PlacementState = "Failed"
	// PlacementUnknown: the member does not answer; the row keeps the last report.
	PlacementUnknown PlacementState = "Unknown"
	// PlacementLeaving: the app is to leave the member, and stays as it is until those
	// that take over are ready.
	PlacementLeaving PlacementState = "Leaving"
	// PlacementRemoving: the app is ordered to leave the member. The row stays
	// until the member has confirmed that nothing is left.
	PlacementRemoving PlacementState = "Removing"
	// PlacementStray: the member has objects of this app that no decision
	// explains. They are shown and left alone.
	PlacementStray PlacementState = "Stray"
)

// PlacementRow is the app on one member: what was decided and what is known.
type PlacementRow struct {
	// Cluster is the name of the MemberCluster.
	Cluster string `json:"cluster"`
	// State is where the app stands on the member.
	State PlacementState `json:"state"`
	// Decision counts the decisions about this member. What a member reports
	// is believed only for the decision it was told.
	Decision int64 `json:"decision"`
	// Revision is the ControllerRevision the member is to run.
	// +optional
	Revision string `json:"revision,omitempty"`
	// PreviousRevision is, while another one is rolled out, the last revision that was ready
	// on the member: what it goes back to.
	// +optional
	PreviousRevision string `json:"previousRevision,omitempty"`
	// RevisionTime is when the member was told Revision; set during a rollout in steps.
	// +optional
	RevisionTime *metav1.Time `json:"revisionTime,omitempty"`
	// AppliedHash is the hash of the content that the member last confirmed.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	AppliedHash string `json:"appliedHash,omitempty"`
	// Replicas is the number of pods the member is to run.
	Replicas int32 `json:"replicas"`
	// CurrentReplicas is the number of pods the member last reported.
	// +optional
	CurrentReplicas int32 `json:"currentReplicas,omitempty"`
	// ReadyReplicas is the number of ready pods the member last reported.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`
	// Updated is true when the member has confirmed this revision and these replicas.
	// +optional
	Updated bool `json:"updated,omitempty"`
	// Reason is why the row is in its state, one word of a closed set.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// Message says it for a person: what is wrong, where, and what to do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// LastTransitionTime is when State last changed.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitempty,omitzero"`
	// LastReportTime is when the member was last heard of; set while it does not answer.
	// +optional
	LastReportTime *metav1.Time `json:"lastReportTime,omitempty"`
}

// IsPlaced is true for a row by which the member has the app or is to have it, until it is
// ordered to go: not for one that is Removing, nor for a Stray, which nobody has decided.
func (r *PlacementRow) IsPlaced() bool {
	return r.State != PlacementRemoving && r.State != PlacementStray
}

package v1

// Condition types of a MyApp. A type that is missing means Unknown, never True.
const (
	// ConditionScheduled is True when at least one member is chosen.
	ConditionScheduled = "Scheduled"
	// ConditionApplied is True when every chosen member has confirmed the
	// current revision and replicas.
	ConditionApplied = "Applied"
	// ConditionProgressing is True while the hub works towards the spec.
	ConditionProgressing = "Progressing"
	// ConditionReady is True when every chosen member is ready with the current
	// revision, and no member is unknown. It is also the condition of a
	// MemberCluster that answers.
	ConditionReady = "Ready"
	// ConditionStalled is True when a member refuses the app and only a change
	// by a person can help. Abnormal-True.
	ConditionStalled = "Stalled"
)

// AppConditions is the complete set of condition types of a MyApp, in the
// order in which they are shown.
func AppConditions() []string {
	return []string{ConditionScheduled, ConditionApplied, ConditionProgressing, ConditionReady, ConditionStalled}
}

// Reasons of MyApp conditions and placement rows.
const (
	// ReasonPlaced: members were chosen.
	ReasonPlaced = "Placed"
	// ReasonNoMembers: no MemberCluster exists.
	ReasonNoMembers = "NoMembers"
	// ReasonNoMatch: no member's labels match the selector.
	ReasonNoMatch = "NoMatchingMember"
	// ReasonNoneReady: members match, but none of them is ready.
	ReasonNoneReady = "NoReadyMember"
	// ReasonSelectorInvalid: the label selector cannot be understood.
	ReasonSelectorInvalid = "SelectorInvalid"

	// ReasonPending: recorded; not yet on the member.
	ReasonPending = "Pending"
	// ReasonUpdating: members do not all have the current revision and replicas.
	ReasonUpdating = "Updating"
	// ReasonPodsNotReady: applied; pods are not all updated and ready.
	ReasonPodsNotReady = "PodsNotReady"
	// ReasonAllReady: every member is ready.
	ReasonAllReady = "AllMembersReady"
	// ReasonApplied: every member has the current revision and replicas.
	ReasonApplied = "Applied"
	// ReasonPaused: spec.paused holds the app as it is.
	ReasonPaused = "Paused"
	// ReasonDeleting: the app is leaving its members because it is deleted.
	ReasonDeleting = "Deleting"
	// ReasonNotChosen: the app is leaving the member because the placement no longer chooses it.
	ReasonNotChosen = "NoLongerChosen"
	// ReasonMemberUnknown: a member does not answer.
	ReasonMemberUnknown = "MemberUnknown"
	// ReasonMemberGone: the MemberCluster of a row does not exist.
	ReasonMemberGone = "MemberClusterMissing"
	// ReasonMemberFailed: a member refuses the app, or its pods cannot become ready.
	ReasonMemberFailed = "MemberFailed"
	// ReasonStray: the member has objects of the app that no decision explains.
	ReasonStray = "Stray"

	// ReasonDeploymentFailed: the Deployment cannot become ready.
	ReasonDeploymentFailed = "DeploymentFailed"
	// ReasonNotOwned: an object of that name exists on the member and is not this app's.
	ReasonNotOwned = "AlreadyExists"
	// ReasonRejected: the member's API server refuses the object as invalid.
	ReasonRejected = "Rejected"
	// ReasonForbidden: the member does not permit the request.
	ReasonForbidden = "Forbidden"
	// ReasonApplyError: a request to the member failed and is tried again.
	ReasonApplyError = "ApplyError"
	// ReasonUnreadable: the hub may not or cannot list what is on the member.
	ReasonUnreadable = "Unreadable"
	// ReasonTerminating: an object on the member is being deleted and is waited for.
	ReasonTerminating = "Terminating"
	// ReasonRemoving: objects of the app are being removed from the member.
	ReasonRemoving = "Removing"
	// ReasonRemoved: nothing of the app is left on the member.
	ReasonRemoved = "Removed"
	// ReasonNoStall: no member needs a person's help.
	ReasonNoStall = "NotStalled"
)

// Reasons of a MemberCluster's Ready condition.
const (
	// ReasonConnected: the member answers.
	ReasonConnected = "Connected"
	// ReasonUnreachable: the member's API server does not answer the hub.
	ReasonUnreachable = "Unreachable"
	// ReasonHeartbeatMissing: the member's agent has fallen silent.
	ReasonHeartbeatMissing = "HeartbeatMissing"
	// ReasonAwaitingAgent: the member's agent has not reported yet.
	ReasonAwaitingAgent = "AwaitingAgent"
	// ReasonCredentialMissing: the kubeconfig Secret or its key does not exist.
	ReasonCredentialMissing = "CredentialMissing"
	// ReasonCredentialRefused: the kubeconfig has something the hub does not accept.
	ReasonCredentialRefused = "CredentialRefused"
	// ReasonCredentialRejected: the member's API server does not accept the credential.
	ReasonCredentialRejected = "CredentialRejected"
	// ReasonNamespaceConflict: the mailbox namespace exists and is not the hub's.
	ReasonNamespaceConflict = "NamespaceConflict"
)

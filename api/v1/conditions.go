package v1

// Condition types of a MyApp. A type that is missing means Unknown, never True.
const (
	// ConditionScheduled is True when at least one member is chosen.
	ConditionScheduled = "Scheduled"
	// ConditionApplied is True when every chosen member has confirmed the
	// current revision and replicas.
	ConditionApplied = "Applied"
	// ConditionAvailable is True when at least one pod is ready on every chosen
	// member that is to run any.
	ConditionAvailable = "Available"
	// ConditionHeld is True while the hub changes nothing for the app, because it
	// found that it is older than what the members have, or does not go on with a change
	// that would take the app off too many members at once. Abnormal-True.
	ConditionHeld = "Held"
	// ConditionProgressing is True while the hub works towards the spec.
	ConditionProgressing = "Progressing"
	// ConditionReady is True when every chosen member is ready with the current
	// revision, and no member is unknown. It is also the condition of a
	// MemberCluster that answers.
	ConditionReady = "Ready"
	// ConditionStalled is True when only a change by a person can help: the spec
	// is not valid, or a member refuses what it says. Abnormal-True.
	ConditionStalled = "Stalled"
)

// Condition types of a MemberCluster, beside Ready.
const (
	// ConditionAccepted is True when apps may be placed on the member.
	ConditionAccepted = "Accepted"
	// ConditionJoined is True when the hub has a credential for the member (Push), or
	// its agent one for the hub (Pull).
	ConditionJoined = "Joined"
	// ConditionCapacityKnown is True when status.capacity is what the cluster's nodes have
	// and what is requested of it. Nothing but placement by capacity depends on it.
	ConditionCapacityKnown = "CapacityKnown"
)

// MemberConditions is the complete set of condition types of a MemberCluster, in the
// order in which they come about.
func MemberConditions() []string {
	return []string{ConditionAccepted, ConditionJoined, ConditionReady, ConditionCapacityKnown}
}

// AppConditions is the complete set of condition types of a MyApp, in the
// order in which they are shown.
func AppConditions() []string {
	return []string{ConditionScheduled, ConditionApplied, ConditionAvailable, ConditionProgressing, ConditionHeld, ConditionStalled, ConditionReady}
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
	// ReasonSpecInvalid: the spec was admitted but is not valid; members keep
	// what they have.
	ReasonSpecInvalid = "SpecInvalid"

	// ReasonNameMismatch: spec.placement.clusterNames does not have the member.
	ReasonNameMismatch = "NameNotListed"
	// ReasonExpressionFalse: spec.placement.expression is false for the member.
	ReasonExpressionFalse = "ExpressionFalse"
	// ReasonExpressionFailed: spec.placement.expression cannot be told for the member.
	ReasonExpressionFailed = "ExpressionFailed"
	// ReasonNoGroup: the member is in none of spec.placement.groups.
	ReasonNoGroup = "NotInAnyGroup"
	// ReasonTopologyMissing: the member lacks a label that spec.placement.spread asks for.
	ReasonTopologyMissing = "TopologyKeyMissing"
	// ReasonTaintNotTolerated: the member has a taint that lets the app not come.
	ReasonTaintNotTolerated = "TaintNotTolerated"
	// ReasonEvicted: the app leaves the member because of a taint, or because the member
	// does not answer.
	ReasonEvicted = "Evicted"
	// ReasonNoCapacity: the member has too little room for the app.
	ReasonNoCapacity = "InsufficientCapacity"
	// ReasonNotNeeded: the member would do, and others were chosen.
	ReasonNotNeeded = "NotNeeded"
	// ReasonNoReplicas: there are not enough replicas for the member to run any.
	ReasonNoReplicas = "NoReplicas"
	// ReasonAwaitingAck: the app would leave more than half of its members, and a person
	// has not acknowledged it.
	ReasonAwaitingAck = "AwaitingAcknowledgement"
	// ReasonEvictionBudget: the app is to leave more members than spec.failover allows at
	// one time.
	ReasonEvictionBudget = "EvictionBudget"

	// ReasonRollingOut: members are given the new revision, step by step.
	ReasonRollingOut = "RollingOut"
	// ReasonSoaking: a step's members must be ready for some time yet.
	ReasonSoaking = "Soaking"
	// ReasonAwaitingGate: a gate of the step has not passed yet.
	ReasonAwaitingGate = "AwaitingGate"
	// ReasonGateFailed: a gate of the step has not passed in time.
	ReasonGateFailed = "GateFailed"
	// ReasonAwaitingApproval: a person has to approve the step.
	ReasonAwaitingApproval = "AwaitingApproval"
	// ReasonAwaitingMembers: a step's members must become ready or answer.
	ReasonAwaitingMembers = "AwaitingMembers"
	// ReasonMaxUnavailable: so many members are not ready that no other may be updated.
	ReasonMaxUnavailable = "MaxUnavailable"
	// ReasonOutsideWindow: members are updated in change windows, and none is open.
	ReasonOutsideWindow = "OutsideChangeWindow"
	// ReasonRolloutFailed: the new revision has failed on more members than it may.
	ReasonRolloutFailed = "RolloutFailed"
	// ReasonRollingBack: the new revision has failed and is taken back.
	ReasonRollingBack = "RollingBack"
	// ReasonRolledBack: the new revision has failed and was taken back.
	ReasonRolledBack = "RolledBack"
	// ReasonRolloutCompleted: all steps are done.
	ReasonRolloutCompleted = "RolloutCompleted"

	// ReasonAwaitingDependency: an app of spec.dependsOn must be there first.
	ReasonAwaitingDependency = "AwaitingDependency"
	// ReasonDependencyCycle: apps depend on each other, and each waits for the next.
	ReasonDependencyCycle = "DependencyCycle"

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
	// ReasonNamespaceNotAllowed: spec.allowedNamespaces of the MemberCluster does not
	// choose the namespace of the app.
	ReasonNamespaceNotAllowed = "NamespaceNotAllowed"
	// ReasonMemberLeaving: spec.leave of the MemberCluster says that apps leave it. Of a
	// MemberCluster: it says to forget it.
	ReasonMemberLeaving = "MemberLeaving"
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
	// ReasonNameConflict: an app of this name from another namespace of the hub has
	// the name on a namespaced member.
	ReasonNameConflict = "NameConflict"
	// ReasonNamespaceMissing: the namespace of a namespaced member does not exist.
	ReasonNamespaceMissing = "NamespaceMissing"
	// ReasonRejected: the member's API server refuses the object as invalid.
	ReasonRejected = "Rejected"
	// ReasonPermissionMissing: the hub's or the agent's account on the member lacks rights
	// that the app's objects need.
	ReasonPermissionMissing = "PermissionMissing"
	// ReasonForbidden: the member does not permit the request.
	ReasonForbidden = "Forbidden"
	// ReasonApplyError: a request to the member failed and is tried again.
	ReasonApplyError = "ApplyError"
	// ReasonUnreadable: the hub may not or cannot list what is on the member.
	ReasonUnreadable = "Unreadable"
	// ReasonTerminating: an object on the member is being deleted and is waited for.
	ReasonTerminating = "Terminating"
	// ReasonDrifted: somebody changed objects of the app on the member, and
	// spec.drift says to report it.
	ReasonDrifted = "Drifted"
	// ReasonContested: somebody changes objects of the app back each time they
	// are corrected.
	ReasonContested = "DriftContested"
	// ReasonConflict: somebody else owns a field that the app sets, and
	// spec.drift says to report it.
	ReasonConflict = "FieldConflict"
	// ReasonKindMissing: the member does not serve a kind of the app's objects.
	ReasonKindMissing = "KindNotServed"
	// ReasonNotPermitted: an object is of a kind or in a place that an app may not use.
	ReasonNotPermitted = "NotPermitted"
	// ReasonSecretMissing: a Secret that the app refers to is not there to be copied.
	ReasonSecretMissing = "SecretMissing"
	// ReasonRenderError: the app cannot be rendered for the member.
	ReasonRenderError = "RenderError"
	// ReasonObjectsNotReady: applied; objects other than the Deployment are not ready.
	ReasonObjectsNotReady = "ObjectsNotReady"
	// ReasonObjectFailed: an object other than the Deployment has failed.
	ReasonObjectFailed = "ObjectFailed"
	// ReasonHubRestored: the hub is older than what the member has, as after a
	// restore from a backup.
	ReasonHubRestored = "HubRestored"
	// ReasonHubReplaced: the member has the app from another hub that knew the
	// member by the same name.
	ReasonHubReplaced = "HubReplaced"
	// ReasonNotHeld: nothing holds the app.
	ReasonNotHeld = "NotHeld"
	// ReasonAvailable: at least one pod is ready everywhere.
	ReasonAvailable = "PodsAvailable"
	// ReasonUnavailable: no pod is ready on a member.
	ReasonUnavailable = "NoPodReady"
	// ReasonRemoving: objects of the app are being removed from the member.
	ReasonRemoving = "Removing"
	// ReasonRemoved: nothing of the app is left on the member.
	ReasonRemoved = "Removed"
	// ReasonNoStall: no member needs a person's help.
	ReasonNoStall = "NotStalled"
)

// Reasons of a MemberCluster's conditions.
const (
	// ReasonAccepted: spec.accepted is true.
	ReasonAccepted = "Accepted"
	// ReasonNotAccepted: spec.accepted is false: nothing is placed on the member, and
	// nothing is written to it.
	ReasonNotAccepted = "NotAccepted"
	// ReasonJoined: there is a credential.
	ReasonJoined = "Joined"
	// ReasonConnected: the member answers.
	ReasonConnected = "Connected"
	// ReasonMeasured: nodes and pods of the member's cluster are counted.
	ReasonMeasured = "Measured"
	// ReasonNamespacedMember: the member is one namespace of its cluster, whose nodes are
	// not its own.
	ReasonNamespacedMember = "NamespacedMember"
	// ReasonNoNodes: the member's cluster has no nodes now.
	ReasonNoNodes = "NoNodes"
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
	// ReasonQuotaExceeded: a PlacementQuota of the app's namespace does not allow what the
	// spec asks for.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonTooMuchSent: the member sends the hub more than any member may.
	ReasonTooMuchSent = "TooMuchSent"
	// ReasonNamespaceConflict: the mailbox namespace exists and is not the hub's.
	ReasonNamespaceConflict = "NamespaceConflict"
)

// NeedsPerson is true for the reason of a row whose member answers the same until
// somebody changes something: no retry mends it.
func NeedsPerson(reason string) bool {
	switch reason {
	case ReasonNotOwned, ReasonNameConflict, ReasonNamespaceMissing, ReasonRejected, ReasonForbidden, ReasonPermissionMissing,
		ReasonContested, ReasonConflict, ReasonNotPermitted, ReasonKindMissing,
		ReasonSecretMissing, ReasonRenderError, ReasonHubReplaced:
		return true
	}
	return false
}

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Rollout says how a new revision of the app reaches the members that have it.
//
// +kubebuilder:validation:XValidation:rule="(has(self.type) && self.type == 'Progressive') || !(has(self.steps) || has(self.maxUnavailable) || has(self.maxFailures) || has(self.onFailure) || has(self.progressDeadlineSeconds) || has(self.windows))",message="steps, maxUnavailable, maxFailures, onFailure, progressDeadlineSeconds and windows are for type Progressive: set type, or remove them"
type Rollout struct {
	// Type is AllAtOnce, for every member gets a new revision at once, or Progressive, for
	// it goes from step to step. The first revision of an app, and members that are added
	// once their step is reached, always get it at once. Replicas, placement and policies
	// belong to no revision: a change of them starts no rollout.
	// Default: AllAtOnce. Example: Progressive
	// +optional
	Type RolloutType `json:"type,omitempty"`
	// Steps are taken in their order, each once the one before it is done. A member belongs
	// to the first step that chooses it; those that none chooses come last, in a step of
	// their own.
	// Default: one step of all members. Example: [{name: canary, clusterNames: [eu-1], soakSeconds: 600}]
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Steps []RolloutStep `json:"steps,omitempty"`
	// MaxUnavailable is how many of the app's members, as a number or percentage rounded up,
	// may be without a ready app while a ready one is updated. Those that are so anyway
	// count, and may be updated themselves at any time. Those on which the revision has failed
	// and may have (maxFailures, onFailure Continue, or accepted by a person) do not count. On
	// the way back it is how many go back at one time.
	// Default: 25%. Example: 2
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^([1-9][0-9]?|100)%$`
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
	// MaxFailures is how many members a revision may fail on without more ado. It has failed
	// on a member that says so, and on one that makes no progress for
	// progressDeadlineSeconds. A member that does not answer has not failed.
	// Default: 0. Example: 1
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MaxFailures *int32 `json:"maxFailures,omitempty"`
	// OnFailure is what happens when a revision fails on more members than maxFailures, or
	// when a gate does not pass in time: Pause stops and waits for a person; Rollback takes
	// it back on the members that got it, the last first, and does not try it again;
	// Continue goes on.
	// Default: Pause. Example: Rollback
	// +optional
	OnFailure RolloutFailurePolicy `json:"onFailure,omitempty"`
	// ProgressDeadlineSeconds is for how long, in seconds, a member that answers may make no
	// progress until the revision has failed there. A step may have its own.
	// Default: 600. Example: 300
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`
	// Windows are the times at which members may be updated; rollbacks do not wait for them.
	// Default: always. Example: [{schedule: "0 22 * * 1-5", durationSeconds: 14400, timeZone: Europe/Berlin}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Windows []ChangeWindow `json:"windows,omitempty"`
}

// RolloutType says how a new revision reaches the members.
//
// +kubebuilder:validation:Enum=AllAtOnce;Progressive
type RolloutType string

const (
	// RolloutAllAtOnce gives it to all at once.
	RolloutAllAtOnce RolloutType = "AllAtOnce"
	// RolloutProgressive gives it to some after others.
	RolloutProgressive RolloutType = "Progressive"
)

// RolloutFailurePolicy is what happens when a rollout fails.
//
// +kubebuilder:validation:Enum=Pause;Rollback;Continue
type RolloutFailurePolicy string

const (
	// RolloutPause waits for a person.
	RolloutPause RolloutFailurePolicy = "Pause"
	// RolloutRollback takes the revision back.
	RolloutRollback RolloutFailurePolicy = "Rollback"
	// RolloutContinue goes on.
	RolloutContinue RolloutFailurePolicy = "Continue"
)

// RolloutStep is some of the members, and what is asked of them before the next step.
type RolloutStep struct {
	// Name of the step. Example: canary
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// ClusterNames chooses the members by name; with clusterSelector too, both must hold.
	// Default: every member. Example: [eu-1]
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=56
	ClusterNames []string `json:"clusterNames,omitempty"`
	// ClusterSelector chooses the members by the labels of their MemberCluster.
	// Default: every member. Example: {matchLabels: {tier: canary}}
	// +optional
	ClusterSelector *ClusterSelector `json:"clusterSelector,omitempty"`
	// Share is how many of the members that are left to choose the step takes at most, as a
	// number or as a percentage of all the app's members, rounded up.
	// Default: all. Example: 25%
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^([1-9][0-9]?|100)%$`
	Share *intstr.IntOrString `json:"share,omitempty"`
	// SortBy is the label of MemberClusters by whose values members come one after the
	// other, numbers by their size; those without it come last.
	// Default: by name. Example: traffic-rank
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^([-.a-z0-9]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`
	SortBy string `json:"sortBy,omitempty"`
	// MaxConcurrent is how many of the step's members, as a number or percentage rounded up,
	// are updated at one time.
	// Default: as many as spec.rollout.maxUnavailable allows. Example: 1
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:Pattern=`^([1-9][0-9]?|100)%$`
	MaxConcurrent *intstr.IntOrString `json:"maxConcurrent,omitempty"`
	// SoakSeconds is for how long, in seconds, all of the step's members must be ready at a
	// stretch before the step is done.
	// Default: 0. Example: 600
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2592000
	SoakSeconds *int32 `json:"soakSeconds,omitempty"`
	// Gates must pass after that, all of them.
	// Default: none. Example: [{name: all-pods, expression: status.summary.unknown == 0}]
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Gates []RolloutGate `json:"gates,omitempty"`
	// Approval says whether a person must approve: Required does before the step is done,
	// RequiredBefore before it begins. See kubectl myapp rollout approve.
	// Default: none. Example: Required
	// +optional
	Approval RolloutApproval `json:"approval,omitempty"`
	// ProgressDeadlineSeconds is for how long, in seconds, a member of the step that answers
	// may make no progress until the revision has failed there.
	// Default: spec.rollout.progressDeadlineSeconds. Example: 120
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	ProgressDeadlineSeconds *int32 `json:"progressDeadlineSeconds,omitempty"`
}

// RolloutApproval says when a person must approve.
//
// +kubebuilder:validation:Enum=Required;RequiredBefore
type RolloutApproval string

const (
	// ApprovalRequired: before the step is done.
	ApprovalRequired RolloutApproval = "Required"
	// ApprovalRequiredBefore: before the step begins.
	ApprovalRequiredBefore RolloutApproval = "RequiredBefore"
)

// RolloutGate is what must hold before a step is done.
type RolloutGate struct {
	// Name of the gate. Example: error-rate
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Expression is CEL, and the gate passes when it is true. status.summary has numbers of
	// all members (clusters, ready, updated, unknown, totalReplicas, readyReplicas,
	// unknownReplicas), step the same of those of the step; value is what prometheus gives.
	// Example: step.readyReplicas == step.totalReplicas
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Expression string `json:"expression"`
	// Prometheus is asked for value. Default: none.
	// Example: {address: "http://prometheus.monitoring:9090", query: "sum(rate(errors_total[5m]))"}
	// +optional
	Prometheus *PrometheusQuery `json:"prometheus,omitempty"`
	// IntervalSeconds is the time between two questions to prometheus, in seconds.
	// Default: 30. Example: 60
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	IntervalSeconds *int32 `json:"intervalSeconds,omitempty"`
	// Count is how many answers of prometheus in a row the expression must be true for.
	// Default: 1. Example: 3
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20
	Count *int32 `json:"count,omitempty"`
	// TimeoutSeconds is for how long, in seconds, the gate may not pass until the step has
	// failed.
	// Default: 600. Example: 120
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
}

// PrometheusQuery is a question to a Prometheus.
type PrometheusQuery struct {
	// Address of the Prometheus, one of those that the hub is started with by --prometheus.
	// Example: http://prometheus.monitoring:9090
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://`
	Address string `json:"address"`
	// Query is PromQL that gives one value. Example: sum(rate(errors_total[5m]))
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Query string `json:"query"`
}

// Dependency is another app that must be somewhere first.
type Dependency struct {
	// Name of the MyApp, in the same namespace. One that does not exist is waited for.
	// Example: db
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// Condition is what the other app must be: Ready, with its current revision, or
	// Available, with at least one ready pod.
	// Default: Ready. Example: Available
	// +optional
	// +kubebuilder:validation:Enum=Ready;Available
	Condition string `json:"condition,omitempty"`
	// Scope is Member, for on the member in question, or Fleet, for on all its members.
	// Default: Member. Example: Fleet
	// +optional
	Scope DependencyScope `json:"scope,omitempty"`
}

// DependencyScope is where another app must be ready.
//
// +kubebuilder:validation:Enum=Member;Fleet
type DependencyScope string

const (
	// DependencyMember: on the member in question.
	DependencyMember DependencyScope = "Member"
	// DependencyFleet: on all members of the other app.
	DependencyFleet DependencyScope = "Fleet"
)

// ChangeWindow is a time that comes again and again.
type ChangeWindow struct {
	// Schedule says when the window opens, in the five fields of cron.
	// Example: 0 22 * * 1-5
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Schedule string `json:"schedule"`
	// DurationSeconds is for how long it is open, in seconds. Example: 14400
	// +required
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=604800
	DurationSeconds int32 `json:"durationSeconds"`
	// TimeZone is that of the schedule, as the IANA database calls it.
	// Default: UTC. Example: Europe/Berlin
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// RolloutStatus is how far a rollout is. With the rows it is all that the hub goes on from.
type RolloutStatus struct {
	// Revision is the one that is rolled out, or was.
	Revision string `json:"revision"`
	// StableRevision is the last one that all steps were done for. Members that are added
	// before their step is reached get it.
	// +optional
	StableRevision string `json:"stableRevision,omitempty"`
	// Phase is where the rollout stands.
	Phase RolloutPhase `json:"phase"`
	// Reason is why it stands there, one word of a closed set.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Reason string `json:"reason,omitempty"`
	// Message says it for a person.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// Generation is the metadata.generation with which the rollout began.
	// +optional
	Generation int64 `json:"generation,omitempty"`
	// CurrentStep is the step that is being taken.
	// +optional
	CurrentStep *RolloutStepStatus `json:"currentStep,omitempty"`
	// CompletedSteps are the hashes of the steps that are done.
	// +optional
	// +listType=atomic
	CompletedSteps []string `json:"completedSteps,omitempty"`
	// FailedClusters are the members on which the revision had failed when the rollout
	// stopped.
	// +optional
	// +listType=atomic
	FailedClusters []string `json:"failedClusters,omitempty"`
	// AcceptedFailures are the members on which a person has accepted that it failed.
	// +optional
	// +listType=atomic
	AcceptedFailures []string `json:"acceptedFailures,omitempty"`
	// FailedRevisions are those that have failed since StableRevision: nothing goes back to
	// them.
	// +optional
	// +listType=atomic
	FailedRevisions []string `json:"failedRevisions,omitempty"`
	// Asks is the answer that the rollout waits for; see kubectl myapp rollout.
	// +optional
	Asks string `json:"asks,omitempty"`
	// PausedTime is since when nothing may be changed, as with spec.paused; ResumedTime is
	// when the hub last went on after that: deadlines do not begin earlier.
	// +optional
	PausedTime *metav1.Time `json:"pausedTime,omitempty"`
	// ResumedTime is when the hub last went on after a pause.
	// +optional
	ResumedTime *metav1.Time `json:"resumedTime,omitempty"`
}

// RolloutStepStatus is a step that is being taken.
type RolloutStepStatus struct {
	// Name of the step; the last step, of members that no other chooses, is called rest.
	Name string `json:"name"`
	// Number is that of the step, from 1 on.
	Number int32 `json:"number"`
	// Total is how many steps there are.
	Total int32 `json:"total"`
	// Hash is that of the step as it was said, the revision and the generation. What is
	// answered about the step quotes it.
	Hash string `json:"hash"`
	// Started is true once its members may be updated.
	// +optional
	Started bool `json:"started,omitempty"`
	// ReadyTime is since when all members of the step are ready.
	// +optional
	ReadyTime *metav1.Time `json:"readyTime,omitempty"`
	// FirstReadyTime is when they were so for the first time.
	// +optional
	FirstReadyTime *metav1.Time `json:"firstReadyTime,omitempty"`
	// Decisions is the sum of the members' decision numbers at that time: those that were
	// told something since, as when the app is scaled, do not begin the soak again.
	// +optional
	Decisions int64 `json:"decisions,omitempty"`
	// GatesPassed is true once the gates have passed since ReadyTime.
	// +optional
	GatesPassed bool `json:"gatesPassed,omitempty"`
}

// RolloutPhase is where a rollout stands.
//
// +kubebuilder:validation:Enum=Progressing;Paused;RollingBack;RolledBack;Completed
type RolloutPhase string

const (
	// RolloutProgressing: it goes from step to step.
	RolloutProgressing RolloutPhase = "Progressing"
	// RolloutPaused: it has failed, and waits for a person.
	RolloutPaused RolloutPhase = "Paused"
	// RolloutRollingBack: it has failed, and is taken back.
	RolloutRollingBack RolloutPhase = "RollingBack"
	// RolloutRolledBack: it was taken back, and is not tried again.
	RolloutRolledBack RolloutPhase = "RolledBack"
	// RolloutCompleted: all steps are done.
	RolloutCompleted RolloutPhase = "Completed"
)

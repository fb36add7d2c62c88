package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Placement says which members run the app, and how many pods each of them runs.
//
// A member is eligible if clusterNames, clusterSelector and expression all admit it and
// the app tolerates its taints. Of those, groups, numberOfClusters, spread and
// preferences choose; a member that has the app is not left for one that is only better.
//
// +kubebuilder:validation:XValidation:rule="!has(self.preferences) || has(self.numberOfClusters) || has(self.groups)",message="preferences order members, and without numberOfClusters or groups every eligible member is chosen: set numberOfClusters or remove preferences"
// +kubebuilder:validation:XValidation:rule="!has(self.failBack) || has(self.groups)",message="failBack is about groups: add groups or remove failBack"
type Placement struct {
	// ClusterSelector chooses members by the labels of their MemberCluster.
	// Default: every member. Example: {matchLabels: {env: prod}}
	// +optional
	ClusterSelector *ClusterSelector `json:"clusterSelector,omitempty"`
	// ClusterNames admits the members of these names only. A name that no MemberCluster
	// has is waited for.
	// Default: every member. Example: [eu-1, eu-2]
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=56
	ClusterNames []string `json:"clusterNames,omitempty"`
	// Expression admits the members for which it is true. It is CEL over `cluster`, which
	// has name, labels, properties, annotations (those with the prefix
	// placement.example.com/), kubernetesVersion, allocatable and free (amounts by
	// resource). semver(...) and quantity(...) compare versions and amounts, as in
	// CustomResourceDefinitions. A member for which it cannot be told keeps what it has
	// and gets nothing.
	// Default: every member. Example: cluster.labels["region"].startsWith("eu")
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Expression string `json:"expression,omitempty"`
	// Tolerations let the app be on members in spite of their taints, as a pod's do with
	// nodes.
	// Default: none. Example: [{key: example.com/maintenance, operator: Exists}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Tolerations []Toleration `json:"tolerations,omitempty"`
	// NumberOfClusters is how many members run the app. If fewer are eligible, all of them
	// do.
	// Default: every eligible member, with groups those of the first that can hold the app.
	// Example: 3
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	NumberOfClusters *int32 `json:"numberOfClusters,omitempty"`
	// Spread keeps the chosen members apart, by labels.
	// Default: none. Example: [{topologyKey: region, maxSkew: 1}]
	// +optional
	// +listType=map
	// +listMapKey=topologyKey
	// +kubebuilder:validation:MaxItems=4
	Spread []SpreadConstraint `json:"spread,omitempty"`
	// Preferences say which members are better than others. They decide which member is
	// chosen next, and never make the app leave one.
	// Default: none. Example: [{clusterSelector: {matchLabels: {tier: gold}}, weight: 50}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Preferences []ClusterPreference `json:"preferences,omitempty"`
	// Groups are tried in their order: the first that can hold the app runs it, and what
	// does not fit there goes to the next. A group can hold the app if it has
	// numberOfClusters eligible members (without that, one), and if its members can run
	// all replicas that are divided. A member of no group is not eligible; one of several
	// belongs to the first of them.
	// Default: none. Example: [{name: home, clusterSelector: {matchLabels: {region: eu}}}, {name: away}]
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Groups []ClusterGroup `json:"groups,omitempty"`
	// FailBack says whether the app goes back to an earlier group that can hold it again:
	// Always does, Never stays where it is for as long as that works.
	// Default: Always. Example: Never
	// +optional
	FailBack FailBackPolicy `json:"failBack,omitempty"`
	// ReplicaScheduling says what spec.replicas means.
	// Default: {type: Duplicated}. Example: {type: Divided, divide: Even}
	// +optional
	ReplicaScheduling *ReplicaScheduling `json:"replicaScheduling,omitempty"`
}

// Toleration lets an app be on members with a taint.
//
// +kubebuilder:validation:XValidation:rule="has(self.key) || (has(self.operator) && self.operator == 'Exists')",message="a toleration without a key tolerates every taint and needs operator Exists"
// +kubebuilder:validation:XValidation:rule="!has(self.operator) || self.operator != 'Exists' || !has(self.value)",message="operator Exists takes any value: remove value or use operator Equal"
// +kubebuilder:validation:XValidation:rule="!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",message="tolerationSeconds is for effect NoExecute: set the effect or remove tolerationSeconds"
type Toleration struct {
	// Key of the taints that are tolerated. Default: every key. Example: example.com/maintenance
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key,omitempty"`
	// Operator is Equal, for the taint's value must be this one, or Exists.
	// Default: Equal. Example: Exists
	// +optional
	// +kubebuilder:validation:Enum=Equal;Exists
	Operator TolerationOperator `json:"operator,omitempty"`
	// Value that the taint must have with Equal. Default: the empty one. Example: "true"
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Value string `json:"value,omitempty"`
	// Effect that is tolerated. Default: every effect. Example: NoExecute
	// +optional
	Effect TaintEffect `json:"effect,omitempty"`
	// TolerationSeconds is for how long a taint with effect NoExecute is tolerated, in
	// seconds; afterwards the app leaves the member.
	// Default: for ever. Example: 300
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}

// TolerationOperator relates a toleration to the value of a taint.
type TolerationOperator string

const (
	// TolerationEqual tolerates taints with the toleration's value.
	TolerationEqual TolerationOperator = "Equal"
	// TolerationExists tolerates taints with any value.
	TolerationExists TolerationOperator = "Exists"
)

// SpreadConstraint keeps chosen members apart. A domain is all members with one value of
// the label topologyKey.
type SpreadConstraint struct {
	// TopologyKey is the label whose values are the domains. A member without it is not
	// chosen, unless whenUnsatisfiable is ScheduleAnyway.
	// Example: region
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="!format.qualifiedName().validate(self).hasValue()",message="topologyKey is not a label key: use at most 63 letters, digits, '-', '_' and '.', with an optional DNS prefix and '/'"
	TopologyKey string `json:"topologyKey"`
	// MaxSkew is by how many members a domain may have more than the one with the fewest
	// that has an eligible member left to choose.
	// Default: 1. Example: 2
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxSkew int32 `json:"maxSkew,omitempty"`
	// MinDomains is how many domains are to have a chosen member before any may have more
	// than maxSkew.
	// Default: 1. Example: 2
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MinDomains *int32 `json:"minDomains,omitempty"`
	// WhenUnsatisfiable says what happens if there are not enough eligible members:
	// DoNotSchedule chooses fewer, ScheduleAnyway comes as near as it can.
	// Default: DoNotSchedule. Example: ScheduleAnyway
	// +optional
	// +default="DoNotSchedule"
	// +kubebuilder:validation:Enum=DoNotSchedule;ScheduleAnyway
	WhenUnsatisfiable UnsatisfiableAction `json:"whenUnsatisfiable,omitempty"`
}

// UnsatisfiableAction is what happens if a spread cannot be had.
type UnsatisfiableAction string

const (
	// DoNotSchedule chooses fewer members.
	DoNotSchedule UnsatisfiableAction = "DoNotSchedule"
	// ScheduleAnyway chooses the members that come nearest.
	ScheduleAnyway UnsatisfiableAction = "ScheduleAnyway"
)

// ClusterPreference makes some members better or worse.
type ClusterPreference struct {
	// ClusterSelector chooses the members by their labels.
	// Example: {matchLabels: {tier: gold}}
	// +required
	ClusterSelector ClusterSelector `json:"clusterSelector"`
	// Weight is added to the score of these members; a negative one makes them worse.
	// Example: 50
	// +required
	// +kubebuilder:validation:Minimum=-100
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight"`
}

// ClusterGroup is a set of members, one of several that are tried in order. Without
// clusterSelector and clusterNames it has every member.
type ClusterGroup struct {
	// Name of the group. Example: home
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// ClusterSelector chooses its members by their labels.
	// Default: every member. Example: {matchLabels: {region: eu}}
	// +optional
	ClusterSelector *ClusterSelector `json:"clusterSelector,omitempty"`
	// ClusterNames has the members of these names only.
	// Default: every member. Example: [eu-1]
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=56
	ClusterNames []string `json:"clusterNames,omitempty"`
}

// FailBackPolicy says whether an app goes back to an earlier group.
//
// +kubebuilder:validation:Enum=Always;Never
type FailBackPolicy string

const (
	// FailBackAlways goes back as soon as the earlier group can hold the app.
	FailBackAlways FailBackPolicy = "Always"
	// FailBackNever stays for as long as the app can.
	FailBackNever FailBackPolicy = "Never"
)

// ReplicaScheduling says how many pods each member runs.
//
// +kubebuilder:validation:XValidation:rule="has(self.type) && self.type == 'Divided' || !has(self.divide) && !has(self.weights) && !has(self.minPerCluster) && !has(self.maxPerCluster)",message="divide, weights, minPerCluster and maxPerCluster are for type Divided: set the type or remove them"
// +kubebuilder:validation:XValidation:rule="!has(self.weights) || has(self.divide) && self.divide == 'Weighted'",message="weights are for divide Weighted: set divide or remove weights"
// +kubebuilder:validation:XValidation:rule="!has(self.minPerCluster) || !has(self.maxPerCluster) || self.minPerCluster <= self.maxPerCluster",message="minPerCluster is larger than maxPerCluster: lower the one or raise the other"
type ReplicaScheduling struct {
	// Type is Duplicated, for spec.replicas pods on each member, or Divided, for
	// spec.replicas pods on all of them together.
	// Default: Duplicated. Example: Divided
	// +optional
	// +default="Duplicated"
	Type ReplicaSchedulingType `json:"type,omitempty"`
	// Divide is how: Even, Weighted by weights, or FreeCapacity by how many pods each member
	// has room for. What does not divide evenly goes, pod by pod, where the weight per pod
	// is highest, so that the fewest pods move when something changes.
	// Default: Even. Example: Weighted
	// +optional
	Divide DivisionType `json:"divide,omitempty"`
	// Weights are for divide Weighted; the first whose selector chooses the member counts.
	// Default: 1 for every member. Example: [{clusterSelector: {matchLabels: {size: large}}, weight: 2}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Weights []ReplicaWeight `json:"weights,omitempty"`
	// MinPerCluster is the fewest pods on a member that is chosen. If there are not enough
	// for all of them, fewer members are chosen.
	// Default: 0. Example: 1
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	MinPerCluster *int32 `json:"minPerCluster,omitempty"`
	// MaxPerCluster is the most pods on one member. What fits nowhere is not run, and the
	// status says so.
	// Default: no limit. Example: 8
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	MaxPerCluster *int32 `json:"maxPerCluster,omitempty"`
}

// ReplicaSchedulingType is what spec.replicas means.
//
// +kubebuilder:validation:Enum=Duplicated;Divided
type ReplicaSchedulingType string

const (
	// ReplicasDuplicated: each member runs spec.replicas pods.
	ReplicasDuplicated ReplicaSchedulingType = "Duplicated"
	// ReplicasDivided: all members together run spec.replicas pods.
	ReplicasDivided ReplicaSchedulingType = "Divided"
)

// DivisionType is how replicas are divided.
//
// +kubebuilder:validation:Enum=Even;Weighted;FreeCapacity
type DivisionType string

const (
	// DivideEven gives each member the same.
	DivideEven DivisionType = "Even"
	// DivideWeighted gives by weights.
	DivideWeighted DivisionType = "Weighted"
	// DivideFreeCapacity gives by what each member has room for.
	DivideFreeCapacity DivisionType = "FreeCapacity"
)

// ReplicaWeight is the weight of some members when replicas are divided.
type ReplicaWeight struct {
	// ClusterSelector chooses the members by their labels.
	// Example: {matchLabels: {size: large}}
	// +required
	ClusterSelector ClusterSelector `json:"clusterSelector"`
	// Weight is the share of each of these members in relation to others. With 0 they get
	// minPerCluster.
	// Example: 2
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Weight int32 `json:"weight"`
}

// Failover says how the app leaves members that it cannot or shall not be on.
type Failover struct {
	// TolerationSeconds is for how long the app stays on a member that does not answer, in
	// seconds, before other members take over. With less than half a minute it can happen
	// before the hub has seen that others are silent, too, and that it is itself cut off.
	// Nobody takes over where every eligible
	// member runs its own copy anyway: without numberOfClusters, groups and divided
	// replicas the app waits for the member.
	// Default: 300. Example: 60
	// +optional
	// +default=300
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31536000
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
	// GracePeriodSeconds is for how long, in seconds, a member that answers keeps the app
	// while others that take over are not ready. With 0 it is not waited for them.
	// Default: 600. Example: 60
	// +optional
	// +default=600
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	GracePeriodSeconds *int64 `json:"gracePeriodSeconds,omitempty"`
	// BudgetPercent is on how many of the app's members, in percent, the hub may end the
	// app by itself at one time, one at least. More waits, and is asked for.
	// Default: 20. Example: 50
	// +optional
	// +default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	BudgetPercent *int32 `json:"budgetPercent,omitempty"`
}

// ClusterSelector chooses members by their labels, or namespaces of the hub, as a
// LabelSelector does. All requirements must hold; an empty selector chooses every one.
type ClusterSelector struct {
	// MatchLabels are labels that a member must have with exactly these values.
	// Default: none. Example: {env: prod}
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue() && !format.labelValue().validate(self[k]).hasValue())",message="a key is not a label key or a value not a label value: use at most 63 letters, digits, '-', '_' and '.', the key with an optional DNS prefix and '/'"
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`
	// MatchExpressions are further requirements.
	// Default: none. Example: [{key: region, operator: In, values: [eu, us]}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	MatchExpressions []ClusterSelectorRequirement `json:"matchExpressions,omitempty"`
}

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// ClusterSelectorRequirement is a condition on one label of a member.
//
// +kubebuilder:validation:XValidation:rule="self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",message="In and NotIn need values; Exists and DoesNotExist must have none"
type ClusterSelectorRequirement struct {
	// Key of the label. Example: region
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="!format.qualifiedName().validate(self).hasValue()",message="key is not a label key: use at most 63 letters, digits, '-', '_' and '.', with an optional DNS prefix and '/'"
	Key string `json:"key"`
	// Operator relates the label to the values.
	// Example: In
	// +required
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
	Operator metav1.LabelSelectorOperator `json:"operator"`
	// Values for In and NotIn. Example: [eu, us]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(v, !format.labelValue().validate(v).hasValue())",message="a value is not a label value: use at most 63 letters, digits, '-', '_' and '.'"
	Values []LabelValue `json:"values,omitempty"`
}

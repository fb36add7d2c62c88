package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MemberCluster is a cluster on which the hub may run apps. Its labels are the
// user's; placements select by them.
//
// Deleting a MemberCluster deletes nothing on the cluster itself: apps keep
// running there, and their rows say Unknown until it is registered again.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=memberclusters,singular=membercluster,shortName=mc,scope=Cluster
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.kubernetesVersion`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Namespace",type=string,priority=1,JSONPath=`.spec.namespace`
// +kubebuilder:printcolumn:name="CPU-Requested",type=integer,priority=1,description="thousandths of a core",JSONPath=`.status.capacity.requested.cpuMillis`
// +kubebuilder:printcolumn:name="CPU",type=integer,priority=1,description="thousandths of a core",JSONPath=`.status.capacity.allocatable.cpuMillis`
// +kubebuilder:printcolumn:name="Memory-Requested",type=integer,priority=1,description="MiB",JSONPath=`.status.capacity.requested.memoryMiB`
// +kubebuilder:printcolumn:name="Memory",type=integer,priority=1,description="MiB",JSONPath=`.status.capacity.allocatable.memoryMiB`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 56 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name becomes part of a namespace's name (member-NAME): use at most 56 lower-case letters, digits and '-', starting and ending with a letter or digit"
type MemberCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is how the hub reaches the cluster.
	// +required
	Spec MemberClusterSpec `json:"spec"`
	// Status is how the hub finds the cluster. Only the hub writes it.
	// +optional
	Status MemberClusterStatus `json:"status,omitempty,omitzero"`
}

// MemberClusterSpec is how the hub reaches a cluster.
//
// +kubebuilder:validation:XValidation:rule="has(oldSelf.__namespace__) ? has(self.__namespace__) && self.__namespace__ == oldSelf.__namespace__ : !has(self.__namespace__)",message="namespace cannot be changed, set or removed: register another MemberCluster. This one first has to lose its apps, by labels or spec.placement: what still runs in a namespace when its MemberCluster is deleted is left there, and nothing removes it"
// +kubebuilder:validation:XValidation:rule="self.mode == 'Push' ? has(self.kubeconfigSecretRef) : !has(self.kubeconfigSecretRef)",message="a Push member needs kubeconfigSecretRef, the Secret with its kubeconfig in the hub's namespace; a Pull member must not have one"
// +kubebuilder:validation:XValidation:rule="!has(self.tenantServiceAccount) || self.mode == 'Push'",message="tenantServiceAccount is for Push members: the agent of a Pull member is told by kubectl myapp join --tenant-service-account"
// +kubebuilder:validation:XValidation:rule="!has(self.tenantServiceAccount) || !has(self.__namespace__)",message="tenantServiceAccount is for whole clusters: in the one namespace of this member the hub has no other rights than those that are granted to it there"
type MemberClusterSpec struct {
	// Mode is how workloads get to the cluster: with Push the hub writes to its
	// API server; with Pull an agent on the cluster fetches them from its
	// mailbox on the hub. It cannot be changed.
	// Example: Pull
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="mode cannot be changed: delete the MemberCluster (apps keep running on the cluster) and create it again with the other mode"
	Mode Mode `json:"mode"`
	// Accepted says that apps may be placed on the cluster. While it is false the hub
	// chooses the cluster for no app and writes nothing to it, also not what was decided
	// before; what runs there runs on. kubectl myapp token create makes a MemberCluster
	// that waits to be accepted, because a join token can fall into other hands than
	// those it was made for. To change it from false to true takes the verb accept on
	// memberclusters beside the right to edit them.
	// Default: true. Example: false
	// +optional
	// +default=true
	Accepted *bool `json:"accepted,omitempty"`
	// AllowedNamespaces chooses the namespaces of the hub whose apps may be placed on the
	// cluster, by the labels of the namespaces. An app that is there leaves it when its
	// namespace is not among them any more. Whoever may change the labels of a namespace
	// decides with this; kubernetes.io/metadata.name is its name and cannot be changed.
	// Default: all. Example: {matchLabels: {team: payments}}
	// +optional
	AllowedNamespaces *ClusterSelector `json:"allowedNamespaces,omitempty"`
	// Leave has all apps leave the cluster, and lets none come to it: with Remove they
	// are removed from it, with Orphan they stay there and belong to nobody, and with
	// Forget the hub forgets what it has put there, without a word to a cluster that is
	// gone for good. kubectl myapp leave sets it, waits, and removes the MemberCluster.
	// Default: none. Example: Remove
	// +optional
	Leave LeavePolicy `json:"leave,omitempty"`
	// KubeconfigSecretRef names the Secret in the hub's namespace with the
	// kubeconfig of a Push member. The kubeconfig must carry its certificates
	// and keys inline and use https with a verified certificate; exec,
	// auth-provider and file references are refused.
	// Default: none. Example: {name: eu-1-kubeconfig}
	// +optional
	KubeconfigSecretRef *SecretKeyRef `json:"kubeconfigSecretRef,omitempty"`
	// Namespace makes the member one namespace of a cluster that others use too:
	// the hub or the agent has rights in that namespace only, and everything that is
	// placed on the member is in it, whatever the namespace of the MyApp on the hub.
	// Apps of one name from two namespaces of the hub cannot both be there. The
	// namespace must exist; the hub never makes it. It cannot be changed, and it cannot
	// be one of those that Kubernetes or the hub has for itself.
	// Default: the member is a whole cluster, and each app is in the namespace that
	// it has on the hub. Example: team-a
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Label().validate(self).hasValue()",message="it is not the name of a namespace: use lower-case letters, digits and '-', as in kubectl get namespaces"
	// +kubebuilder:validation:XValidation:rule="!(self in ['kube-system', 'kube-public', 'kube-node-lease', 'myapp-hub-system'])",message="this namespace holds accounts and Secrets of the cluster or of the hub, which the pods of any app in it could use: choose one that is the tenant's own"
	Namespace string `json:"namespace,omitempty"`
	// TenantServiceAccount makes the hub act on the member, in each namespace, as the
	// ServiceAccount of this name there, with its rights and no others: who runs the
	// cluster decides by them what the apps of a namespace may have. Namespaces that are
	// missing are made by the hub itself; the account and its rights are not. A namespace
	// without the account gets nothing. For Push members that are whole clusters.
	// Default: none, the hub acts as itself. Example: myapp-tenant
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!format.dns1123Subdomain().validate(self).hasValue()",message="it is not the name of a ServiceAccount: use lower-case letters, digits, '-' and '.', as in kubectl get serviceaccounts"
	TenantServiceAccount string `json:"tenantServiceAccount,omitempty"`
	// Properties are facts about the cluster that apps may use, as
	// $(cluster.properties.KEY), in images, environment variables and patches.
	// Unlike labels their values may be any text.
	// Default: none. Example: {domain: eu-1.example.com}
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="a key is not a property's name: use at most 63 letters, digits, '-', '_' and '.', with an optional DNS prefix and '/'"
	Properties map[string]PropertyValue `json:"properties,omitempty"`
	// Taints keep apps away from the cluster that do not tolerate them, as a node's do
	// with pods. kubectl myapp drain and uncordon set and remove one of them.
	// Default: none. Example: [{key: example.com/maintenance, effect: NoSchedule}]
	// +optional
	// +listType=map
	// +listMapKey=key
	// +listMapKey=effect
	// +kubebuilder:validation:MaxItems=16
	Taints []Taint `json:"taints,omitempty"`
}

// Taint keeps apps away that do not tolerate it.
type Taint struct {
	// Key of the taint. Example: example.com/maintenance
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="!format.qualifiedName().validate(self).hasValue()",message="key is not the key of a taint: use at most 63 letters, digits, '-', '_' and '.', with an optional DNS prefix and '/'"
	// +kubebuilder:validation:XValidation:rule="self != 'example.com/unreachable'",message="the hub sets this taint by itself when the cluster does not answer: choose another key"
	Key string `json:"key"`
	// Value of the taint. Default: the empty one. Example: "true"
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.labelValue().validate(self).hasValue()",message="value is not the value of a taint: use at most 63 letters, digits, '-', '_' and '.'"
	Value string `json:"value,omitempty"`
	// Effect of the taint: NoSchedule lets no further app come, PreferNoSchedule only if
	// there is no better member, and NoExecute has those leave that are there, too.
	// Example: NoSchedule
	// +required
	Effect TaintEffect `json:"effect"`
}

// TaintEffect is what a taint does to apps that do not tolerate it.
//
// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
type TaintEffect string

const (
	// TaintNoSchedule lets no further app come.
	TaintNoSchedule TaintEffect = "NoSchedule"
	// TaintPreferNoSchedule lets further apps come only if there is no better member.
	TaintPreferNoSchedule TaintEffect = "PreferNoSchedule"
	// TaintNoExecute lets no further app come and has those leave that are there.
	TaintNoExecute TaintEffect = "NoExecute"
)

const (
	// TaintUnreachable is the key of the taint, with effect NoExecute, that the hub sets on
	// a member that does not answer. spec.failover of an app says for how long it is
	// tolerated, unless spec.placement.tolerations do.
	TaintUnreachable = "example.com/unreachable"
	// TaintDrain is the key of the taint that kubectl myapp drain sets.
	TaintDrain = "example.com/drain"
)

// TaintStatus is a taint that counts, and since when.
type TaintStatus struct {
	// Key of the taint.
	Key string `json:"key"`
	// Value of the taint.
	// +optional
	Value string `json:"value,omitempty"`
	// Effect of the taint.
	Effect TaintEffect `json:"effect"`
	// TimeAdded is when the hub first saw it. What tolerates it for some seconds counts
	// from then.
	TimeAdded metav1.Time `json:"timeAdded"`
}

// IsAccepted is true unless spec.accepted is false.
func (m *MemberCluster) IsAccepted() bool { return m.Spec.Accepted == nil || *m.Spec.Accepted }

// IsServed is true if the hub may have anything to do with the cluster: it is accepted,
// and not to be forgotten.
func (m *MemberCluster) IsServed() bool { return m.IsAccepted() && m.Spec.Leave != LeaveForget }

// LeavePolicy is what becomes of the apps of a cluster that leaves.
//
// +kubebuilder:validation:Enum=Remove;Orphan;Forget
type LeavePolicy string

const (
	// LeaveRemove: apps are removed from the cluster.
	LeaveRemove LeavePolicy = "Remove"
	// LeaveOrphan: apps stay on the cluster and belong to nobody.
	LeaveOrphan LeavePolicy = "Orphan"
	// LeaveForget: the cluster is not asked, and whatever is there stays there.
	LeaveForget LeavePolicy = "Forget"
)

// RemovalPolicy is what a removal from the member means for the objects of an app.
func (m *MemberCluster) RemovalPolicy(app *MyApp) DeletionPolicy {
	if m != nil && m.Spec.Leave == LeaveOrphan {
		return DeletionOrphan
	}
	return app.Spec.DeletionPolicy
}

// PropertyValue is the value of a property of a cluster.
//
// +kubebuilder:validation:MaxLength=1024
type PropertyValue string

// Mode is how workloads get to a member.
//
// +kubebuilder:validation:Enum=Push;Pull
type Mode string

const (
	// ModePush: the hub writes to the member's API server.
	ModePush Mode = "Push"
	// ModePull: an agent on the member reads its mailbox on the hub.
	ModePull Mode = "Pull"
)

// SecretKeyRef names a key of a Secret in the hub's namespace.
type SecretKeyRef struct {
	// Name of the Secret. Example: eu-1-kubeconfig
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="size(self) == 0 || !format.dns1123Subdomain().validate(self).hasValue()",message="it is not the name of a Secret: use lower-case letters, digits, '-' and '.', as in kubectl get secrets"
	Name string `json:"name"`
	// Key within the Secret.
	// Default: kubeconfig. Example: value
	// +optional
	// +default="kubeconfig"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]*$')",message="it is not a key of a Secret: use letters, digits, '-', '_' and '.'"
	Key string `json:"key,omitempty"`
}

// MemberClusterStatus is how the hub finds a cluster.
type MemberClusterStatus struct {
	// ObservedGeneration is the metadata.generation this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// LastHeardTime is when the cluster was last heard of; set while Ready is not True.
	// +optional
	LastHeardTime *metav1.Time `json:"lastHeardTime,omitempty"`
	// Taints are those with effect NoExecute that count, with their times: those of the
	// spec, and the hub's own example.com/unreachable while the cluster does not answer.
	// +optional
	// +listType=atomic
	Taints []TaintStatus `json:"taints,omitempty"`
	// KubernetesVersion is that of the cluster's API server. Example: v1.36.3
	// +optional
	// +kubebuilder:validation:MaxLength=64
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// Capacity is what the cluster's nodes have for pods. It is missing if that is not
	// known, as for a namespaced member; the condition CapacityKnown says why.
	// +optional
	Capacity *Capacity `json:"capacity,omitempty"`
	// APIs are the kinds that the cluster serves and an app may need, as VERSION/KIND or
	// GROUP/VERSION/KIND. It is missing if that is not known.
	// Example: [apps/v1/Deployment, v1/Service]
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=2000
	// +kubebuilder:validation:items:MaxLength=450
	APIs []string `json:"apis,omitempty"`
	// Conditions are Accepted: spec.accepted lets apps be placed; Joined: the hub or
	// the agent has a credential; Ready: True when the cluster answers, Unknown when
	// it has fallen silent, False when the hub cannot use it as it is described; and
	// CapacityKnown: capacity is measured, or why it is not.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Capacity is what a cluster's nodes have for pods. Amounts are rounded, so that they do
// not change with every pod: what is requested is at most 1/32 of what is allocatable
// above the truth and never below it, what is allocatable never above.
type Capacity struct {
	// Allocatable is what all nodes together have that pods can be scheduled to: those
	// that are ready, not cordoned, and without a taint NoSchedule or NoExecute.
	Allocatable Amounts `json:"allocatable"`
	// Requested is what the pods on them request.
	Requested Amounts `json:"requested"`
}

// Amounts are amounts of what pods need.
type Amounts struct {
	// CPUMillis is CPU time in thousandths of a core. Example: 4000
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000
	CPUMillis int64 `json:"cpuMillis"`
	// MemoryMiB is memory in mebibytes. Example: 8192
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000
	MemoryMiB int64 `json:"memoryMiB"`
	// Pods is a number of pods. Example: 110
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000000000
	Pods int64 `json:"pods"`
}

// TaintOnRecord is what is recorded of a taint; nil if it is not.
func (s *MemberClusterStatus) TaintOnRecord(key, value string, effect TaintEffect) *TaintStatus {
	for i := range s.Taints {
		if t := &s.Taints[i]; t.Key == key && t.Value == value && t.Effect == effect {
			return t
		}
	}
	return nil
}

// MemberClusterList is a list of MemberClusters.
//
// +kubebuilder:object:root=true
type MemberClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MemberCluster `json:"items"`
}

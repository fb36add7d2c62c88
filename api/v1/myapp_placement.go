package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Placement says which members run the app.
type Placement struct {
	// ClusterSelector chooses members by the labels of their MemberCluster.
	// Default: every member. Example: {matchLabels: {env: prod}}
	// +optional
	ClusterSelector *ClusterSelector `json:"clusterSelector,omitempty"`
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

package placement

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Member is a MemberCluster as placement sees it.
type Member struct {
	Name   string
	Labels map[string]string
	// Properties, and those Annotations that expressions see.
	Properties, Annotations map[string]string
	// Namespaces are those of the hub whose apps may be placed on the member; nil for all.
	Namespaces labels.Selector
	// NamespacesInvalid says what is wrong with those; empty if nothing is.
	NamespacesInvalid string
	// Accepted is true when apps may be placed on the member.
	Accepted bool
	// Leaving is not empty when all apps are to leave the member.
	Leaving v1.LeavePolicy
	// Ready is true when the member answers.
	Ready bool
	// Taints are those of the spec and the hub's own.
	Taints []Taint
	// KubernetesVersion is empty if it is not known.
	KubernetesVersion string
	// Allocatable is what its nodes have, Free what of that nothing requests; nil if that
	// is not known.
	Allocatable, Free *v1.Amounts
	// APIs are the kinds it serves, in order; nil if they are not known.
	APIs []string
}

// annotationPrefix is that of the annotations that expressions see.
const annotationPrefix = "placement.example.com/"

// MemberOf is a MemberCluster as placement sees it.
func MemberOf(m *v1.MemberCluster) Member {
	is := Member{
		Name: m.Name, Labels: m.Labels, Accepted: m.IsAccepted(), Leaving: m.Spec.Leave,
		Ready:             meta.IsStatusConditionTrue(m.Status.Conditions, v1.ConditionReady),
		KubernetesVersion: m.Status.KubernetesVersion, Free: freeOf(m.Status.Capacity), APIs: m.Status.APIs,
	}
	if c := m.Status.Capacity; c != nil {
		is.Allocatable = &c.Allocatable
	}
	is.Namespaces, is.NamespacesInvalid = allowedNamespaces(m)
	if len(m.Spec.Properties) > 0 {
		is.Properties = make(map[string]string, len(m.Spec.Properties))
		for k, v := range m.Spec.Properties {
			is.Properties[k] = string(v)
		}
	}
	is.Annotations = Annotations(m)
	is.Taints = taintsOf(m)
	return is
}

// Annotations are those of a member that expressions see; nil if there are none.
func Annotations(m *v1.MemberCluster) map[string]string {
	var seen map[string]string
	for k, v := range m.Annotations {
		if strings.HasPrefix(k, annotationPrefix) {
			if seen == nil {
				seen = map[string]string{}
			}
			seen[k] = v
		}
	}
	return seen
}

// allowedNamespaces are those whose apps may be on a member, nil for all. With a selector
// that cannot be used, which the API server does not admit, invalid says why.
func allowedNamespaces(m *v1.MemberCluster) (allowed labels.Selector, invalid string) {
	if m.Spec.AllowedNamespaces == nil {
		return nil, ""
	}
	selector, err := Compile(m.Spec.AllowedNamespaces)
	if err != nil {
		return nil, err.Error()
	}
	return selector, ""
}

// taintsOf are the taints of the spec, with the times that the hub has recorded, and those
// that it sets itself.
func taintsOf(m *v1.MemberCluster) []Taint {
	var taints []Taint
	for _, t := range m.Spec.Taints {
		taint := Taint{Key: t.Key, Value: t.Value, Effect: t.Effect}
		if recorded := m.Status.TaintOnRecord(t.Key, t.Value, t.Effect); recorded != nil {
			taint.Since = recorded.TimeAdded.Time
		}
		taints = append(taints, taint)
	}
	for _, s := range m.Status.Taints {
		if s.Key == v1.TaintUnreachable {
			taints = append(taints, Taint{Key: s.Key, Value: s.Value, Effect: s.Effect, Since: s.TimeAdded.Time})
		}
	}
	return taints
}

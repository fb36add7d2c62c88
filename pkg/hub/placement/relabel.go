package placement

import (
	"fmt"
	"maps"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
)

// relabel gives a member the labels that a selector asks for, and says what differs.
func relabel(m *Member, selector labels.Selector) (string, bool) {
	requirements, _ := selector.Requirements()
	var parts []string
	for _, r := range requirements {
		if r.Matches(labels.Set(m.Labels)) {
			continue
		}
		is, has := m.Labels[r.Key()]
		switch r.Operator() {
		case selection.In, selection.Equals, selection.DoubleEquals:
			wanted := r.Values().List()
			label(m, r.Key(), wanted[0])
			parts = append(parts, differs(m.Name, r.Key(), is, has, strings.Join(wanted, " or ")))
		case selection.Exists:
			label(m, r.Key(), "any")
			parts = append(parts, fmt.Sprintf("%s has no label %s, wanted any", m.Name, r.Key()))
		case selection.NotIn, selection.NotEquals, selection.DoesNotExist:
			m.Labels = maps.Clone(m.Labels)
			delete(m.Labels, r.Key())
			parts = append(parts, fmt.Sprintf("label %s of %s is %s, wanted none or another", r.Key(), m.Name, is))
		}
	}
	return strings.Join(parts, " and "), len(parts) > 0
}

func differs(name, key, is string, has bool, wanted string) string {
	if !has {
		return fmt.Sprintf("%s has no label %s, wanted %s", name, key, wanted)
	}
	return fmt.Sprintf("label %s of %s is %s, wanted %s", key, name, is, wanted)
}

func label(m *Member, key, value string) {
	m.Labels = maps.Clone(m.Labels)
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	m.Labels[key] = value
}

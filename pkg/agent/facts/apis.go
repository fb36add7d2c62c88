package facts

import (
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Bounds of a report, which the schema has, too.
const (
	// MaxAPIs, MaxAPILength and MaxAPIsLength bound the number of kinds, the length of each
	// and of all together.
	MaxAPIs       = 2000
	MaxAPILength  = 450
	MaxAPIsLength = 131072
	// MaxVersionLength is that of the version of an API server.
	MaxVersionLength = 64
)

// What kinds and versions may be called, as in the schema.
var (
	apiName     = regexp.MustCompile(`^([-.0-9a-z]+/)?[0-9a-z]+/[0-9A-Za-z]+$`)
	versionName = regexp.MustCompile(`^[-+._0-9A-Za-z]*$`)
)

// APIs are the kinds of what discovery lists that are in namespaces and can be created.
func APIs(lists []*metav1.APIResourceList) []string {
	var all []string
	for _, list := range lists {
		for i := range list.APIResources {
			r := &list.APIResources[i]
			if r.Namespaced && !strings.Contains(r.Name, "/") && slices.Contains(r.Verbs, "create") {
				all = append(all, list.GroupVersion+"/"+r.Kind)
			}
		}
	}
	return boundedAPIs(all)
}

// Keep are the kinds of current, and those of last that are in one of the groups: their
// API servers could not be asked, and what is not seen is not gone.
func Keep(current, last []string, groups []schema.GroupVersion) []string {
	all := slices.Clone(current)
	for _, api := range last {
		at := strings.LastIndexByte(api, '/')
		if at >= 0 && slices.ContainsFunc(groups, func(g schema.GroupVersion) bool { return g.String() == api[:at] }) {
			all = append(all, api)
		}
	}
	return boundedAPIs(all)
}

// boundedAPIs is sorted, without duplicates and without what is no name of a kind.
func boundedAPIs(apis []string) []string {
	apis = slices.DeleteFunc(slices.Clone(apis), func(api string) bool { return len(api) > MaxAPILength || !apiName.MatchString(api) })
	slices.Sort(apis)
	apis = slices.Compact(apis)
	length := 0
	for i, api := range apis {
		if length += len(api); i == MaxAPIs || length > MaxAPIsLength {
			return apis[:i:i]
		}
	}
	return apis
}

// Bounded is a report of somebody who is not trusted, as it may be written down.
func Bounded(report v1.MemberReportSpec) v1.MemberReportSpec {
	b := v1.MemberReportSpec{KubernetesVersion: report.KubernetesVersion, CapacityUnknown: report.CapacityUnknown}
	if len(b.KubernetesVersion) > MaxVersionLength || !versionName.MatchString(b.KubernetesVersion) {
		b.KubernetesVersion = ""
	}
	if report.APIs != nil {
		b.APIs = boundedAPIs(report.APIs)
	}
	if report.Capacity != nil {
		b.Capacity = &v1.Capacity{Allocatable: clamped(report.Capacity.Allocatable), Requested: clamped(report.Capacity.Requested)}
		b.CapacityUnknown = ""
	}
	switch b.CapacityUnknown {
	case "", v1.CapacityForbidden, v1.CapacityUnreadable, v1.CapacityNamespaced, v1.CapacityNoNodes:
	default:
		b.CapacityUnknown = v1.CapacityUnreadable
	}
	return b
}

// Next is what is to be reported after last, now that measured was. A version and kinds
// that could not be asked for are those of before; what nodes have and pods request is
// known now, or it is not.
func Next(last, measured v1.MemberReportSpec) v1.MemberReportSpec {
	next := Bounded(measured)
	if next.KubernetesVersion == "" {
		next.KubernetesVersion = last.KubernetesVersion
	}
	if len(next.APIs) == 0 {
		next.APIs = last.APIs
	}
	if next.Capacity != nil {
		rounded := Round(last.Capacity, *next.Capacity)
		next.Capacity = &rounded
	}
	return next
}

// Equal is true if two reports say the same.
func Equal(a, b v1.MemberReportSpec) bool {
	same := a.Capacity == b.Capacity || a.Capacity != nil && b.Capacity != nil && *a.Capacity == *b.Capacity
	return same && a.KubernetesVersion == b.KubernetesVersion && a.CapacityUnknown == b.CapacityUnknown && slices.Equal(a.APIs, b.APIs)
}

package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every type in this package.
var GroupVersion = schema.GroupVersion{Group: "example.com", Version: "v1"}

// AddToScheme adds the types of this package to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&MyApp{}, &MyAppList{},
		&MemberCluster{}, &MemberClusterList{},
		&MemberReport{}, &MemberReportList{},
		&PlacementQuota{}, &PlacementQuotaList{},
		&Work{}, &WorkList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

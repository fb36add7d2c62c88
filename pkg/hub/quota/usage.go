// Package quota bounds what the apps of one namespace have on all members together.
//
// Usage is what an app has or wants, a function of its rows. The Ledger adds up what was
// decided, so that decisions that are made at once do not each take the same rest.
package quota

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Usage is what an app, or several, have on members.
type Usage struct {
	// Clusters are the names of the members.
	Clusters map[string]bool
	// Replicas is the number of pods, CPU what they request in thousandths of a core,
	// Memory in bytes.
	Replicas, CPU, Memory int64
}

// Requests are what one pod requests: CPU in thousandths of a core, memory in bytes.
type Requests struct{ CPU, Memory int64 }

// Of is what an app has with these rows. requests says what a pod requests on a member,
// most is the number of pods that an autoscaler may make, 0 without one. An app has what
// it is losing until the member has confirmed that it is gone.
func Of(rows []v1.PlacementRow, requests func(member string) Requests, most int32) Usage {
	u := Usage{Clusters: map[string]bool{}}
	for i := range rows {
		row := &rows[i]
		if row.State == v1.PlacementStray {
			continue
		}
		pods, each := int64(max(row.Replicas, most)), requests(row.Cluster)
		u.Clusters[row.Cluster] = true
		u.Replicas += pods
		u.CPU += pods * each.CPU
		u.Memory += pods * each.Memory
	}
	return u
}

// Plus is what both have.
func (u Usage) Plus(other Usage) Usage {
	sum := Usage{
		Clusters: maps.Clone(u.Clusters), Replicas: u.Replicas + other.Replicas, CPU: u.CPU + other.CPU, Memory: u.Memory + other.Memory,
	}
	if sum.Clusters == nil {
		sum.Clusters = map[string]bool{}
	}
	maps.Copy(sum.Clusters, other.Clusters)
	return sum
}

// Of what is bounded, as a PlacementQuota writes it.
func (u Usage) list() corev1.ResourceList {
	return corev1.ResourceList{
		v1.QuotaClusters: *resource.NewQuantity(int64(len(u.Clusters)), resource.DecimalSI),
		v1.QuotaReplicas: *resource.NewQuantity(u.Replicas, resource.DecimalSI),
		v1.QuotaCPU:      *resource.NewMilliQuantity(u.CPU, resource.DecimalSI),
		v1.QuotaMemory:   *resource.NewQuantity(u.Memory, resource.BinarySI),
	}
}

// Used is what is used of what a quota bounds.
func Used(hard corev1.ResourceList, u Usage) corev1.ResourceList {
	used := u.list()
	maps.DeleteFunc(used, func(name corev1.ResourceName, _ resource.Quantity) bool {
		_, bounded := hard[name]
		return !bounded
	})
	return used
}

// Exceeded says for a person what an app may not have, empty if it may have all that it
// wants: what it has already is never taken away.
func Exceeded(quotas []v1.PlacementQuota, others, has, wants Usage) string {
	before, after, rest := others.Plus(has).list(), others.Plus(wants).list(), others.list()
	for i := range quotas {
		q := &quotas[i]
		var problems []string
		for _, name := range slices.Sorted(maps.Keys(q.Spec.Hard)) {
			most, was, is := q.Spec.Hard[name], before[name], after[name]
			if is.Cmp(most) <= 0 || is.Cmp(was) <= 0 {
				continue
			}
			other := rest[name]
			problems = append(problems, fmt.Sprintf("%s: with this app %s, %s without it, of %s", name, is.String(), other.String(), most.String()))
		}
		if len(problems) > 0 {
			return fmt.Sprintf("PlacementQuota %s does not allow it (%s): every member keeps what it has until it fits", q.Name, strings.Join(problems, "; "))
		}
	}
	return ""
}

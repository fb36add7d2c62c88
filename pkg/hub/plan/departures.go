package plan

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

// latelyFor is for how long it counts that an app was taken off a member: as long as
// whoever relabels or taints a fleet one after the other may need.
const latelyFor = 10 * time.Minute

// Departures are those on record with what is lost now. Old ones go only when something is
// added: that time passes is no reason to write.
func Departures(recorded []v1.Departure, lost []string, now metav1.Time) []v1.Departure {
	if len(lost) == 0 {
		return recorded
	}
	kept := slices.DeleteFunc(slices.Clone(recorded), func(d v1.Departure) bool {
		return now.Sub(d.Time.Time) > latelyFor || slices.Contains(lost, d.Cluster)
	})
	for _, cluster := range lost {
		kept = append(kept, v1.Departure{Cluster: cluster, Time: metav1.NewTime(now.Truncate(time.Second))})
	}
	return kept
}

// lately are the members of departures that count.
func lately(recorded []v1.Departure, now time.Time) []string {
	var members []string
	for _, d := range recorded {
		if now.Sub(d.Time.Time) <= latelyFor {
			members = append(members, d.Cluster)
		}
	}
	return members
}

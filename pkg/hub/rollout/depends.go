package rollout

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	v1 "github.com/example/myapp-hub/api/v1"
)

// mostDependencies bounds how many apps are looked at for a cycle.
const mostDependencies = 256

// Waits says of each member why it has to wait for the apps of spec.dependsOn, empty if it
// has not. It is nil if nobody has. Apps are the others by name; one that is missing does
// not exist. A cycle is the names of apps that wait for each other.
func Waits(dependencies []v1.Dependency, apps map[string]*v1.MyApp, cycle []string) func(member string) string {
	if len(dependencies) == 0 {
		return nil
	}
	return func(member string) string {
		if len(cycle) > 0 {
			return CycleMessage(cycle)
		}
		for i := range dependencies {
			d := &dependencies[i]
			if why := waitsFor(d, apps[d.Name], member); why != "" {
				return why
			}
		}
		return ""
	}
}

// CycleMessage says that apps wait for each other.
func CycleMessage(cycle []string) string {
	return "apps depend on each other, and each would wait for the next: " + strings.Join(cycle, " → ") + ". Remove one of them from spec.dependsOn"
}

func waitsFor(d *v1.Dependency, app *v1.MyApp, member string) string {
	condition := d.Condition
	if condition == "" {
		condition = v1.ConditionReady
	}
	switch {
	case app == nil:
		return fmt.Sprintf("MyApp %s, which it depends on, does not exist", d.Name)
	case app.Status.ObservedGeneration != app.Generation:
		return fmt.Sprintf("the hub has not seen the latest spec of %s, which it depends on", d.Name)
	case d.Scope == v1.DependencyFleet:
		if !meta.IsStatusConditionTrue(app.Status.Conditions, condition) {
			return fmt.Sprintf("%s, which it depends on, is not %s on all its members", d.Name, condition)
		}
		return ""
	}
	rows := app.Status.Placements // ordered by name
	i, there := slices.BinarySearchFunc(rows, member, func(r v1.PlacementRow, name string) int { return strings.Compare(r.Cluster, name) })
	if there {
		if row := &rows[i]; row.IsPlaced() {
			ready := row.State == v1.PlacementReady && row.Updated && row.Revision == app.Status.Revision
			if condition == v1.ConditionAvailable {
				ready = row.State != v1.PlacementUnknown && row.ReadyReplicas > 0
			}
			if !ready {
				return fmt.Sprintf("%s, which it depends on, is not %s on %s", d.Name, condition, member)
			}
			return ""
		}
	}
	return fmt.Sprintf("%s, which it depends on, is not on %s", d.Name, member)
}

// Cycle finds apps that wait for each other, beginning and ending with the one that is
// given; nil if it is in no cycle. of gives the names that an app depends on.
func Cycle(app string, of func(app string) []string) []string {
	seen := map[string]bool{}
	var find func(path []string) []string
	find = func(path []string) []string {
		for _, next := range of(path[len(path)-1]) {
			if next == app {
				return append(path[:len(path):len(path)], app)
			}
			if seen[next] || len(seen) >= mostDependencies {
				continue
			}
			seen[next] = true
			if cycle := find(append(path[:len(path):len(path)], next)); cycle != nil {
				return cycle
			}
		}
		return nil
	}
	return find([]string{app})
}

// Names are those of the apps that one depends on.
func Names(dependencies []v1.Dependency) []string {
	names := make([]string, 0, len(dependencies))
	for i := range dependencies {
		names = append(names, dependencies[i].Name)
	}
	return names
}

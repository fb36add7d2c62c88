package integration

import (
	"testing"
)

// A placement that cannot be meant is refused, and so is an expression that cannot be
// understood: the webhook compiles it.
func TestInvalidPlacementsAreRefused(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	for _, r := range []refused{
		{"no number", `{numberOfClusters: 0}`, []string{"numberOfClusters", "greater than or equal to 1"}},
		{"no names", `{clusterNames: []}`, []string{"clusterNames", "at least 1"}},
		{"preferences of everyone", `{preferences: [{clusterSelector: {}, weight: 1}]}`, []string{"spec.placement", "set numberOfClusters or remove preferences"}},
		{"too much of a preference", `{numberOfClusters: 1, preferences: [{clusterSelector: {}, weight: 101}]}`, []string{"weight", "less than or equal to 100"}},
		{"going back to no group", `{failBack: Never}`, []string{"spec.placement", "add groups or remove failBack"}},
		{"a group twice", `{groups: [{name: a}, {name: a}]}`, []string{"groups[1]", "Duplicate"}},
		{"a spread twice", `{spread: [{topologyKey: a}, {topologyKey: a}]}`, []string{"spread[1]", "Duplicate"}},
		{"a spread by no label", `{spread: [{topologyKey: "a b"}]}`, []string{"topologyKey", "is not a label key"}},
		{"a toleration of everything by value", `{tolerations: [{value: x}]}`, []string{"tolerations[0]", "needs operator Exists"}},
		{"any value, but which", `{tolerations: [{key: a, operator: Exists, value: x}]}`, []string{"tolerations[0]", "remove value or use operator Equal"}},
		{"seconds of what does not end", `{tolerations: [{key: a, operator: Exists, effect: NoSchedule, tolerationSeconds: 5}]}`, []string{"tolerations[0]", "tolerationSeconds is for effect NoExecute"}},
		{"dividing what is duplicated", `{replicaScheduling: {divide: Even}}`, []string{"replicaScheduling", "are for type Divided"}},
		{"weights of even shares", `{replicaScheduling: {type: Divided, divide: Even, weights: [{clusterSelector: {}, weight: 1}]}}`, []string{"replicaScheduling", "weights are for divide Weighted"}},
		{"more at least than at most", `{replicaScheduling: {type: Divided, minPerCluster: 5, maxPerCluster: 4}}`, []string{"replicaScheduling", "minPerCluster is larger than maxPerCluster"}},
		{"an expression that is no CEL", `{expression: "cluster.name = 1"}`, []string{"spec.placement.expression", "line 1"}},
		{"an expression that is no truth", `{expression: cluster.name}`, []string{"spec.placement.expression", "must give true or false"}},
		{"a field that no cluster has", `{expression: "cluster.lables.x == 'y'"}`, []string{"spec.placement.expression", "cluster has name, labels"}},
	} {
		t.Run(r.reason, func(t *testing.T) {
			r.check(t, f, object(t, "MyApp", ns, "web", `{spec: {image: a, placement: `+r.spec+`}}`))
		})
	}
	for _, r := range []refused{
		{"divided, and scaled by each member", `{placement: {replicaScheduling: {type: Divided}}, autoscaling: {maxReplicas: 3, targetCPUUtilization: 70}}`, []string{"remove autoscaling or use replicaScheduling type Duplicated"}},
		{"divided, and overridden", `{placement: {replicaScheduling: {type: Divided}}, overrides: [{replicas: 2}]}`, []string{"remove replicas from overrides"}},
		{"no budget", `{failover: {budgetPercent: 0}}`, []string{"spec.failover.budgetPercent", "greater than or equal to 1"}},
		{"a time before now", `{failover: {tolerationSeconds: -1}}`, []string{"spec.failover.tolerationSeconds", "greater than or equal to 0"}},
	} {
		t.Run(r.reason, func(t *testing.T) {
			r.check(t, f, object(t, "MyApp", ns, "web", `{spec: `+overlay(`image: a`, r.spec)+`}`))
		})
	}
	for _, r := range []refused{
		{"the hub's own taint", `[{key: example.com/unreachable, effect: NoExecute}]`, []string{"taints[0].key", "the hub sets this taint by itself"}},
		{"a taint twice", `[{key: a, effect: NoExecute}, {key: a, effect: NoExecute}]`, []string{"taints[1]", "Duplicate"}},
		{"a taint that does nothing", `[{key: a, effect: Maybe}]`, []string{"taints[0].effect", `"NoSchedule"`}},
		{"a taint without a key", `[{key: "", effect: NoSchedule}]`, []string{"taints[0].key"}},
	} {
		t.Run(r.reason, func(t *testing.T) {
			r.check(t, f, object(t, "MemberCluster", "", "x", `{spec: {mode: Pull, taints: `+r.spec+`}}`))
		})
	}
}

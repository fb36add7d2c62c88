package integration

// placementRows show the fields of spec.placement and spec.failover. Every app ends on
// both members, push-1 and pull-1.
func placementRows() []fieldRow {
	const (
		selector = `clusterSelector: {matchLabels: {tier: edge}, matchExpressions: [{key: mode, operator: In, values: [push, pull]}]}`
	)
	onBoth := fact{"MyApp", ".status.placements[*].cluster", "pull-1 push-1"}
	return []fieldRow{
		{
			name: "chosen",
			fields: []string{
				"placement.clusterNames", "placement.expression", "placement.numberOfClusters",
				"placement.spread.topologyKey", "placement.spread.maxSkew", "placement.spread.minDomains", "placement.spread.whenUnsatisfiable",
				"placement.preferences.clusterSelector.matchLabels", "placement.preferences.clusterSelector.matchExpressions.key",
				"placement.preferences.clusterSelector.matchExpressions.operator", "placement.preferences.clusterSelector.matchExpressions.values",
				"placement.preferences.weight",
			},
			spec: `
placement:
  clusterNames: [push-1, push-2, push-3, pull-1, pull-2]
  expression: cluster.labels["mode"] in ["push", "pull"] && cluster.name != "push-3"
  numberOfClusters: 2
  spread: [{topologyKey: mode, maxSkew: 1, minDomains: 2, whenUnsatisfiable: DoNotSchedule}]
  preferences: [{` + selector + `, weight: 50}]`,
			want: []fact{onBoth},
		},
		{
			name: "groups",
			fields: []string{
				"placement.groups.name", "placement.groups.clusterNames", "placement.groups.clusterSelector.matchLabels",
				"placement.groups.clusterSelector.matchExpressions.key", "placement.groups.clusterSelector.matchExpressions.operator",
				"placement.groups.clusterSelector.matchExpressions.values", "placement.failBack",
			},
			spec: `
placement:
  groups:
  - {name: home, clusterNames: [push-1, pull-1], ` + selector + `}
  - {name: away}
  failBack: Never`,
			want: []fact{onBoth},
		},
		{
			name: "divided",
			fields: []string{
				"placement.replicaScheduling.type", "placement.replicaScheduling.divide", "placement.replicaScheduling.minPerCluster",
				"placement.replicaScheduling.maxPerCluster", "placement.replicaScheduling.weights.weight",
				"placement.replicaScheduling.weights.clusterSelector.matchLabels", "placement.replicaScheduling.weights.clusterSelector.matchExpressions.key",
				"placement.replicaScheduling.weights.clusterSelector.matchExpressions.operator",
				"placement.replicaScheduling.weights.clusterSelector.matchExpressions.values",
			},
			spec: `
replicas: 6
placement:
  clusterNames: [push-1, pull-1]
  replicaScheduling: {type: Divided, divide: Weighted, weights: [{` + selector + `, weight: 2}], minPerCluster: 1, maxPerCluster: 4}`,
			want: []fact{
				onBoth, {"Deployment", ".spec.replicas", "3"},
				{"MyApp", ".status.replicas", "6"}, {"MyApp", ".status.summary.totalReplicas", "6"},
			},
			then:    `{replicas: 10}`,
			finally: []fact{{"Deployment", ".spec.replicas", "4"}, {"MyApp", ".status.conditions[?(@.type==\"Scheduled\")].message", "~2 of 10 replicas fit on no member"}},
		},
		{
			name: "tolerant",
			fields: []string{
				"placement.tolerations.key", "placement.tolerations.operator", "placement.tolerations.value", "placement.tolerations.effect",
				"placement.tolerations.tolerationSeconds",
				"failover.tolerationSeconds", "failover.gracePeriodSeconds", "failover.budgetPercent",
			},
			spec: `
failover: {tolerationSeconds: 60, gracePeriodSeconds: 60, budgetPercent: 50}
placement:
  clusterNames: [push-1, pull-1]
  tolerations: [{key: example.com/none, operator: Equal, value: x, effect: NoExecute, tolerationSeconds: 60}]`,
			want: []fact{onBoth},
		},
	}
}

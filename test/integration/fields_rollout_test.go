package integration

// rolloutRows show the fields of spec.rollout and spec.dependsOn. What steps do is shown
// where they can be watched, in test/rollout; here both members keep what they have.
func rolloutRows() []fieldRow {
	const second = `{image: "registry.example.com/web:2"}`
	stays := fact{"Deployment", container + ".image", "registry.example.com/web:1"}
	return []fieldRow{
		{
			name: "steps",
			fields: []string{
				"rollout.type", "rollout.maxUnavailable", "rollout.maxFailures", "rollout.onFailure", "rollout.progressDeadlineSeconds",
				"rollout.steps.name", "rollout.steps.clusterNames", "rollout.steps.clusterSelector.matchLabels",
				"rollout.steps.clusterSelector.matchExpressions.key", "rollout.steps.clusterSelector.matchExpressions.operator",
				"rollout.steps.clusterSelector.matchExpressions.values", "rollout.steps.share", "rollout.steps.sortBy", "rollout.steps.maxConcurrent",
				"rollout.steps.soakSeconds", "rollout.steps.approval", "rollout.steps.progressDeadlineSeconds",
			},
			spec: `
rollout:
  type: Progressive
  maxUnavailable: 50%
  maxFailures: 1
  onFailure: Continue
  progressDeadlineSeconds: 60
  steps:
  - name: first
    clusterNames: [push-1, pull-1]
    clusterSelector: {matchLabels: {tier: edge}, matchExpressions: [{key: mode, operator: In, values: [push, pull]}]}
    share: 1
    sortBy: mode
    maxConcurrent: 1
    soakSeconds: 1
    progressDeadlineSeconds: 60
    approval: RequiredBefore`,
			want: []fact{{"MyApp", ".status.rollout.phase", "Completed"}},
			then: second,
			finally: []fact{
				{"MyApp", ".status.rollout.reason", "AwaitingApproval"}, {"MyApp", ".status.rollout.currentStep.name", "first"},
				{"MyApp", ".status.rollout.currentStep.total", "2"},
				{"MyApp", ".status.conditions[?(@.type==\"Progressing\")].message", "~kubectl myapp rollout approve steps"}, stays,
			},
		},
		{
			name:   "windows",
			fields: []string{"rollout.windows.schedule", "rollout.windows.durationSeconds", "rollout.windows.timeZone"},
			spec:   `rollout: {type: Progressive, windows: [{schedule: "0 0 29 2 *", durationSeconds: 60, timeZone: Europe/Berlin}]}`,
			then:   second,
			finally: []fact{
				{"MyApp", ".status.conditions[?(@.type==\"Progressing\")].reason", "OutsideChangeWindow"},
				{"MyApp", ".status.rollout.message", "~2028-02-28T23:00:00Z"}, stays,
			},
		},
		{
			name: "gates",
			fields: []string{
				"rollout.steps.gates.name", "rollout.steps.gates.expression", "rollout.steps.gates.prometheus.address", "rollout.steps.gates.prometheus.query",
				"rollout.steps.gates.intervalSeconds", "rollout.steps.gates.count", "rollout.steps.gates.timeoutSeconds",
			},
			spec: `
rollout:
  type: Progressive
  steps:
  - name: none
    clusterNames: [nowhere]
    gates:
    - {name: errors, expression: value < 0.1, prometheus: {address: "http://127.0.0.1:9", query: sum(errors)}, intervalSeconds: 1, count: 2, timeoutSeconds: 600}`,
			then:    second,
			finally: []fact{{"MyApp", ".status.rollout.reason", "AwaitingGate"}, {"MyApp", ".status.rollout.message", "~see its flag --prometheus"}, stays},
		},
		{
			name:   "dependent",
			fields: []string{"dependsOn.name", "dependsOn.condition", "dependsOn.scope"},
			then:   `{image: "registry.example.com/web:2", dependsOn: [{name: nobody, condition: Available, scope: Fleet}]}`,
			finally: []fact{
				{"MyApp", ".status.conditions[?(@.type==\"Ready\")].reason", "AwaitingDependency"},
				{"MyApp", ".status.conditions[?(@.type==\"Ready\")].message", "~MyApp nobody, which it depends on, does not exist"}, stays,
			},
		},
	}
}

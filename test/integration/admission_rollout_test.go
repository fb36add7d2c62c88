package integration

import (
	"testing"
)

// A rollout that cannot be meant is refused, and so are apps that would wait for each other
// for ever.
func TestInvalidRolloutsAreRefused(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	for _, r := range []refused{
		{"steps of all at once", `{steps: [{name: a}]}`, []string{"spec.rollout", "are for type Progressive"}},
		{"another type", `{type: Slowly}`, []string{"spec.rollout.type", `"Progressive"`}},
		{"a step twice", `{type: Progressive, steps: [{name: a}, {name: a}]}`, []string{"steps[1]", "Duplicate"}},
		{"a step without a name", `{type: Progressive, steps: [{share: 1}]}`, []string{"steps[0].name"}},
		{"a name that is none", `{type: Progressive, steps: [{name: "A b"}]}`, []string{"steps[0].name"}},
		{"no steps", `{type: Progressive, steps: []}`, []string{"spec.rollout.steps", "at least 1"}},
		{"no share", `{type: Progressive, steps: [{name: a, share: 0}]}`, []string{"spec.rollout", "share: use a number from 1 to 10000"}},
		{"more than all", `{type: Progressive, steps: [{name: a, share: 101%}]}`, []string{"share", "should match"}},
		{"nobody at once", `{type: Progressive, steps: [{name: a, maxConcurrent: 0}]}`, []string{"spec.rollout", "maxConcurrent: use a number from 1 to 10000"}},
		{"none may be unavailable", `{type: Progressive, maxUnavailable: 0}`, []string{"spec.rollout", "maxUnavailable: use a number from 1 to 10000"}},
		{"a selector that is none", `{type: Progressive, steps: [{name: a, clusterSelector: {matchExpressions: [{key: a, operator: In}]}}]}`, []string{"steps[0]"}},
		{"a gate without an expression", `{type: Progressive, steps: [{name: a, gates: [{name: g}]}]}`, []string{"gates[0].expression"}},
		{"a gate that is no CEL", `{type: Progressive, steps: [{name: a, gates: [{name: g, expression: "1 +"}]}]}`, []string{"spec.rollout", "gates[0].expression", "write one such as"}},
		{"a gate that is no truth", `{type: Progressive, steps: [{name: a, gates: [{name: g, expression: step.ready}]}]}`, []string{"spec.rollout", "must give true or false"}},
		{"a value of nobody", `{type: Progressive, steps: [{name: a, gates: [{name: g, expression: value < 1.0}]}]}`, []string{"spec.rollout", "value is there if the gate asks prometheus"}},
		{"a value that is not looked at", `{type: Progressive, steps: [{name: a, gates: [{name: g, expression: "true", prometheus: {address: "http://p", query: up}}]}]}`, []string{"spec.rollout", "does not look at value"}},
		{"a value without a point", `{type: Progressive, steps: [{name: a, gates: [{name: g, expression: value < 1, prometheus: {address: "http://p", query: up}}]}]}`, []string{"spec.rollout", "1.0 and not 1"}},
		{"an address that is none", `{type: Progressive, steps: [{name: a, gates: [{name: g, expression: value < 1.0, prometheus: {address: "file:///x", query: up}}]}]}`, []string{"prometheus.address"}},
		{"the name of the last step", `{type: Progressive, steps: [{name: rest}]}`, []string{"spec.rollout", "rest is the last step"}},
		{"a label that is none", `{type: Progressive, steps: [{name: a, sortBy: "a label!"}]}`, []string{"sortBy"}},
		{"a window that never comes", `{type: Progressive, windows: [{schedule: "0 0 31 2 *", durationSeconds: 60}]}`, []string{"windows[0].schedule", "never comes"}},
		{"a word for a schedule", `{type: Progressive, windows: [{schedule: "@daily", durationSeconds: 60}]}`, []string{"windows[0].schedule", "five fields of cron"}},
		{"a gate about what there is not", `{type: Progressive, steps: [{name: a, gates: [{name: g, expression: step.pods > 1}]}]}`, []string{"spec.rollout", "step have clusters, ready"}},
		{"answers of nobody", `{type: Progressive, steps: [{name: a, gates: [{name: g, expression: step.ready > 1, count: 3}]}]}`, []string{"spec.rollout", "are about prometheus"}},
		{"a window without an end", `{type: Progressive, windows: [{schedule: "* * * * *"}]}`, []string{"windows[0].durationSeconds"}},
		{"a window at no time", `{type: Progressive, windows: [{schedule: "at night", durationSeconds: 60}]}`, []string{"spec.rollout", "windows[0].schedule", "five fields of cron"}},
		{"a zone in the schedule", `{type: Progressive, windows: [{schedule: "TZ=UTC 0 0 * * *", durationSeconds: 60}]}`, []string{"set timeZone instead"}},
		{"a zone that is none", `{type: Progressive, windows: [{schedule: "0 0 * * *", durationSeconds: 60, timeZone: Middle/Earth}]}`, []string{"windows[0].timeZone", "is not known"}},
	} {
		t.Run(r.reason, func(t *testing.T) {
			r.check(t, f, object(t, "MyApp", ns, "web", `{spec: {image: a, rollout: `+r.spec+`}}`))
		})
	}
	itself := refused{"itself", ``, []string{"spec.dependsOn", "web → web"}}
	t.Run(itself.reason, func(t *testing.T) {
		itself.check(t, f, object(t, "MyApp", ns, "web", `{spec: {image: a, dependsOn: [{name: web}]}}`))
	})
}

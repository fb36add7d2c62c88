package integration

import (
	"fmt"
	"slices"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
)

const (
	podSpec   = ".spec.template.spec"
	container = podSpec + ".containers[0]"
	sidecar   = podSpec + ".containers[1]"
	digest    = "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1"
)

func variable(name string) string { return container + `.env[?(@.name=="` + name + `")]` }

// fieldRows have every field of MyAppSpec.
func fieldRows() []fieldRow {
	return slices.Concat(containerRows(), podRows(), objectRows(), overrideRows(), policyRows(), placementRows(), rolloutRows())
}

func containerRows() []fieldRow {
	return []fieldRow{
		{
			name:   "container",
			fields: []string{"image", "replicas", "command", "args", "resources"},
			spec:   `{image: "registry.example.com/shop:1.4", replicas: 2, command: [/bin/shop, -x], args: ["--port=8080", ""], resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 128Mi}}}`,
			want: []fact{
				{"Deployment", container + ".name", "container"},
				{"Deployment", container + ".image", "registry.example.com/shop:1.4"},
				{"Deployment", ".spec.replicas", "2"},
				{"Deployment", ".status.readyReplicas", "2"},
				{"Deployment", container + ".command", `["/bin/shop","-x"]`},
				{"Deployment", container + ".args", `["--port=8080",""]`},
				{"Deployment", container + ".resources", `{"limits":{"memory":"128Mi"},"requests":{"cpu":"100m","memory":"64Mi"}}`},
				{"Deployment", `.metadata.labels.example\.com/member`, "MEMBER"},
				{"row", ".replicas", "2"},
			},
		},
		{
			name:   "env",
			fields: []string{"env.name", "env.value", "env.valueFrom.fieldRef", "env.valueFrom.resourceFieldRef", "env.valueFrom.configMapKeyRef", "env.valueFrom.secretKeyRef"},
			spec: `
env:
- {name: PLAIN, value: "a $(POD) and $(cluster.name)"}
- {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
- {name: SETTING, valueFrom: {configMapKeyRef: {name: settings, key: a, optional: true}}}
- {name: PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}`,
			want: []fact{
				{"Deployment", container + ".env[*].name", "PLAIN POD CPU SETTING PASSWORD"},
				{"Deployment", variable("PLAIN") + ".value", "a $(POD) and MEMBER"},
				{"Deployment", variable("POD") + ".valueFrom.fieldRef.fieldPath", "metadata.name"},
				{"Deployment", variable("CPU") + ".valueFrom", `{"resourceFieldRef":{"divisor":"1m","resource":"limits.cpu"}}`},
				{"Deployment", variable("SETTING") + ".valueFrom", `{"configMapKeyRef":{"key":"a","name":"settings","optional":true}}`},
				{"Deployment", variable("PASSWORD") + ".valueFrom", `{"secretKeyRef":{"key":"password","name":"env.db"}}`},
				{"Secret env.db", ".data.password", "aHVudGVyMg=="},
			},
		},
		{
			name:   "env-from",
			fields: []string{"envFrom.prefix", "envFrom.configMapRef", "envFrom.secretRef"},
			spec:   `envFrom: [{prefix: S_, configMapRef: {name: settings}}, {secretRef: {name: db}}]`,
			want: []fact{
				{"Deployment", container + ".envFrom", `[{"configMapRef":{"name":"settings"},"prefix":"S_"},{"secretRef":{"name":"env-from.db"}}]`},
				{"Secret env-from.db", ".data.password", "aHVudGVyMg=="},
			},
		},
		{
			name:   "local",
			fields: []string{"localSecrets"},
			spec:   `{localSecrets: [own], envFrom: [{secretRef: {name: own}}]}`,
			want: []fact{
				{"Deployment", container + ".envFrom[0].secretRef.name", "own"},
				{"Secret local.own", ".metadata.name", expect.None},
			},
		},
		{
			name:   "probes",
			fields: []string{"probes.liveness", "probes.readiness", "probes.startup"},
			spec: `
ports: [{name: http, containerPort: 8080}]
probes:
  liveness: {exec: {command: [/alive]}, periodSeconds: 7}
  readiness: {httpGet: {path: /ready, port: http}, successThreshold: 2}
  startup: {tcpSocket: {port: 8080}, failureThreshold: 30}`,
			want: []fact{
				{"Deployment", container + ".livenessProbe.exec.command", `["/alive"]`},
				{"Deployment", container + ".livenessProbe.periodSeconds", "7"},
				{"Deployment", container + ".readinessProbe.httpGet", `{"path":"/ready","port":"http","scheme":"HTTP"}`},
				{"Deployment", container + ".readinessProbe.successThreshold", "2"},
				{"Deployment", container + ".startupProbe.tcpSocket.port", "8080"},
				{"Deployment", container + ".startupProbe.failureThreshold", "30"},
			},
		},
	}
}

func podRows() []fieldRow {
	return []fieldRow{
		{
			name:   "config",
			fields: []string{"config", "configMountPath"},
			spec:   `{config: {app.yaml: "level: debug\n"}, configMountPath: /etc/shop}`,
			want: []fact{
				{"ConfigMap", ".data", `{"app.yaml":"level: debug\n"}`},
				{"Deployment", container + ".volumeMounts", `[{"mountPath":"/etc/shop","name":"config","readOnly":true}]`},
				{"Deployment", podSpec + ".volumes[0].configMap.name", "config"},
			},
		},
		{
			name: "sidecars",
			fields: []string{
				"sidecars.name", "sidecars.image", "sidecars.command", "sidecars.args", "sidecars.ports.name", "sidecars.ports.containerPort",
				"sidecars.ports.protocol", "sidecars.env", "sidecars.envFrom", "sidecars.resources",
			},
			spec: `
config: {a: b}
sidecars:
- name: proxy
  image: $(cluster.properties.registry)/proxy:2.1
  command: [/proxy]
  args: [--verbose]
  ports: [{name: dns, containerPort: 53, protocol: UDP}]
  env: [{name: TIER, value: $(cluster.labels.tier)}]
  envFrom: [{secretRef: {name: db}}]
  resources: {requests: {cpu: 50m}}`,
			want: []fact{
				{"Deployment", podSpec + ".containers[*].name", "sidecars proxy"},
				{"Deployment", sidecar + ".image", "registry.example.org/proxy:2.1"},
				{"Deployment", sidecar + ".command", `["/proxy"]`},
				{"Deployment", sidecar + ".args", `["--verbose"]`},
				{"Deployment", sidecar + ".ports", `[{"containerPort":53,"name":"dns","protocol":"UDP"}]`},
				{"Deployment", sidecar + ".env", `[{"name":"TIER","value":"edge"}]`},
				{"Deployment", sidecar + ".envFrom[0].secretRef.name", "sidecars.db"},
				{"Deployment", sidecar + ".resources", `{"requests":{"cpu":"50m"}}`},
				{"Deployment", sidecar + ".volumeMounts", expect.None},
				{"Deployment", container + ".volumeMounts[0].mountPath", "/etc/config"},
			},
		},
		{
			name:   "template",
			fields: []string{"podTemplate"},
			spec: `
podTemplate:
  metadata: {annotations: {example.org/scrape: "true"}, labels: {team: shop}}
  spec:
    terminationGracePeriodSeconds: 7
    tolerations: [{key: gpu, operator: Exists}]
    volumes: [{name: scratch, emptyDir: {}}]
    containers:
    - {name: template, volumeMounts: [{name: scratch, mountPath: /tmp}], securityContext: {runAsNonRoot: true}}
    - {name: extra, image: "registry.example.com/extra:1"}
    initContainers: [{name: first, image: "registry.example.com/first:1"}]`,
			want: []fact{
				{"Deployment", podSpec + ".terminationGracePeriodSeconds", "7"},
				{"Deployment", podSpec + ".tolerations", `[{"key":"gpu","operator":"Exists"}]`},
				{"Deployment", podSpec + ".volumes", `[{"emptyDir":{},"name":"scratch"}]`},
				{"Deployment", container + ".volumeMounts[0].mountPath", "/tmp"},
				{"Deployment", container + ".securityContext.runAsNonRoot", "true"},
				{"Deployment", podSpec + ".containers[*].name", "template extra"},
				{"Deployment", podSpec + ".initContainers[*].name", "first"},
				{"Deployment", `.spec.template.metadata.annotations.example\.org/scrape`, "true"},
				{"Deployment", ".spec.template.metadata.labels.team", "shop"},
			},
		},
	}
}

func objectRows() []fieldRow {
	return []fieldRow{
		{
			name: "service",
			fields: []string{
				"ports.name", "ports.containerPort", "ports.protocol",
				"service.type", "service.ports.name", "service.ports.port", "service.ports.targetPort", "service.ports.protocol",
			},
			spec: `
ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]
service: {type: NodePort, ports: [{name: web, port: 80, targetPort: http}, {name: names, port: 53, protocol: UDP}]}`,
			want: []fact{
				{"Deployment", container + ".ports", `[{"containerPort":8080,"name":"http","protocol":"TCP"},{"containerPort":53,"name":"dns","protocol":"UDP"}]`},
				{"Service", ".spec.type", "NodePort"},
				{"Service", ".spec.ports[*].name", "web names"},
				{"Service", ".spec.ports[*].port", "80 53"},
				{"Service", ".spec.ports[*].targetPort", "http 53"},
				{"Service", ".spec.ports[*].protocol", "TCP UDP"},
				{"Service", ".spec.selector", `{"example.com/app":"service"}`},
			},
		},
		{
			name:   "account",
			fields: []string{"serviceAccount.annotations"},
			spec:   `serviceAccount: {annotations: {example.org/role: shop}}`,
			want: []fact{
				{"ServiceAccount", `.metadata.annotations.example\.org/role`, "shop"},
				{"Deployment", podSpec + ".serviceAccountName", "account"},
			},
		},
		{
			name:   "scaled",
			fields: []string{"autoscaling.minReplicas", "autoscaling.maxReplicas", "autoscaling.targetCPUUtilization", "autoscaling.targetMemoryUtilization"},
			spec:   `{replicas: 1, resources: {requests: {cpu: 1m, memory: 1Mi}}, autoscaling: {minReplicas: 2, maxReplicas: 5, targetCPUUtilization: 70, targetMemoryUtilization: 80}}`,
			want: []fact{
				{"HorizontalPodAutoscaler", ".spec.minReplicas", "2"},
				{"HorizontalPodAutoscaler", ".spec.maxReplicas", "5"},
				{"HorizontalPodAutoscaler", ".spec.metrics[*].resource.name", "cpu memory"},
				{"HorizontalPodAutoscaler", ".spec.metrics[*].resource.target.averageUtilization", "70 80"},
				{"HorizontalPodAutoscaler", ".spec.scaleTargetRef", `{"apiVersion":"apps/v1","kind":"Deployment","name":"scaled"}`},
				{"Deployment", ".spec.replicas", "2"},
			},
		},
		{
			name:   "budget",
			fields: []string{"disruption.minAvailable"},
			spec:   `disruption: {minAvailable: 1}`,
			want: []fact{
				{"PodDisruptionBudget", ".spec.minAvailable", "1"},
				{"PodDisruptionBudget", ".spec.maxUnavailable", expect.None},
				{"PodDisruptionBudget", ".spec.selector.matchLabels", `{"example.com/app":"budget"}`},
			},
		},
		{
			name:   "budget-most",
			fields: []string{"disruption.maxUnavailable"},
			spec:   `disruption: {maxUnavailable: 25%}`,
			want: []fact{
				{"PodDisruptionBudget", ".spec.maxUnavailable", "25%"},
				{"PodDisruptionBudget", ".spec.minAvailable", expect.None},
			},
		},
		{
			name:   "extra",
			fields: []string{"manifests"},
			spec: `
manifests:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: extra-data, labels: {team: shop}, annotations: {example.org/a: b}}, data: {a: b}}
- apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: extra}
  spec: {podSelector: {matchLabels: {example.com/app: extra}}, ingress: [{ports: [{port: 8080}]}]}`,
			want: []fact{
				{"ConfigMap extra-data", ".data", `{"a":"b"}`},
				{"ConfigMap extra-data", ".metadata.labels.team", "shop"},
				{"ConfigMap extra-data", `.metadata.annotations.example\.org/a`, "b"},
				{"NetworkPolicy", ".spec.podSelector.matchLabels", `{"example.com/app":"extra"}`},
				{"NetworkPolicy", ".spec.ingress[0].ports[0].port", "8080"},
			},
		},
		healthRow("health", "starting", "up"),
		healthRow("failing", "up", "down"),
	}
}

// healthRow is an app with an object that goes from one phase to another, which
// only the app's rule understands.
func healthRow(name, before, after string) fieldRow {
	policy := func(phase string) string {
		return fmt.Sprintf(`{manifests: [{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: %s, labels: {phase: %s}}, spec: {podSelector: {}}}]}`, name, phase)
	}
	rules := `
healthRules:
- group: networking.k8s.io
  kind: NetworkPolicy
  ready: object.metadata.labels.phase == "up"
  failed: object.metadata.labels.phase == "down"
  message: '"the phase is " + object.metadata.labels.phase'`
	facts := func(phase string) []fact {
		switch phase {
		case "up":
			return []fact{{"row", ".state", "Ready"}}
		case "down":
			return []fact{{"row", ".state", "Failed"}, {"row", ".reason", v1.ReasonObjectFailed}, {"row", ".message", "~the phase is down"}}
		default:
			return []fact{{"row", ".state", "Progressing"}, {"row", ".reason", v1.ReasonObjectsNotReady}, {"row", ".message", "~the phase is " + phase}}
		}
	}
	return fieldRow{
		name:   name,
		fields: []string{"healthRules.group", "healthRules.kind", "healthRules.ready", "healthRules.failed", "healthRules.message"},
		spec:   overlay(rules, policy(before)),
		want:   facts(before),
		then:   policy(after), finally: facts(after),
	}
}

func overrideRows() []fieldRow {
	return []fieldRow{
		{
			name: "override",
			fields: []string{
				"overrides.clusterSelector.matchLabels", "overrides.clusterSelector.matchExpressions.key", "overrides.clusterSelector.matchExpressions.operator",
				"overrides.clusterSelector.matchExpressions.values", "overrides.clusterNames", "overrides.replicas", "overrides.env", "overrides.args", "overrides.resources",
			},
			spec: `
env: [{name: A, value: "1"}, {name: B, value: "1"}]
args: [--one]
resources: {limits: {cpu: "1"}}
overrides:
- clusterSelector: {matchLabels: {tier: edge}, matchExpressions: [{key: tier, operator: In, values: [edge, core]}]}
  clusterNames: [push-1, pull-1]
  replicas: 2
  env: [{name: B, value: $(cluster.labels.tier)}, {name: C, value: $(cluster.name).$(cluster.properties.domain)}]
  args: [--two]
  resources: {requests: {cpu: 100m}}
- clusterNames: [push-2]
  args: [--three]
- clusterSelector: {matchLabels: {tier: core}}
  args: [--four]`,
			want: []fact{
				{"Deployment", ".spec.replicas", "2"},
				{"row", ".replicas", "2"},
				{"Deployment", container + ".env[*].value", "1 edge MEMBER.example.org"},
				{"Deployment", container + ".args", `["--two"]`},
				{"Deployment", container + ".resources", `{"requests":{"cpu":"100m"}}`},
			},
		},
		{
			name:   "mirror",
			fields: []string{"overrides.image.registry", "overrides.image.repository", "overrides.image.tag"},
			spec:   `{image: "registry.example.com/web:1", overrides: [{image: {registry: "mirror.example.com:5000/hub"}}, {image: {repository: team/web, tag: "2"}}]}`,
			want:   []fact{{"Deployment", container + ".image", "mirror.example.com:5000/team/web:2"}},
		},
		{
			name:   "digest",
			fields: []string{"overrides.image.digest"},
			spec:   `{image: "$(cluster.properties.registry)/web:1", overrides: [{image: {digest: "` + digest + `"}}]}`,
			want:   []fact{{"Deployment", container + ".image", "registry.example.org/web@" + digest}},
		},
		{
			name: "patches",
			fields: []string{
				"overrides.patches.target.group", "overrides.patches.target.kind", "overrides.patches.target.name",
				"overrides.patches.patch.op", "overrides.patches.patch.path", "overrides.patches.patch.from", "overrides.patches.patch.value",
			},
			spec: `
service: {ports: [{port: 80}]}
disruption: {minAvailable: 1}
manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: patches-other}, data: {a: b}}]
config: {a: b, c: d}
overrides:
- patches:
  - target: {kind: Service}
    patch:
    - {op: test, path: /spec/type, value: ClusterIP}
    - {op: add, path: /metadata/annotations, value: {example.org/host: "$(cluster.name).$(cluster.properties.domain)"}}
    - {op: replace, path: /spec/type, value: NodePort}
    - {op: copy, from: /metadata/name, path: /metadata/annotations/example.org~1name}
  - target: {group: policy, kind: PodDisruptionBudget, name: patches}
    patch:
    - {op: move, from: /spec/minAvailable, path: /spec/maxUnavailable}
  - target: {group: apps, kind: Deployment, name: patches}
    patch:
    - {op: add, path: /spec/minReadySeconds, value: 1}
  - target: {kind: ConfigMap, name: patches}
    patch:
    - {op: remove, path: /data/c}`,
			want: []fact{
				{"Service", ".spec.type", "NodePort"},
				{"Service", `.metadata.annotations.example\.org/host`, "MEMBER.example.org"},
				{"Service", `.metadata.annotations.example\.org/name`, "patches"},
				{"PodDisruptionBudget", ".spec.maxUnavailable", "1"},
				{"PodDisruptionBudget", ".spec.minAvailable", expect.None},
				{"Deployment", ".spec.minReadySeconds", "1"},
				{"ConfigMap", ".data", `{"a":"b"}`},
				{"ConfigMap patches-other", ".data", `{"a":"b"}`},
			},
		},
	}
}

func policyRows() []fieldRow {
	const first, second = "registry.example.com/web:1", "registry.example.com/web:2"
	return []fieldRow{
		{
			name: "placement",
			fields: []string{
				"placement.clusterSelector.matchLabels", "placement.clusterSelector.matchExpressions.key",
				"placement.clusterSelector.matchExpressions.operator", "placement.clusterSelector.matchExpressions.values",
			},
			spec: `placement: {clusterSelector: {matchLabels: {tier: edge}, matchExpressions: [{key: mode, operator: In, values: [push, pull]}]}}`,
			want: []fact{{"MyApp", ".status.placements[*].cluster", "pull-1 push-1"}},
		},
		{
			name:   "drift",
			fields: []string{"drift.mode", "drift.ignore.group", "drift.ignore.kind", "drift.ignore.name", "drift.ignore.fields"},
			spec:   `{args: [--ours], drift: {mode: Report, ignore: [{group: apps, kind: Deployment, name: drift, fields: [/spec/template/spec/containers/drift/image]}]}}`,
			edit:   `{"spec":{"template":{"spec":{"containers":[{"name":"drift","image":"theirs:1","args":["--theirs"]}]}}}}`,
			finally: []fact{
				{"Deployment", container + ".image", "theirs:1"},
				{"Deployment", container + ".args", `["--theirs"]`},
				{"row", ".reason", v1.ReasonDrifted},
				{"row", ".message", `~/spec/template/spec/containers/drift/args is ["--theirs"] (set by ` + expect.Somebody + `), wanted ["--ours"]`},
			},
		},
		{
			name:   "adoption",
			fields: []string{"adoption"},
			before: `{apiVersion: v1, kind: ConfigMap, metadata: {name: adoption}, data: {a: theirs, b: theirs}}`,
			spec:   `{adoption: Always, config: {a: ours}}`,
			want: []fact{
				{"ConfigMap", ".data.a", "ours"},
				{"ConfigMap", `.metadata.labels.app\.kubernetes\.io/managed-by`, v1.ManagedBy},
			},
		},
		{
			name:   "deletion",
			fields: []string{"deletionPolicy"},
			spec:   `{deletionPolicy: Orphan, service: {ports: [{port: 80}]}}`,
			want:   []fact{{"Deployment", `.metadata.labels.example\.com/member`, "MEMBER"}},
			then:   "delete",
			finally: []fact{
				{"MyApp", ".metadata.name", expect.None},
				{"Deployment", container + ".image", first},
				{"Service", ".spec.ports[0].port", "80"},
				{"Deployment", ".metadata.labels", `{"app.kubernetes.io/name":"deletion","example.com/app":"deletion"}`},
				{"Service", ".metadata.annotations", expect.None},
			},
		},
		{
			name:   "paused",
			fields: []string{"paused"},
			want:   []fact{{"Deployment", container + ".image", first}},
			then:   `{paused: true, replicas: 2, image: "` + second + `"}`,
			finally: []fact{
				{"MyApp", `.status.conditions[?(@.type=="Progressing")].reason`, v1.ReasonPaused},
				{"Deployment", container + ".image", first},
				{"Deployment", ".spec.replicas", "1"},
				{"row", ".state", "Ready"},
			},
		},
		{
			name:    "history",
			fields:  []string{"revisionHistoryLimit"},
			spec:    `revisionHistoryLimit: 0`,
			want:    []fact{{"revisions", ".count", "1"}},
			then:    `{image: "` + second + `"}`,
			finally: []fact{{"Deployment", container + ".image", second}, {"revisions", ".count", "1"}},
		},
		{
			name:    "keeps-history",
			want:    []fact{{"revisions", ".count", "1"}},
			then:    `{image: "` + second + `"}`,
			finally: []fact{{"revisions", ".count", "2"}},
		},
	}
}

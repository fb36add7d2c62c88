package render

import (
	"errors"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
)

func app(t testing.TB, spec string) *v1.MyApp {
	t.Helper()
	a := &v1.MyApp{}
	a.Namespace, a.Name = "shop", "web"
	if err := yaml.UnmarshalStrict([]byte(spec), &a.Spec); err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	return a
}

// TestGoldenSpecsAreValid: what is rendered elsewhere in these tests is what a
// user may write.
func TestGoldenSpecsAreValid(t *testing.T) {
	for _, name := range goldens(t) {
		in := input(t, name)
		a := &v1.MyApp{Spec: in.Template}
		a.Namespace, a.Name = in.Namespace, in.Name
		if errs := Validate(a, nil); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

func TestValidateAccepts(t *testing.T) {
	for _, tt := range []struct{ reason, spec string }{
		{"a test that holds on some member", `
image: web
overrides: [{patches: [{target: {kind: Deployment}, patch: [{op: test, path: /spec/template/spec/containers/0/image, value: other}]}]}]`},
		{"an override that needs what an earlier one made", `
image: web
overrides:
- {clusterNames: [a], patches: [{target: {kind: Deployment}, patch: [{op: add, path: /metadata/annotations, value: {a: b}}]}]}
- {clusterNames: [b], image: {tag: "2"}}
- {clusterNames: [a], patches: [{target: {kind: Deployment}, patch: [{op: replace, path: /metadata/annotations/a, value: c}]}]}`},
		{"an override that needs what one has made and another takes away", `
image: web
overrides:
- {clusterNames: [a], patches: [{target: {kind: Deployment}, patch: [{op: add, path: /metadata/annotations, value: {a: b}}]}]}
- {clusterNames: [b], patches: [{target: {kind: Deployment}, patch: [{op: add, path: /metadata/annotations, value: {}}]}]}
- {clusterNames: [a], patches: [{target: {kind: Deployment}, patch: [{op: replace, path: /metadata/annotations/a, value: c}]}]}`},
		{"overrides that exclude one another", `
image: web
service: {ports: [{port: 80}]}
overrides:
- {clusterNames: [a], patches: [{target: {kind: Service}, patch: [{op: remove, path: /spec/ports/0/targetPort}]}]}
- {clusterNames: [b], patches: [{target: {kind: Service}, patch: [{op: remove, path: /spec/ports/0/targetPort}]}]}`},
		{"a variable where a quantity is wanted", `
image: web
overrides: [{patches: [{target: {kind: Deployment}, patch: [{op: add, path: /spec/template/spec/containers/0/resources, value: {limits: {cpu: $(cluster.properties.cpu)}}}]}]}]`},
		{"variables of the kubelet, and the text itself", `
image: web
args: [$(HOME), $$(cluster.name)]
env: [{name: A, value: $(HOME) $$(cluster.nothing) $(cluster) $(}]
podTemplate: {metadata: {annotations: {a: $$(cluster.name)}}}`},
		{"escapes in a path", `
image: web
drift: {ignore: [{kind: Deployment, fields: [/metadata/annotations/example.org~1a~0b]}]}
overrides: [{patches: [{target: {kind: Deployment}, patch: [{op: add, path: /metadata/annotations, value: {}}, {op: add, path: /metadata/annotations/example.org~1a, value: b}]}]}]`},
		{"images", `
image: web
overrides:
- image: {registry: "localhost:5000", repository: a__b/c-d/e.f, tag: v1.2_x-y}
- image: {registry: mirror.example.com/hub/x}
- image: {registry: "[::1]:5000", digest: "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1"}`},
		{"an object of a kind that only looks like a list", `
image: web
manifests: [{apiVersion: example.org/v1, kind: AllowList, metadata: {name: a}}, {apiVersion: example.org/v1, kind: Secret, metadata: {name: a}}]`},
		{"labels of the user's own domain under example.com", `
image: web
manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {example.com/team: shop}}}]`},
	} {
		if errs := Validate(app(t, tt.spec), nil); len(errs) > 0 {
			t.Errorf("%s: %v", tt.reason, errs)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	deployment := func(operation string) string {
		return "image: web\noverrides: [{patches: [{target: {kind: Deployment}, patch: [" + operation + "]}]}]"
	}
	manifest := func(object string) string { return "image: web\nmanifests: [" + object + "]" }
	for _, tt := range []struct {
		spec  string
		field string
		says  string
	}{
		// podTemplate
		{"image: web\npodTemplate: {spec: {priorityClas: high}}", "spec.podTemplate", `unknown field "spec.priorityClas"`},
		{"image: web\npodTemplate: {spec: {PriorityClassName: high}}", "spec.podTemplate", `unknown field "spec.PriorityClassName"`},
		{"image: web\npodTemplate: {spec: {terminationGracePeriodSeconds: long}}", "spec.podTemplate", "terminationGracePeriodSeconds"},
		{"image: web\npodTemplate: {spec: {containers: {name: web}}}", "spec.podTemplate", "containers"},
		{"image: web\npodTemplate: {spec: {containers: [{image: other}]}}", "spec.podTemplate", "name"},
		{"image: web\npodTemplate: {spec: {containers: [{name: web, $patch: delete}]}}", "spec.podTemplate", "container web is missing"},
		{"image: web\npodTemplate: {spec: {initContainers: [{name: web, image: x}]}}", "spec.podTemplate", "two containers"},
		{"image: web\npodTemplate: {metadata: {labels: {example.com/app: other}}}", "spec.podTemplate", "example.com/app"},
		{"image: web\npodTemplate: {metadata: {labels: null}}", "spec.podTemplate", "example.com/app"},
		{"image: web\npodTemplate: {metadata: {labels: {example.com/hub-id: x}}}", "spec.podTemplate", "example.com/hub-id"},
		{"image: web\npodTemplate: {metadata: {annotations: {example.com/config-hash: x}}}", "spec.podTemplate", "example.com/config-hash"},
		{"image: web\nconfig: {a: b}\npodTemplate: {spec: {volumes: [{name: config, emptyDir: {}}]}}", "spec.podTemplate.spec.volumes[0].name", "spec.config"},
		{"image: web\npodTemplate: {spec: {containers: [{name: web, volumeMounts: [{}]}]}}", "spec.podTemplate", "needs a mountPath"},
		{"image: web\npodTemplate: {spec: {containers: [{name: web, volumeMounts: [{name: v, mountPath: /v}]}]}}", "spec.podTemplate", `no volume "v"`},
		{"image: web\npodTemplate: {spec: {containers: [{name: web, env: [{name: A, valueFrom: {}}]}]}}", "spec.podTemplate", "A has 0 sources"},
		{"image: web\nsidecars: [{name: s, image: s, ports: [{containerPort: 80}, {containerPort: 80, protocol: TCP}]}]", "spec.sidecars[0].ports[1]", "80/TCP"},
		{"image: web\nsidecars: [{name: s, image: s, env: [{name: A, valueFrom: {}}]}]", "spec.sidecars[0].env[0]", "A has 0 sources"},
		{"image: web\nsidecars: [{name: s, image: s, env: [{name: A, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}]", "spec.sidecars[0].env[0]", "a value and a valueFrom"},
		{"image: web\nsidecars: [{name: s, image: s, env: [{name: A, valueFrom: {secretKeyRef: {name: s}}}]}]", "spec.sidecars[0].env[0]", "the key in it"},
		{"image: web\nsidecars: [{name: s, image: s, env: [{name: A, valueFrom: {configMapKeyRef: {key: k}}}]}]", "spec.sidecars[0].env[0]", "the name of a ConfigMap"},
		{"image: web\noverrides: [{env: [{name: A, valueFrom: {}}]}]", "spec.overrides[0].env[0]", "A has 0 sources"},
		{"image: web\noverrides: [{env: [{value: a}]}]", "spec.overrides[0].env[0]", "no name"},
		{"image: web\npodTemplate: {spec: {hostname: $(cluster.name)}}", "spec.podTemplate", "not replaced here"},
		// containers and ports
		{"image: web\nsidecars: [{name: web, image: x}]", "spec.sidecars[0].name", "another"},
		{"image: web\nsidecars: [{name: a, image: x}, {name: a, image: x}]", "spec.sidecars[1].name", "another"},
		{"image: web\nports: [{name: http, containerPort: 1}]\nsidecars: [{name: a, image: x, ports: [{name: http, containerPort: 2}]}]", "spec.sidecars[0].ports[0].name", "name of its own"},
		{"image: web\nsidecars: [{name: a, image: x, ports: [{name: p, containerPort: 2}, {name: p, containerPort: 3}]}]", "spec.sidecars[0].ports[1].name", "name of its own"},
		{"image: web\nserviceAccount: {annotations: {example.com/content-hash: x}}", "spec.serviceAccount.annotations[example.com/content-hash]", "remove it"},
		// variables
		{"image: web:$(cluster.foo)", "spec.image", "$(cluster.foo) is no variable: use $(cluster.name)"},
		{"image: web:$(cluster.labels.)", "spec.image", "$(cluster.labels.) is no variable"},
		{"image: web:$(cluster.name", "spec.image", "closing bracket"},
		{"image: web\nenv: [{name: A, value: a}, {name: B, value: $(cluster.label.x)}]", "spec.env[1].value", "$(cluster.label.x)"},
		{"image: web\nsidecars: [{name: a, image: $(cluster.Name)}]", "spec.sidecars[0].image", "$(cluster.Name)"},
		{"image: web\nsidecars: [{name: a, image: x, env: [{name: A, value: $(cluster.x)}]}]", "spec.sidecars[0].env[0].value", "$(cluster.x)"},
		{"image: web\noverrides: [{env: [{name: A, value: $(cluster.x)}]}]", "spec.overrides[0].env[0].value", "$(cluster.x)"},
		{deployment(`{op: add, path: /metadata/annotations, value: {a: [{b: $(cluster.x)}]}}`), "spec.overrides[0].patches[0].patch[0].value", "$(cluster.x)"},
		{"image: web\nargs: [a, --region=$(cluster.labels.region)]", "spec.args[1]", "environment variable"},
		{"image: web\ncommand: [$(cluster.name)]", "spec.command[0]", "environment variable"},
		{"image: web\noverrides: [{args: [$(cluster.name)]}]", "spec.overrides[0].args[0]", "environment variable"},
		// config
		{"image: web\nconfig: {a: " + strings.Repeat("x", maxConfig) + "}", "spec.config", "make them smaller"},
		// manifests
		{manifest(`{kind: ConfigMap, metadata: {name: a}}`), "spec.manifests[0].apiVersion", "kubectl api-resources"},
		{manifest(`{apiVersion: a/b/c, kind: ConfigMap, metadata: {name: a}}`), "spec.manifests[0].apiVersion", "a/b/c"},
		{manifest(`{apiVersion: v1, metadata: {name: a}}`), "spec.manifests[0].kind", "missing"},
		{manifest(`{apiVersion: v1, kind: ConfigMap}`), "spec.manifests[0].metadata", "missing"},
		{manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {}}`), "spec.manifests[0].metadata.name", "missing"},
		{manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {generateName: a}}`), "spec.manifests[0].metadata.generateName", "set name"},
		{manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: other}}`), "spec.manifests[0].metadata.namespace", "shop"},
		{manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {x: 1}}}`), "spec.manifests[0].metadata", "labels"},
		{manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: u}]}}`), "spec.manifests[0].metadata.ownerReferences", "garbage collector"},
		{manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {example.com/app: web}}}`), "spec.manifests[0].metadata.labels[example.com/app]", "remove it"},
		{manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a, annotations: {example.com/content-hash: x}}}`), "spec.manifests[0].metadata.annotations[example.com/content-hash]", "remove it"},
		{manifest(`{apiVersion: v1, kind: Secret, metadata: {name: a}}`), "spec.manifests[0].kind", "example.com/propagate"},
		{manifest(`{apiVersion: v1, kind: List, items: []}`), "spec.manifests[0].kind", "items"},
		{manifest(`{apiVersion: apps/v1, kind: DeploymentList, metadata: {name: a}, items: []}`), "spec.manifests[0].kind", "items"},
		{manifest(`"text"`), "spec.manifests[0]", "not an object"},
		{manifest(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}}`), "spec.manifests[0].metadata.name", "in the app already, from spec"},
		{manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: web}}`) + "\nconfig: {a: b}", "spec.manifests[0].metadata.name", "from spec.config"},
		{manifest(`{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: web}}`) + "\nautoscaling: {maxReplicas: 2}", "spec.manifests[0].metadata.name", "from spec.autoscaling"},
		{manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}, {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}`), "spec.manifests[1].metadata.name", "from spec.manifests[0]"},
		// overrides
		{"image: web\nautoscaling: {maxReplicas: 2}\noverrides: [{replicas: 2}]", "spec.overrides[0].replicas", "spec.autoscaling"},
		{"image: web\noverrides: [{clusterSelector: {matchExpressions: [{key: a, operator: Near}]}}]", "spec.overrides[0].clusterSelector", "Near"},
		{"image: web\noverrides: [{image: {registry: mirror}}]", "spec.overrides[0].image.registry", "a host with a dot"},
		{"image: web\noverrides: [{image: {registry: 'https://mirror.eu'}}]", "spec.overrides[0].image.registry", "a host with a dot"},
		{"image: web\noverrides: [{image: {registry: $(cluster.properties.mirror)}}]", "spec.overrides[0].image.registry", "spec.image"},
		{"image: web\noverrides: [{image: {repository: Team/web}}]", "spec.overrides[0].image.repository", "lower-case"},
		{"image: web\noverrides: [{image: {repository: mirror.eu/web}}]", "spec.overrides[0].image.repository", "without registry"},
		{"image: web\noverrides: [{image: {tag: ':1'}}]", "spec.overrides[0].image.tag", "letters"},
		{"image: web\noverrides: [{image: {digest: 'sha256:1'}}]", "spec.overrides[0].image.digest", "hexadecimal"},
		{"image: web@1\noverrides: [{image: {tag: '1'}}]", "spec.overrides[0].image", "digest"},
		// patches
		{deployment(`{op: add, path: /spec/paused}`), "spec.overrides[0].patches[0].patch[0].value", "needs a value"},
		{deployment(`{op: add, path: spec/paused, value: true}`), "spec.overrides[0].patches[0].patch[0].path", "begins with '/'"},
		{deployment(`{op: remove, path: /metadata/annotations/a~b}`), "spec.overrides[0].patches[0].patch[0].path", "~0"},
		{deployment(`{op: move, from: a~2, path: /a}`), "spec.overrides[0].patches[0].patch[0].from", "~0"},
		{deployment(`{op: add, path: /spec/paused, value: true}, {op: replace, path: /spec/pausedd, value: true}`), "spec.overrides[0].patches[0].patch[1]", "replace /spec/pausedd cannot be applied to Deployment web: the path does not exist"},
		{deployment(`{op: add, path: /spec/a/b, value: true}`), "spec.overrides[0].patches[0].patch[0]", "parent does not exist"},
		{deployment(`{op: add, path: /spec/pausedd, value: true}`), "spec.overrides[0].patches[0].patch", `unknown field "spec.pausedd"`},
		{deployment(`{op: add, path: /spec/paused, value: maybe}`), "spec.overrides[0].patches[0].patch", "paused"},
		{deployment(`{op: replace, path: /apiVersion, value: apps/v2}`), "spec.overrides[0].patches[0].patch", "apiVersion"},
		{deployment(`{op: replace, path: /kind, value: Job}`), "spec.overrides[0].patches[0].patch", "kind"},
		{deployment(`{op: replace, path: /metadata, value: {name: web}}`), "spec.overrides[0].patches[0].patch", "metadata"},
		{deployment(`{op: replace, path: /metadata/name, value: other}`), "spec.overrides[0].patches[0].patch", "metadata.name"},
		{deployment(`{op: remove, path: /metadata/namespace}`), "spec.overrides[0].patches[0].patch", "metadata.namespace"},
		{deployment(`{op: remove, path: /metadata/labels}`), "spec.overrides[0].patches[0].patch", "metadata.labels"},
		{deployment(`{op: replace, path: /metadata/labels/example.com~1hub-id, value: x}`), "spec.overrides[0].patches[0].patch", "example.com/hub-id"},
		{deployment(`{op: add, path: /metadata/annotations, value: {example.com/content-hash: x}}`), "spec.overrides[0].patches[0].patch", "example.com/content-hash"},
		{deployment(`{op: add, path: /metadata/ownerReferences, value: []}`), "spec.overrides[0].patches[0].patch", "ownerReferences"},
		{deployment(`{op: add, path: /metadata/uid, value: x}`), "spec.overrides[0].patches[0].patch", "uid"},
		{deployment(`{op: add, path: /status, value: {}}`), "spec.overrides[0].patches[0].patch", "status"},
		{deployment(`{op: add, path: /spec/selector/matchLabels/a, value: b}`), "spec.overrides[0].patches[0].patch", "spec.selector"},
		{deployment(`{op: replace, path: /spec/replicas, value: 9}`), "spec.overrides[0].patches[0].patch", "use replicas of the override"},
		{deployment(`{op: replace, path: /spec/template/metadata/labels/example.com~1app, value: x}`), "spec.overrides[0].patches[0].patch", "example.com/app"},
		{deployment(`{op: add, path: /spec/template/metadata/labels/example.com~1member, value: x}`), "spec.overrides[0].patches[0].patch", "example.com/member"},
		{deployment(`{op: replace, path: /spec/template/spec/containers/0/name, value: x}`), "spec.overrides[0].patches[0].patch", "container web is missing"},
		{deployment(`{op: replace, path: /spec/template, value: x}`), "spec.overrides[0].patches[0].patch", "not valid"},
		{deployment(`{op: copy, from: /spec/template/spec/containers/0, path: /spec/template/spec/containers/-1}`), "spec.overrides[0].patches[0].patch[0]", "cannot be applied"},
		{deployment(`{op: add, path: /spec/template/spec/containers/7, value: {}}`), "spec.overrides[0].patches[0].patch[0]", "cannot be applied"},
		{"image: web\noverrides: [{patches: [{target: {kind: Service}, patch: [{op: remove, path: /spec}]}]}]", "spec.overrides[0].patches[0].target", "no object of the app: the objects are Deployment web"},
		{"image: web\noverrides: [{patches: [{target: {kind: Deployment, group: extensions}, patch: [{op: remove, path: /spec}]}]}]", "spec.overrides[0].patches[0].target", "no object"},
		{"image: web\noverrides: [{patches: [{target: {kind: Deployment, name: other}, patch: [{op: remove, path: /spec}]}]}]", "spec.overrides[0].patches[0].target", "no object"},
		{"image: web\nenvFrom: [{secretRef: {name: s}}]\noverrides: [{patches: [{target: {kind: Secret}, patch: [{op: add, path: /data, value: {}}]}]}]", "spec.overrides[0].patches[0].target", "Secrets are copies"},
		// secrets
		{"image: web\nenvFrom: [{secretRef: {name: Not_A_Name}}]", "spec", "Not_A_Name"},
		{"image: web\nenvFrom: [{secretRef: {name: " + strings.Repeat("s", 250) + "}}]", "spec", "not a name"},
		// policies
		{"image: web\ndrift: {ignore: [{kind: Deployment, fields: [/a, spec]}]}", "spec.drift.ignore[0].fields[1]", "begins with '/'"},
		{"image: web\ndrift: {ignore: [{kind: Deployment, fields: [/spec/]}]}", "spec.drift.ignore[0].fields[0]", "empty"},
		{"image: web\ndrift: {ignore: [{kind: Deployment, fields: [/spec//a]}]}", "spec.drift.ignore[0].fields[0]", "empty"},
		{"image: web\nhealthRules: [{kind: ' ', ready: a}]", "spec.healthRules[0].kind", "name the kind"},
		{"image: web\nhealthRules: [{kind: Queue, ready: ' '}]", "spec.healthRules[0].ready", "CEL"},
		{"image: web\nhealthRules: [{kind: Queue, ready: broken}]", "spec.healthRules[0]", "does not compile"},
	} {
		errs := Validate(app(t, tt.spec), func(rule v1.HealthRule) error {
			if rule.Ready == "broken" {
				return errors.New("ready does not compile")
			}
			return nil
		})
		spec := tt.spec
		if len(spec) > 400 {
			spec = spec[:400] + "..."
		}
		if len(errs) != 1 {
			t.Errorf("%s\n  wants one error, has %v", spec, errs)
			continue
		}
		if errs[0].Field != tt.field || !strings.Contains(errs[0].Detail, tt.says) {
			t.Errorf("%s\n  wants %s: ...%s...\n  has   %s: %s", spec, tt.field, tt.says, errs[0].Field, errs[0].Detail)
		}
	}
}

// TestValidateSaysAll: a user mends an app once, not once per mistake.
func TestValidateSaysAll(t *testing.T) {
	errs := Validate(app(t, `
image: web:$(cluster.a)
env: [{name: A, value: $(cluster.b)}]
manifests: [{apiVersion: v1, kind: Secret, metadata: {name: a}}, {apiVersion: v1, kind: List}]
healthRules: [{kind: "", ready: ""}]
overrides: [{image: {tag: "!"}}, {patches: [{target: {kind: Deployment}, patch: [{op: add, path: /a}]}]}]
`), nil)
	if len(errs) != 7 {
		t.Errorf("%d errors: %v", len(errs), errs)
	}
}

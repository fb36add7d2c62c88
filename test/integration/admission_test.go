package integration

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// admitted is what the hub's API server makes of an object; it is not stored.
func admitted(t *testing.T, f *fleet.Fleet, object *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	t.Helper()
	created := object.DeepCopy()
	err := f.Cluster(fleet.HubName).Client().Create(t.Context(), created, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	return created, err
}

// object is one of ours, in YAML from its spec on, so that it may be wrong.
func object(t *testing.T, kind, namespace, name, spec string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(spec), &o.Object); err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	o.SetAPIVersion("example.com/v1")
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// refused is an object that must not be admitted, and what the message must say:
// the field, and what is wrong with it or to be done.
type refused struct {
	reason, spec string
	says         []string
}

func (r refused) check(t *testing.T, f *fleet.Fleet, o *unstructured.Unstructured) {
	t.Helper()
	_, err := admitted(t, f, o)
	if err == nil {
		t.Fatalf("%s: it is admitted: %s", r.reason, r.spec)
	}
	for _, want := range r.says {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q is not in the message: %v", r.reason, want, err)
		}
	}
}

const (
	oneHandler = "a probe has exactly one of exec, grpc, httpGet and tcpSocket"
	labelKey   = "is not a label key"
	labelValue = "not a label value"
)

// A MyApp that no member could run as it is meant is refused on the hub, by a
// message with the field and the remedy.
func TestInvalidAppsAreRefused(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	for i, r := range []refused{
		{"nothing to run", `spec: {}`, []string{"spec.image", "Required"}},
		{"empty image", `spec: {image: ""}`, []string{"spec.image", "at least 1"}},
		{"blank in the image", `spec: {image: "ngi nx"}`, []string{"spec.image", "contains no white space"}},
		{"line break in the image", `spec: {image: "nginx\n"}`, []string{"spec.image", "contains no white space"}},
		{"image too long", `spec: {image: ` + strings.Repeat("a", 513) + `}`, []string{"spec.image", "512"}},
		{"negative replicas", `spec: {image: a, replicas: -1}`, []string{"spec.replicas", "greater than or equal to 0"}},
		{"too many replicas", `spec: {image: a, replicas: 100001}`, []string{"spec.replicas", "less than or equal to 100000"}},
		{"replicas in words", `spec: {image: a, replicas: three}`, []string{"spec.replicas", "integer"}},
		{"a field that is none", `spec: {image: a, replica: 3}`, []string{`unknown field "spec.replica"`}},

		{"two ports of a name", `spec: {image: a, ports: [{name: web, containerPort: 1}, {name: web, containerPort: 2}]}`, []string{"spec.ports", "give each a name of its own"}},
		{"a port twice", `spec: {image: a, ports: [{containerPort: 1}, {containerPort: 1, protocol: TCP}]}`, []string{"spec.ports", "remove one"}},
		{"port 0", `spec: {image: a, ports: [{containerPort: 0}]}`, []string{"spec.ports[0].containerPort", "greater than or equal to 1"}},
		{"port 65536", `spec: {image: a, ports: [{containerPort: 65536}]}`, []string{"spec.ports[0].containerPort", "65535"}},
		{"a protocol that is none", `spec: {image: a, ports: [{containerPort: 1, protocol: HTTP}]}`, []string{"spec.ports[0].protocol", `"TCP"`}},
		{"a port name in capitals", `spec: {image: a, ports: [{name: HTTP, containerPort: 1}]}`, []string{"spec.ports[0].name", "for example http"}},
		{"a port name without a letter", `spec: {image: a, ports: [{name: "80", containerPort: 80}]}`, []string{"spec.ports[0].name", "at least one letter"}},

		{"a value and a source", `spec: {image: a, env: [{name: A, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}`, []string{"spec.env", "not both: remove one"}},
		{"a file that begins with two dots", `spec: {image: a, config: {..x: b}}`, []string{"spec.config", "do not begin with"}},
		{"two sources", `spec: {image: a, env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}, secretKeyRef: {name: s, key: k}}}]}`, []string{"spec.env", "exactly one of configMapKeyRef"}},
		{"no source", `spec: {image: a, env: [{name: A, valueFrom: {}}]}`, []string{"spec.env", "exactly one of configMapKeyRef"}},
		{"a variable twice", `spec: {image: a, env: [{name: A, value: b}, {name: A, value: c}]}`, []string{"spec.env[1]", "Duplicate"}},
		{"a variable without a name", `spec: {image: a, env: [{value: b}]}`, []string{"spec.env[0].name", "Required"}},
		{"an empty name", `spec: {image: a, env: [{name: "", value: b}]}`, []string{"spec.env", "give it one"}},
		{"a source without a name", `spec: {image: a, env: [{name: A, valueFrom: {secretKeyRef: {key: k}}}]}`, []string{"spec.env", "name the object on the member"}},
		{"a source with an empty key", `spec: {image: a, env: [{name: A, valueFrom: {configMapKeyRef: {name: c, key: ""}}}]}`, []string{"spec.env", "the key in it"}},
		{"envFrom of two", `spec: {image: a, envFrom: [{configMapRef: {name: c}, secretRef: {name: s}}]}`, []string{"spec.envFrom", "exactly one of configMapRef and secretRef"}},
		{"envFrom of nothing", `spec: {image: a, envFrom: [{prefix: P_}]}`, []string{"spec.envFrom", "exactly one of configMapRef and secretRef"}},
		{"envFrom without a name", `spec: {image: a, envFrom: [{configMapRef: {}}]}`, []string{"spec.envFrom", "need a name"}},

		{"more cpu than allowed", `spec: {image: a, resources: {requests: {cpu: 2}, limits: {cpu: 1500m}}}`, []string{"spec.resources", "lower resources.requests or raise resources.limits"}},
		{"more memory than allowed", `spec: {image: a, resources: {requests: {memory: 1Gi}, limits: {memory: 1G}}}`, []string{"spec.resources", "lower resources.requests or raise resources.limits"}},
		{"a negative amount", `spec: {image: a, resources: {requests: {cpu: "-1"}}}`, []string{"spec.resources", "a request is negative: use an amount like"}},
		{"a negative limit", `spec: {image: a, resources: {limits: {memory: -1Gi}}}`, []string{"spec.resources", "a limit is negative: use an amount like"}},
		{"not an amount", `spec: {image: a, resources: {limits: {memory: lots}}}`, []string{"spec.resources.limits.memory", "should match"}},
		{"claims", `spec: {image: a, resources: {claims: [{name: gpu}]}}`, []string{"spec.resources", "remove resources.claims"}},

		{"two handlers", `spec: {image: a, probes: {liveness: {exec: {command: [a]}, tcpSocket: {port: 1}}}}`, []string{"spec.probes.liveness", oneHandler}},
		{"two handlers", `spec: {image: a, probes: {startup: {grpc: {port: 1}, tcpSocket: {port: 1}}}}`, []string{"spec.probes.startup", oneHandler}},
		{"no handler", `spec: {image: a, probes: {readiness: {periodSeconds: 5}}}`, []string{"spec.probes.readiness", oneHandler}},
		{"an empty command", `spec: {image: a, probes: {readiness: {exec: {command: []}}}}`, []string{"spec.probes.readiness", "name the command"}},
		{"a probe of port 0", `spec: {image: a, probes: {readiness: {tcpSocket: {port: 0}}}}`, []string{"spec.probes.readiness", "from 1 to 65535"}},
		{"a gRPC probe of port 70000", `spec: {image: a, probes: {startup: {grpc: {port: 70000}}}}`, []string{"spec.probes.startup", "from 1 to 65535"}},
		{"a probe of a missing port", `spec: {image: a, ports: [{name: http, containerPort: 1}], probes: {liveness: {httpGet: {port: web}}}}`, []string{"spec.probes", "add it to spec.ports or use a number"}},
		{"a scheme that is none", `spec: {image: a, probes: {liveness: {httpGet: {port: 1, scheme: ftp}}}}`, []string{"spec.probes.liveness", "HTTP or HTTPS"}},
		{"a negative time", `spec: {image: a, probes: {liveness: {periodSeconds: -5, tcpSocket: {port: 1}}}}`, []string{"spec.probes.liveness", "remove the field"}},
		{"alive only at the second time", `spec: {image: a, probes: {liveness: {successThreshold: 2, tcpSocket: {port: 1}}}}`, []string{"spec.probes.liveness", "successThreshold is 1"}},
		{"a readiness probe that kills", `spec: {image: a, probes: {readiness: {terminationGracePeriodSeconds: 5, tcpSocket: {port: 1}}}}`, []string{"spec.probes.readiness", "remove terminationGracePeriodSeconds"}},

		{"a service without ports", `spec: {image: a, service: {ports: []}}`, []string{"spec.service.ports", "at least 1"}},
		{"a target that is missing", `spec: {image: a, ports: [{name: http, containerPort: 1}], service: {ports: [{port: 80, targetPort: web}]}}`, []string{"targetPort", "add it to spec.ports or use a number"}},
		{"a target without any ports", `spec: {image: a, service: {ports: [{port: 80, targetPort: web}]}}`, []string{"targetPort", "add it to spec.ports or use a number"}},
		{"a target out of range", `spec: {image: a, service: {ports: [{port: 80, targetPort: 70000}]}}`, []string{"spec.service.ports[0].targetPort", "from 1 to 65535"}},
		{"a service port twice", `spec: {image: a, service: {ports: [{name: x, port: 80}, {name: z, port: 80}]}}`, []string{"spec.service.ports", "remove one"}},
		{"several ports without names", `spec: {image: a, service: {ports: [{port: 80}, {port: 81}]}}`, []string{"spec.service", "add ports[].name"}},
		{"an ExternalName", `spec: {image: a, service: {type: ExternalName, ports: [{port: 80}]}}`, []string{"spec.service.type", `"ClusterIP"`}},

		{"an operator that is none", `spec: {image: a, placement: {clusterSelector: {matchExpressions: [{key: k, operator: Near, values: [x]}]}}}`, []string{"matchExpressions[0].operator", `"NotIn"`}},
		{"In without values", `spec: {image: a, placement: {clusterSelector: {matchExpressions: [{key: k, operator: In}]}}}`, []string{"matchExpressions[0]", "In and NotIn need values"}},
		{"Exists with values", `spec: {image: a, placement: {clusterSelector: {matchExpressions: [{key: k, operator: Exists, values: [v]}]}}}`, []string{"matchExpressions[0]", "must have none"}},
		{"a key that is none", `spec: {image: a, placement: {clusterSelector: {matchExpressions: [{key: "a b", operator: Exists}]}}}`, []string{"matchExpressions[0].key", labelKey}},
		{"a value that is none", `spec: {image: a, placement: {clusterSelector: {matchExpressions: [{key: k, operator: In, values: ["a b"]}]}}}`, []string{"matchExpressions[0].values", labelValue}},
		{"matchLabels with a key that is none", `spec: {image: a, placement: {clusterSelector: {matchLabels: {"a b": c}}}}`, []string{"clusterSelector.matchLabels", labelKey}},
		{"matchLabels with a value that is none", `spec: {image: a, placement: {clusterSelector: {matchLabels: {a: "b c"}}}}`, []string{"clusterSelector.matchLabels", labelValue}},
		{"a value that is too long", `spec: {image: a, placement: {clusterSelector: {matchLabels: {a: ` + strings.Repeat("b", 64) + `}}}}`, []string{"clusterSelector.matchLabels.a", "63"}},

		{"a policy that is none", `spec: {image: a, deletionPolicy: Retain}`, []string{"spec.deletionPolicy", `"Orphan"`}},
		{"a truth that is a word", `spec: {image: a, paused: "yes"}`, []string{"spec.paused", "boolean"}},
		{"negative history", `spec: {image: a, revisionHistoryLimit: -1}`, []string{"spec.revisionHistoryLimit", "greater than or equal to 0"}},
		{"too much history", `spec: {image: a, revisionHistoryLimit: 101}`, []string{"spec.revisionHistoryLimit", "less than or equal to 100"}},
	} {
		t.Run(fmt.Sprintf("%d %s", i, r.reason), func(t *testing.T) { r.check(t, f, object(t, "MyApp", ns, "web", r.spec)) })
	}
	for _, name := range []string{strings.Repeat("a", 64), "web.shop", "1web"} {
		r := refused{"a name that no Service can have", `spec: {image: a}`, []string{"metadata.name", "use at most 63"}}
		t.Run(name, func(t *testing.T) { r.check(t, f, object(t, "MyApp", ns, name, r.spec)) })
	}
}

// The same for members and for Works, which people do not write, but may.
// What the schema cannot see is refused by the webhook.
func TestInvalidAppsAreRefusedByTheWebhook(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	for i, r := range []refused{
		{"a field that a pod template does not have", `spec: {image: a, podTemplate: {spec: {priorityClas: high}}}`, []string{"spec.podTemplate", "priorityClas"}},
		{"a value of the wrong type", `spec: {image: a, podTemplate: {spec: {terminationGracePeriodSeconds: soon}}}`, []string{"spec.podTemplate", "terminationGracePeriodSeconds"}},
		{"a volume of the name that config has", `spec: {image: a, config: {a: b}, podTemplate: {spec: {volumes: [{name: config, emptyDir: {}}]}}}`, []string{"config"}},
		{"a sidecar with the app's name", `spec: {image: a, sidecars: [{name: NAME, image: b}]}`, []string{"spec.sidecars[0].name"}},
		{"a Secret among the manifests", `spec: {image: a, manifests: [{apiVersion: v1, kind: Secret, metadata: {name: x}}]}`, []string{"spec.manifests[0]", "Secret"}},
		{"a manifest in another namespace", `spec: {image: a, manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: kube-system}}]}`, []string{"spec.manifests[0]", "namespace"}},
		{"a manifest without a name", `spec: {image: a, manifests: [{apiVersion: v1, kind: ConfigMap, metadata: {}}]}`, []string{"spec.manifests[0]", "name"}},
		{"a misspelt variable", `spec: {image: "a:$(cluster.nam)"}`, []string{"spec.image", "$(cluster.nam)"}},
		{"a patch without a value", `spec: {image: a, overrides: [{patches: [{target: {kind: Deployment}, patch: [{op: add, path: /spec/paused}]}]}]}`, []string{"spec.overrides[0].patches[0]", "value"}},
		{"a patch that names nothing", `spec: {image: a, overrides: [{patches: [{target: {kind: Ingress}, patch: [{op: remove, path: /spec}]}]}]}`, []string{"spec.overrides[0].patches[0].target", "names no object"}},
		{"replicas and an autoscaler", `spec: {image: a, autoscaling: {maxReplicas: 3, targetCPUUtilization: 70}, overrides: [{replicas: 2}]}`, []string{"spec.overrides[0].replicas"}},
		{"a rule that is no CEL", `spec: {image: a, healthRules: [{group: g.io, kind: K, ready: "object.status.phase = 'x'"}]}`, []string{"spec.healthRules[0]", "ready"}},
	} {
		t.Run(r.reason, func(t *testing.T) {
			name := fmt.Sprintf("bad-%d", i)
			r.spec = strings.ReplaceAll(r.spec, "NAME", name)
			r.check(t, f, object(t, "MyApp", ns, name, r.spec))
		})
	}
}

func TestInvalidMembersAndWorksAreRefused(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	const work = `hubID: h, deletionPolicy: Delete, app: {namespace: a, name: b, uid: c, generation: 1}`
	for i, c := range []struct {
		kind, name string
		refused
	}{
		{"MemberCluster", "x", refused{"no mode", `spec: {}`, []string{"spec.mode", "Required"}}},
		{"MemberCluster", "x", refused{"a mode that is none", `spec: {mode: Both}`, []string{"spec.mode", `"Pull"`}}},
		{"MemberCluster", "x", refused{"Push without a kubeconfig", `spec: {mode: Push}`, []string{"spec", "a Push member needs kubeconfigSecretRef"}}},
		{"MemberCluster", "x", refused{"Pull with one", `spec: {mode: Pull, kubeconfigSecretRef: {name: s}}`, []string{"spec", "a Pull member must not have one"}}},
		{"MemberCluster", "x", refused{"a reference to nothing", `spec: {mode: Push, kubeconfigSecretRef: {name: ""}}`, []string{"spec.kubeconfigSecretRef.name", "at least 1"}}},
		{"MemberCluster", "x", refused{"a reference to no Secret", `spec: {mode: Push, kubeconfigSecretRef: {name: "my Secret"}}`, []string{"spec.kubeconfigSecretRef.name", "not the name of a Secret"}}},
		{"MemberCluster", "x", refused{"a key that is none", `spec: {mode: Push, kubeconfigSecretRef: {name: s, key: "a/b"}}`, []string{"spec.kubeconfigSecretRef.key", "not a key of a Secret"}}},
		{"MemberCluster", "x", refused{"another's namespace", `spec: {mode: Push, kubeconfigSecretRef: {name: s, namespace: kube-system}}`, []string{`unknown field "spec.kubeconfigSecretRef.namespace"`}}},
		{"MemberCluster", strings.Repeat("a", 57), refused{"no room for the prefix of its namespace", `spec: {mode: Pull}`, []string{"metadata.name", "use at most 56"}}},
		{"MemberCluster", "eu.1", refused{"no namespace has a dot", `spec: {mode: Pull}`, []string{"metadata.name", "use at most 56"}}},

		{"Work", "x", refused{"no order", `spec: {` + work + `}`, []string{"spec.state", "Required"}}},
		{"Work", "x", refused{"an order that is none", `spec: {state: Gone, ` + work + `}`, []string{"spec.state", `"Removed"`}}},
		{"Work", "x", refused{"from no hub", `spec: {state: Removed, deletionPolicy: Delete, hubID: "", app: {namespace: a, name: b, uid: c, generation: 1}}`, []string{"spec.hubID", "at least 1"}}},
		{"Work", "x", refused{"of no app", `spec: {state: Removed, deletionPolicy: Delete, hubID: h, app: {namespace: a, name: b, generation: 1}}`, []string{"spec.app.uid", "Required"}}},
		{"Work", "x", refused{"an empty list is no order to remove", `spec: {state: Present, contentHash: x, manifests: [], ` + work + `}`, []string{"spec", "to take the app off the cluster use state Removed"}}},
	} {
		namespaced := ns
		if c.kind == "MemberCluster" {
			namespaced = ""
		}
		t.Run(fmt.Sprintf("%d %s", i, c.reason), func(t *testing.T) { c.check(t, f, object(t, c.kind, namespaced, c.name, c.spec)) })
	}
}

// A member's mode decides who writes to it; it is for life.
func TestModeCannotBeChanged(t *testing.T) {
	f := sharedFleet(t)
	for member, patch := range map[string]string{
		"push-1": `{"spec": {"mode": "Pull", "kubeconfigSecretRef": null}}`,
		"pull-1": `{"spec": {"mode": "Push", "kubeconfigSecretRef": {"name": "push-1-kubeconfig"}}}`,
	} {
		o := object(t, "MemberCluster", "", member, "{}")
		err := f.Cluster(fleet.HubName).Client().Patch(t.Context(), o, client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "spec.mode") || !strings.Contains(err.Error(), "create it again with the other mode") {
			t.Errorf("%s: %v", member, err)
		}
	}
}

// What is valid is admitted, and the defaults are there to be seen.
func TestValidIsAdmittedWithDefaults(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	for _, c := range []struct {
		reason, kind, name, spec string
		want                     map[string]string // path: value
	}{
		{"the plain form", "MyApp", "plain", `spec: {replicas: 3, image: nginx}`, map[string]string{
			"spec.replicas": "3", "spec.deletionPolicy": "Delete", "spec.revisionHistoryLimit": "10"}},
		{"the least", "MyApp", "least", `spec: {image: nginx}`, map[string]string{"spec.replicas": "1"}},
		{"no pods", "MyApp", "none", `spec: {image: nginx, replicas: 0}`, map[string]string{"spec.replicas": "0"}},
		{"the longest name", "MyApp", strings.Repeat("a", 63), `spec: {image: "registry.example.com:5000/a/b@sha256:0123456789abcdef"}`, nil},
		{"ports and a service", "MyApp", "web", `spec: {image: a, ports: [{name: dns, containerPort: 53}, {containerPort: 53, protocol: UDP}],
			service: {ports: [{name: a, port: 53, targetPort: dns}, {name: b, port: 53, protocol: UDP, targetPort: 53}]}}`, map[string]string{
			"spec.ports.0.protocol": "TCP", "spec.ports.1.protocol": "UDP", "spec.service.type": "ClusterIP", "spec.service.ports.0.protocol": "TCP"}},
		{"variables of every source", "MyApp", "env", `spec: {image: a, env: [{name: EMPTY}, {name: A, value: b},
			{name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: C, valueFrom: {resourceFieldRef: {resource: limits.cpu}}},
			{name: D, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}, {name: E, valueFrom: {configMapKeyRef: {name: c, key: k}}}],
			envFrom: [{prefix: P_, configMapRef: {name: c}}, {secretRef: {name: s}}]}`, nil},
		{"resources", "MyApp", "resources", `spec: {image: a, resources: {requests: {cpu: 1, memory: 1000Mi, "example.com/gpu": 1}, limits: {cpu: 1000m, memory: 1Gi, "example.com/gpu": 1}}}`, nil},
		{"probes", "MyApp", "probes", `spec: {image: a, ports: [{name: http, containerPort: 80}], probes: {
			liveness: {httpGet: {path: /, port: http, scheme: HTTPS}, terminationGracePeriodSeconds: 5, periodSeconds: 3},
			readiness: {tcpSocket: {port: 80}, successThreshold: 2, initialDelaySeconds: 0}, startup: {exec: {command: [a]}, failureThreshold: 30}}}`, nil},
		{"a probe by gRPC", "MyApp", "grpc", `spec: {image: a, probes: {readiness: {grpc: {port: 9000}}}}`, nil},
		{"selectors", "MyApp", "selected", `spec: {image: a, placement: {clusterSelector: {matchLabels: {env: prod, "example.com/empty": ""},
			matchExpressions: [{key: region, operator: In, values: [eu, us]}, {key: old, operator: DoesNotExist}]}}}`, nil},
		{"every policy", "MyApp", "policies", `spec: {image: a, deletionPolicy: Orphan, paused: true, revisionHistoryLimit: 0, command: [/bin/a], args: ["$(A)"]}`, nil},
		{"a Push member", "MemberCluster", "x", `spec: {mode: Push, kubeconfigSecretRef: {name: x.kubeconfig}}`, map[string]string{"spec.kubeconfigSecretRef.key": "kubeconfig"}},
		{"a Pull member of the longest name", "MemberCluster", strings.Repeat("1", 56), `spec: {mode: Pull}`, nil},
		{"an order to remove", "Work", "x", `spec: {state: Removed, hubID: h, deletionPolicy: Delete, app: {namespace: a, name: b, uid: c, generation: 1}}`, nil},
	} {
		t.Run(c.reason, func(t *testing.T) {
			namespaced := ns
			if c.kind == "MemberCluster" {
				namespaced = ""
			}
			got, err := admitted(t, f, object(t, c.kind, namespaced, c.name, c.spec))
			if err != nil {
				t.Fatal(err)
			}
			for path, want := range c.want {
				if v := fmt.Sprint(at(got.Object, strings.Split(path, ".")...)); v != want {
					t.Errorf("%s is %s, want %s", path, v, want)
				}
			}
		})
	}
}

// at is the value at a path of field names and indexes, nil if there is none.
func at(v any, path ...string) any {
	for _, step := range path {
		switch in := v.(type) {
		case map[string]any:
			v = in[step]
		case []any:
			i := int(step[0] - '0')
			if i >= len(in) {
				return nil
			}
			v = in[i]
		default:
			return nil
		}
	}
	return v
}

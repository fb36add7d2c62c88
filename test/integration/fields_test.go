package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/fields"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	fieldsNamespace = "field-ownership"
	kubectlEdit     = "kubectl-edit"
)

// appliedObjects are what a person may write, in the ways that an API server
// stores differently: defaults left out, values that are zero, empty maps,
// quantities, every treatment of lists.
var appliedObjects = map[string]string{
	"Deployment": `
apiVersion: apps/v1
kind: Deployment
metadata:
  labels: {team: shop, "example.com/shop": x}
  annotations: {}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: web}, annotations: {a: "1"}}
    spec:
      hostNetwork: false
      automountServiceAccountToken: false
      securityContext: {}
      nodeSelector: {disk: ssd}
      tolerations: [{key: gpu, operator: Exists}]
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}
      initContainers: [{name: init, image: "init:1", resources: {}}]
      containers:
      - name: web
        image: web:1
        command: []
        args: [-v, "2"]
        env:
        - {name: A, value: "1"}
        - {name: EMPTY, value: ""}
        - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        envFrom: [{configMapRef: {name: web}}]
        ports: [{containerPort: 53}, {containerPort: 53, protocol: UDP}, {name: http, containerPort: 8080}]
        resources: {limits: {cpu: 1000m, memory: 1024Mi}, requests: {cpu: 0.5}}
        readinessProbe: {httpGet: {path: /, port: http}}
        livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 10}
        securityContext: {capabilities: {drop: [ALL]}, readOnlyRootFilesystem: false}
        volumeMounts: [{name: tmp, mountPath: /tmp}, {name: conf, mountPath: /conf, readOnly: true}]
      volumes:
      - {name: tmp, emptyDir: {}}
      - {name: conf, projected: {sources: [{configMap: {name: web, items: [{key: a, path: a}]}}]}}
status: {replicas: 7}`,
	"Service": `
apiVersion: v1
kind: Service
spec:
  selector: {app: web}
  ports: [{port: 53, name: tcp, targetPort: dns}, {port: 53, name: udp, protocol: UDP, targetPort: 53}]`,
	"ConfigMap": `
apiVersion: v1
kind: ConfigMap
data: {a: "1", "b.yaml": "x: y\n"}
binaryData: {c: AAE=}`,
	"Secret": `
apiVersion: v1
kind: Secret
type: Opaque
data: {password: aHVudGVyMg==}
stringData: {user: admin}`,
	"HorizontalPodAutoscaler": `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]`,
	"PodDisruptionBudget": `
apiVersion: policy/v1
kind: PodDisruptionBudget
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}`,
	"ServiceAccount": `
apiVersion: v1
kind: ServiceAccount
automountServiceAccountToken: false
imagePullSecrets: [{name: pull}]`,
	"Zoo": `
apiVersion: fields.example.com/v1
kind: Zoo
spec:
  animals: [{name: cat, legs: 4}, {name: dog, legs: 4}]
  gates: [{port: 80, open: true}, {port: 80, protocol: UDP}]
  tags: [a, b]
  numbers: [1, 20]
  visitors: [{name: ann, age: 1}, {name: ben, age: 2}]
  opening: {monday: "9", sunday: ""}
  free: {deep: {deeper: 1}, empty: {}}`,
}

const zooCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: zoos.fields.example.com}
spec:
  group: fields.example.com
  scope: Namespaced
  names: {kind: Zoo, listKind: ZooList, plural: zoos, singular: zoo}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              animals:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, legs: {type: integer}}}
              gates:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [port, protocol]
                items:
                  type: object
                  required: [port]
                  properties: {port: {type: integer}, protocol: {type: string, default: TCP}, open: {type: boolean}}
              tags: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              numbers: {type: array, x-kubernetes-list-type: set, items: {type: integer}}
              visitors: {type: array, items: {type: object, properties: {name: {type: string}, age: {type: integer}}}}
              opening: {type: object, additionalProperties: {type: string}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}`

// fieldsTest is one object on the API server and the manifest it was applied from.
type fieldsTest struct {
	t        *testing.T
	c        client.Client
	manifest []byte
	gvk      schema.GroupVersionKind
	key      types.NamespacedName
}

func newFieldsTest(t *testing.T, c client.Client, kind, name string) *fieldsTest {
	t.Helper()
	u := fieldsObject(t, appliedObjects[kind])
	u.SetNamespace(fieldsNamespace)
	u.SetName(name)
	raw, err := u.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	f := &fieldsTest{t: t, c: c, manifest: raw, gvk: u.GroupVersionKind(), key: client.ObjectKeyFromObject(u)}
	f.apply(raw)
	return f
}

func fieldsObject(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func (f *fieldsTest) empty() *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(f.gvk)
	u.SetNamespace(f.key.Namespace)
	u.SetName(f.key.Name)
	return u
}

func (f *fieldsTest) apply(manifest []byte) {
	f.t.Helper()
	err := f.c.Patch(f.t.Context(), f.empty(), client.RawPatch(types.ApplyPatchType, manifest), client.ForceOwnership, client.FieldOwner(v1.FieldManager))
	if err != nil {
		f.t.Fatalf("applying: %v", err)
	}
}

func (f *fieldsTest) live() *unstructured.Unstructured {
	f.t.Helper()
	u := f.empty()
	if err := f.c.Get(f.t.Context(), f.key, u); err != nil {
		f.t.Fatal(err)
	}
	return u
}

func (f *fieldsTest) lost(manifest []byte) []fields.Path {
	f.t.Helper()
	paths, err := fields.Lost(manifest, fields.Ours(f.live().GetManagedFields(), v1.FieldManager))
	if err != nil {
		f.t.Fatal(err)
	}
	return paths
}

// foreign is a change by somebody else. A patch of a built-in kind is merged by
// its schema, as kubectl edit does it.
func (f *fieldsTest) foreign(patch, subresource string) {
	f.t.Helper()
	patchType := types.StrategicMergePatchType
	if f.gvk.Kind == "Zoo" || subresource != "" {
		patchType = types.MergePatchType
	}
	if strings.HasPrefix(patch, "[") {
		patchType = types.JSONPatchType
	}
	p := client.RawPatch(patchType, []byte(patch))
	var err error
	if subresource != "" {
		err = f.c.SubResource(subresource).Patch(f.t.Context(), f.empty(), p, client.FieldOwner(kubectlEdit))
	} else {
		err = f.c.Patch(f.t.Context(), f.empty(), p, client.FieldOwner(kubectlEdit))
	}
	if err != nil {
		f.t.Fatalf("%s: %v", patch, err)
	}
}

// What the API server records about a change is what Lost reads: exactly the
// changed fields of ours, with who has them now.
func TestFieldOwnership(t *testing.T) {
	cluster := sharedFleet(t).Cluster(bare)
	if err := cluster.Apply(t.Context(), fieldsObject(t, zooCRD), fieldsObject(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+fieldsNamespace+"}}")); err != nil {
		t.Fatal(err)
	}
	fleet.Eventually(t, soon, "zoos to be served", func(context.Context) error {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: "fields.example.com", Version: "v1", Kind: "ZooList"})
		return cluster.Client().List(t.Context(), list)
	})
	const container = `{"spec":{"template":{"spec":{"containers":[{"name":"web",%s}]}}}}`
	const web = "/spec/template/spec/containers/web"
	type found = map[string]string
	for i, tt := range []struct {
		reason, kind, patch, subresource string
		// lost are the lost paths with what is found there.
		lost found
		// removed is true if nobody has the fields now.
		removed bool
	}{
		{reason: "applied", kind: "Deployment"},
		{reason: "applied", kind: "Service"},
		{reason: "applied", kind: "ConfigMap"},
		{reason: "applied", kind: "Secret"},
		{reason: "applied", kind: "HorizontalPodAutoscaler"},
		{reason: "applied", kind: "PodDisruptionBudget"},
		{reason: "applied", kind: "ServiceAccount"},
		{reason: "applied", kind: "Zoo"},

		{reason: "an annotation of theirs", kind: "Deployment", patch: `{"metadata":{"annotations":{"theirs":"x"}}}`},
		{reason: "an environment variable of theirs", kind: "Deployment", patch: fmt.Sprintf(container, `"env":[{"name":"THEIRS","value":"x"}]`)},
		{reason: "a container of theirs", kind: "Deployment", patch: `{"spec":{"template":{"spec":{"containers":[{"name":"aaa","image":"x"}]}}}}`},
		{reason: "the value that it has", kind: "Deployment", patch: fmt.Sprintf(container, `"image":"web:1"`)},
		{reason: "the same quantity", kind: "Deployment", patch: fmt.Sprintf(container, `"resources":{"limits":{"cpu":"1"}}`)},
		{reason: "an element of theirs in a set", kind: "Zoo", patch: `{"spec":{"tags":["0","a","b"]}}`},
		{reason: "another order", kind: "Zoo", patch: `{"spec":{"animals":[{"name":"dog","legs":4},{"name":"cat","legs":4}]}}`},

		// What the tree does not show: the limits that the package documents.
		{reason: "limit: an empty map was replaced", kind: "Deployment", patch: `[{"op":"replace","path":"/spec/template/spec/volumes/0","value":{"name":"tmp","hostPath":{"path":"/tmp"}}}]`},
		{reason: "limit: a write-only field", kind: "Secret", patch: `{"data":{"user":"eA=="}}`},
		{reason: "limit: all of a map without a schema", kind: "Zoo", patch: `{"spec":{"free":{"deep":{"deeper":2}}}}`},

		{reason: "image", kind: "Deployment", patch: fmt.Sprintf(container, `"image":"web:2"`), lost: found{web + "/image": `"web:2"`}},
		{reason: "variable", kind: "Deployment", patch: fmt.Sprintf(container, `"env":[{"name":"A","value":"9"}]`), lost: found{web + "/env/A/value": `"9"`}},
		{reason: "empty variable", kind: "Deployment", patch: fmt.Sprintf(container, `"env":[{"name":"EMPTY","value":"9"}]`), lost: found{web + "/env/EMPTY/value": `"9"`}},
		{reason: "variable removed", kind: "Deployment", patch: fmt.Sprintf(container, `"env":[{"name":"A","$patch":"delete"}]`), lost: found{web + "/env/A/name": "(none)", web + "/env/A/value": "(none)"}, removed: true},
		{reason: "label", kind: "Deployment", patch: `{"metadata":{"labels":{"example.com/shop":"y"}}}`, lost: found{"/metadata/labels/example.com~1shop": `"y"`}},
		{reason: "label removed", kind: "Deployment", patch: `{"metadata":{"labels":{"team":null}}}`, lost: found{"/metadata/labels/team": "(none)"}, removed: true},
		{reason: "replicas", kind: "Deployment", patch: `{"spec":{"replicas":5}}`, subresource: "scale", lost: found{"/spec/replicas": "5"}},
		{reason: "a zero value", kind: "Deployment", patch: `{"spec":{"template":{"spec":{"hostNetwork":true}}}}`, lost: found{"/spec/template/spec/hostNetwork": "true"}},
		{reason: "atomic list", kind: "Deployment", patch: fmt.Sprintf(container, `"args":["-v","3"]`), lost: found{web + "/args": `["-v","3"]`}},
		{reason: "atomic list of maps", kind: "Deployment", patch: `{"spec":{"template":{"spec":{"tolerations":[{"key":"gpu","operator":"Equal"}]}}}}`, lost: found{"/spec/template/spec/tolerations": `[{"key":"gpu","operator":"Equal"}]`}},
		{reason: "atomic map", kind: "Deployment", patch: `{"spec":{"template":{"spec":{"nodeSelector":{"cpu":"fast"}}}}}`, lost: found{"/spec/template/spec/nodeSelector/disk": `"ssd"`}},
		{reason: "limit", kind: "Deployment", patch: fmt.Sprintf(container, `"resources":{"limits":{"cpu":"2"}}`), lost: found{web + "/resources/limits/cpu": `"2"`}},
		{reason: "port removed", kind: "Deployment", patch: `[{"op":"remove","path":"/spec/template/spec/containers/0/ports/0"}]`, lost: found{web + "/ports/0/containerPort": "(none)"}, removed: true},
		{reason: "volume removed", kind: "Deployment", patch: `[{"op":"remove","path":"/spec/template/spec/volumes/0"},{"op":"remove","path":"/spec/template/spec/containers/0/volumeMounts/0"}]`, lost: found{
			"/spec/template/spec/volumes/tmp/emptyDir": "(none)", "/spec/template/spec/volumes/tmp/name": "(none)",
			web + "/volumeMounts/tmp/mountPath": "(none)", web + "/volumeMounts/tmp/name": "(none)",
		}, removed: true},
		{reason: "target port", kind: "Service", patch: `[{"op":"replace","path":"/spec/ports/0/targetPort","value":54}]`, lost: found{"/spec/ports/tcp/targetPort": "54"}},
		{reason: "key", kind: "ConfigMap", patch: `{"data":{"b.yaml":"z"}}`, lost: found{"/data/b.yaml": `"z"`}},
		{reason: "all keys removed", kind: "ConfigMap", patch: `{"data":null}`, lost: found{"/data/a": "(none)", "/data/b.yaml": "(none)"}, removed: true},
		{reason: "secret", kind: "Secret", patch: `{"data":{"password":"eA=="}}`, lost: found{"/data/password": "(hidden)"}},
		{reason: "metrics", kind: "HorizontalPodAutoscaler", patch: `[{"op":"replace","path":"/spec/metrics/0/resource/target/averageUtilization","value":90}]`, lost: found{
			"/spec/metrics": `[{"resource":{"name":"cpu","target":{"averageUtilization":90,"type":"Utilization"}},"type":"Resourc…`}},
		{reason: "int or string", kind: "PodDisruptionBudget", patch: `{"spec":{"minAvailable":"50%"}}`, lost: found{"/spec/minAvailable": `"50%"`}},
		{reason: "set element removed", kind: "Zoo", patch: `{"spec":{"tags":["b","c"]}}`, lost: found{"/spec/tags/0": "(none)"}, removed: true},
		{reason: "set replaced", kind: "Zoo", patch: `{"spec":{"numbers":[2]}}`, lost: found{"/spec/numbers": "[2]"}},
		{reason: "element of a list map", kind: "Zoo", patch: `{"spec":{"animals":[{"name":"ant","legs":6},{"name":"cat","legs":3},{"name":"dog","legs":4}]}}`, lost: found{"/spec/animals/cat/legs": "3"}},
		{reason: "element with a defaulted key", kind: "Zoo", patch: `{"spec":{"gates":[{"port":80,"protocol":"TCP","open":false},{"port":80,"protocol":"UDP"}]}}`, lost: found{"/spec/gates/0/open": "false"}},
		{reason: "atomic list with names", kind: "Zoo", patch: `{"spec":{"visitors":[{"name":"ann","age":1},{"name":"ben","age":3}]}}`, lost: found{
			"/spec/visitors/ann/age": "1", "/spec/visitors/ann/name": `"ann"`, "/spec/visitors/ben/age": "3", "/spec/visitors/ben/name": `"ben"`}},
		{reason: "value of a map", kind: "Zoo", patch: `{"spec":{"opening":{"sunday":"10"}}}`, lost: found{"/spec/opening/sunday": `"10"`}},
	} {
		t.Run(tt.kind+" "+tt.reason, func(t *testing.T) {
			f := newFieldsTest(t, cluster.Client(), tt.kind, fmt.Sprintf("row-%d", i))
			if paths := f.lost(f.manifest); len(paths) > 0 {
				t.Errorf("just applied, %v is lost of %s", paths, fields.Ours(f.live().GetManagedFields(), v1.FieldManager))
			}
			if tt.patch == "" {
				return
			}
			f.foreign(tt.patch, tt.subresource)
			f.check(tt.lost, tt.removed)
			if len(tt.lost) > 0 {
				f.giveUpAndTakeBack()
			}
		})
	}
}

func (f *fieldsTest) check(lost map[string]string, removed bool) {
	f.t.Helper()
	live, paths := f.live(), f.lost(f.manifest)
	got := map[string]string{}
	for _, d := range fields.Differences(f.manifest, live.Object, paths) {
		got[d.Path.String()] = d.Found
		var want []string
		if !removed {
			want = []string{kubectlEdit}
		}
		if diff := cmp.Diff(want, fields.Owners(live.GetManagedFields(), v1.FieldManager, d.Path)); diff != "" {
			f.t.Errorf("owners of %s (-want +got):\n%s", d.Path, diff)
		}
	}
	if lost == nil {
		lost = map[string]string{}
	}
	if diff := cmp.Diff(lost, got); diff != "" {
		f.t.Errorf("lost and found (-want +got):\n%s\n%s", diff, fields.Ours(live.GetManagedFields(), v1.FieldManager))
	}
}

// giveUpAndTakeBack applies the manifest without what was lost, which leaves
// theirs as it is, and then whole, which makes it ours again.
func (f *fieldsTest) giveUpAndTakeBack() {
	f.t.Helper()
	live, paths := f.live(), f.lost(f.manifest)
	rest, err := fields.Remove(f.manifest, paths)
	if err != nil {
		f.t.Fatal(err)
	}
	f.apply(rest)
	after := f.live()
	if diff := cmp.Diff(values(live), values(after)); diff != "" {
		f.t.Errorf("an apply without what was lost changed (-before +after):\n%s", diff)
	}
	if again := f.lost(rest); len(again) > 0 {
		f.t.Errorf("after an apply without what was lost, %v is lost", again)
	}
	f.apply(f.manifest)
	if again := f.lost(f.manifest); len(again) > 0 {
		f.t.Errorf("after it was applied again, %v is lost", again)
	}
}

// values are an object without what every write changes.
func values(u *unstructured.Unstructured) map[string]any {
	u = u.DeepCopy()
	u.SetManagedFields(nil)
	u.SetResourceVersion("")
	u.SetGeneration(0)
	return u.Object
}

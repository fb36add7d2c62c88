package render

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
)

func TestSelects(t *testing.T) {
	eu := &v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"region": "eu"}}
	for _, tt := range []struct {
		reason string
		o      v1.Override
		want   bool
	}{
		{"nothing chooses every member", v1.Override{}, true},
		{"an empty selector chooses every member", v1.Override{ClusterSelector: &v1.ClusterSelector{}}, true},
		{"its name", v1.Override{ClusterNames: []v1.ClusterName{"us-1", "eu-1"}}, true},
		{"another name", v1.Override{ClusterNames: []v1.ClusterName{"us-1"}}, false},
		{"its label", v1.Override{ClusterSelector: eu}, true},
		{"both hold", v1.Override{ClusterNames: []v1.ClusterName{"eu-1"}, ClusterSelector: eu}, true},
		{"the name alone is not enough", v1.Override{ClusterNames: []v1.ClusterName{"eu-1"}, ClusterSelector: &v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"region": "us"}}}, false},
		{"the label alone is not enough", v1.Override{ClusterNames: []v1.ClusterName{"us-1"}, ClusterSelector: eu}, false},
	} {
		got, err := selects(&tt.o, Cluster{Name: "eu-1", Labels: map[string]string{"region": "eu"}})
		if err != nil || got != tt.want {
			t.Errorf("%s: %v (%v)", tt.reason, got, err)
		}
	}
}

// TestOverridesApplyInOrder: each sees what those before it have made, their
// patches included.
func TestOverridesApplyInOrder(t *testing.T) {
	in := input(t, "plain")
	in.Template.Overrides = app(t, `
image: web
overrides:
- image: {tag: "2"}
  env: [{name: A, value: first}, {name: B, value: first}]
  patches:
  - target: {kind: Deployment}
    patch: [{op: replace, path: /spec/template/spec/containers/0/image, value: other.example.com/patched:3}]
- image: {registry: mirror.eu}
  args: []
  env: [{name: C, value: second}, {name: A, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
`).Spec.Overrides
	c := decoded[appsv1.Deployment](t, in, "Deployment").Spec.Template.Spec.Containers[0]
	if c.Image != "mirror.eu/patched:3" {
		t.Errorf("the image is %s", c.Image)
	}
	want := []corev1.EnvVar{
		{Name: "A", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		{Name: "B", Value: "first"}, {Name: "C", Value: "second"},
	}
	if diff := cmp.Diff(want, c.Env); diff != "" {
		t.Errorf("env (-want +got):\n%s", diff)
	}
}

// TestOverrideBeatsPodTemplate: podTemplate is for every member, an override for
// some.
func TestOverrideBeatsPodTemplate(t *testing.T) {
	in := input(t, "plain")
	in.Template = app(t, `
image: web:1
podTemplate: {spec: {containers: [{name: web, image: "web:2", env: [{name: A, value: template}]}]}}
overrides: [{image: {registry: mirror.eu}, env: [{name: A, value: override}]}]
`).Spec
	c := decoded[appsv1.Deployment](t, in, "Deployment").Spec.Template.Spec.Containers[0]
	if c.Image != "mirror.eu/web:2" || c.Env[0].Value != "override" {
		t.Errorf("image %s, env %v", c.Image, c.Env)
	}
}

// TestFailingTest: what a test operation protects is not applied.
func TestFailingTest(t *testing.T) {
	in := input(t, "plain")
	in.Template = app(t, `
image: web:1
overrides: [{patches: [{target: {kind: Deployment}, patch: [{op: test, path: /spec/template/spec/containers/0/image, value: "web:2"}, {op: add, path: /spec/paused, value: true}]}]}]
`).Spec
	_, err := Manifests(in)
	var e *Error
	if !errors.As(err, &e) || e.Field.String() != "spec.overrides[0].patches[0].patch[0]" {
		t.Errorf("%v", err)
	}
}

// TestCopiesAreBounded: a patch cannot make an object of any size.
func TestCopiesAreBounded(t *testing.T) {
	spec := "image: web\nmanifests: [{apiVersion: example.org/v1, kind: Queue, metadata: {name: a}, spec: {a: {b: {c: d}}}}]\noverrides: [{patches: [{target: {kind: Queue}, patch: ["
	for i := range 32 {
		spec += fmt.Sprintf("{op: copy, from: /spec, path: /spec/x%d}, ", i)
	}
	in := input(t, "plain")
	in.Template = app(t, spec+"]}]}]").Spec
	if _, err := Manifests(in); err == nil {
		t.Error("an object was doubled 32 times")
	}
}

// TestConfigHash: files and nothing else roll pods, those of a patch included.
func TestConfigHash(t *testing.T) {
	hash := func(change func(*Input)) string {
		in := input(t, "config")
		change(&in)
		return decoded[appsv1.Deployment](t, in, "Deployment").Spec.Template.Annotations[v1.AnnotationConfigHash]
	}
	base := hash(func(*Input) {})
	for _, tt := range []struct {
		reason string
		change func(*Input)
		same   bool
	}{
		{"another member", func(in *Input) { in.Cluster.Name, in.HubID = "us-1", "hub-b" }, true},
		{"another directory is another template anyway", func(in *Input) { in.Template.ConfigMountPath = "/x" }, true},
		{"another content", func(in *Input) { in.Template.Config["app.yaml"] = "x" }, false},
		{"another name", func(in *Input) {
			in.Template.Config["b"] = in.Template.Config["app.yaml"]
			delete(in.Template.Config, "app.yaml")
		}, false},
		{"a content for some members", func(in *Input) {
			in.Template.Overrides = app(t, `{image: web, overrides: [{patches: [{target: {kind: ConfigMap}, patch: [{op: replace, path: /data/app.yaml, value: "cluster: $(cluster.name)"}]}]}]}`).Spec.Overrides
		}, false},
	} {
		if same := hash(tt.change) == base; same != tt.same {
			t.Errorf("%s: same = %v", tt.reason, same)
		}
	}
}

func TestReplicas(t *testing.T) {
	eu := Cluster{Name: "eu-1", Labels: map[string]string{"region": "eu"}}
	for _, tt := range []struct {
		reason, spec string
		want         int32
	}{
		{"nothing is said", `{image: web}`, 1},
		{"for every member", `{image: web, replicas: 3}`, 3},
		{"none is a number", `{image: web, replicas: 0}`, 0},
		{"an override for the member", `{image: web, replicas: 3, overrides: [{clusterNames: [eu-1], replicas: 0}]}`, 0},
		{"an override for another", `{image: web, replicas: 3, overrides: [{clusterNames: [us-1], replicas: 5}]}`, 3},
		{"the last wins", `{image: web, overrides: [{replicas: 5}, {clusterSelector: {matchLabels: {region: eu}}, replicas: 6}, {clusterNames: [us-1], replicas: 7}, {env: []}]}`, 6},
		{"a selector that cannot be understood is for nobody", `{image: web, replicas: 3, overrides: [{clusterSelector: {matchExpressions: [{key: a, operator: Near}]}, replicas: 9}]}`, 3},
		{"an autoscaler begins at its minimum", `{image: web, replicas: 3, autoscaling: {minReplicas: 2, maxReplicas: 4}, overrides: [{replicas: 9}]}`, 2},
		{"or at one", `{image: web, replicas: 3, autoscaling: {maxReplicas: 4}}`, 1},
	} {
		spec := app(t, tt.spec).Spec
		if got := Replicas(&spec, eu); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.reason, got, tt.want)
		}
	}
}

func TestPolicies(t *testing.T) {
	left := v1.IgnoredFields{Group: "apps", Kind: "Deployment", Fields: []string{"/spec/replicas"}}
	for _, tt := range []struct {
		reason, spec string
		want         v1.Policies
	}{
		{"the defaults", `{image: web}`, v1.Policies{Drift: v1.Drift{Mode: v1.DriftCorrect}, Adoption: v1.AdoptNever}},
		{"what the user says", `{image: web, drift: {mode: Report, ignore: [{kind: Service, fields: [/spec]}]}, adoption: Always, healthRules: [{kind: Queue, ready: "true"}]}`, v1.Policies{
			Drift:    v1.Drift{Mode: v1.DriftReport, Ignore: []v1.IgnoredFields{{Kind: "Service", Fields: []string{"/spec"}}}},
			Adoption: v1.AdoptAlways, HealthRules: []v1.HealthRule{{Kind: "Queue", Ready: "true"}},
		}},
		{"an autoscaler has the number of pods", `{image: web, autoscaling: {maxReplicas: 4}, drift: {ignore: [{kind: Service, fields: [/spec]}]}}`, v1.Policies{
			Drift:    v1.Drift{Mode: v1.DriftCorrect, Ignore: []v1.IgnoredFields{{Kind: "Service", Fields: []string{"/spec"}}, left}},
			Adoption: v1.AdoptNever,
		}},
	} {
		a := app(t, tt.spec)
		before := a.DeepCopy()
		if diff := cmp.Diff(tt.want, Policies(&a.Spec)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
		if diff := cmp.Diff(before, a); diff != "" {
			t.Errorf("%s: the spec was changed:\n%s", tt.reason, diff)
		}
	}
}

func TestSpecHash(t *testing.T) {
	base := v1.MyAppSpec{Image: "web", Replicas: ptr.To[int32](1)}
	same := *base.DeepCopy()
	if SpecHash(&base) != SpecHash(&same) || SpecHash(&base) == "" {
		t.Error("equal specs have different hashes")
	}
	same.Paused = true
	if SpecHash(&base) == SpecHash(&same) {
		t.Error("the hash is of the whole spec, policies included")
	}
}

func TestAutoscalerHasTheReplicas(t *testing.T) {
	in := input(t, "plain")
	in.Template.Autoscaling = &v1.Autoscaling{MaxReplicas: 3, TargetCPUUtilization: ptr.To[int32](50)}
	in.Replicas = 9
	if got := *decoded[appsv1.Deployment](t, in, "Deployment").Spec.Replicas; got != 1 {
		t.Errorf("the Deployment begins with %d pods, want the autoscaler's minimum", got)
	}
}

// TestSameInputSameBytes holds for any mix of features, and rendering leaves its
// input as it is: that is the cache's own.
func TestSameInputSameBytes(t *testing.T) {
	rich := input(t, "rich").Template
	secrets, pods, overrides := input(t, "secrets").Template, input(t, "pods").Template, input(t, "overrides").Template
	plain := input(t, "plain")
	rapid.Check(t, func(t *rapid.T) {
		spec := v1.MyAppSpec{Image: rapid.StringMatching(`[a-z]{1,5}(:[0-9])?`).Draw(t, "image")}
		maybe := func(name string, set func()) {
			if rapid.Bool().Draw(t, name) {
				set()
			}
		}
		maybe("config", func() {
			spec.Config = map[string]v1.ConfigValue{}
			for _, file := range rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,4}`), 1, 5).Draw(t, "files") {
				spec.Config[file] = v1.ConfigValue(rapid.String().Draw(t, "content"))
			}
		})
		maybe("account", func() { spec.ServiceAccount = rich.ServiceAccount })
		maybe("autoscaling", func() { spec.Autoscaling = rich.Autoscaling })
		maybe("disruption", func() { spec.Disruption = rich.Disruption })
		maybe("manifests", func() { spec.Manifests = rich.Manifests })
		maybe("secrets", func() { spec.Env, spec.EnvFrom = secrets.Env, secrets.EnvFrom })
		maybe("sidecars", func() { spec.Sidecars = pods.Sidecars })
		maybe("podTemplate", func() { spec.PodTemplate = secrets.PodTemplate })
		maybe("overrides", func() {
			spec.Overrides = rapid.SliceOfN(rapid.SampledFrom(append(rich.Overrides, v1.Override{Env: overrides.Env})), 0, 4).Draw(t, "which")
		})
		in := plain
		in.Template = spec
		before := *spec.DeepCopy()
		first, err := Manifests(in)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Manifests(in)
		if err != nil {
			t.Fatal(err)
		}
		if len(first) != len(second) {
			t.Fatalf("%d and %d objects", len(first), len(second))
		}
		for i := range first {
			if !bytes.Equal(first[i].Raw, second[i].Raw) {
				t.Fatalf("%s\n%s", first[i].Raw, second[i].Raw)
			}
		}
		if diff := cmp.Diff(before, in.Template); diff != "" {
			t.Fatalf("the input was changed:\n%s", diff)
		}
	})
}

// TestSameOverrides: a revision that differs in overrides for others means the same.
func TestSameOverrides(t *testing.T) {
	template := func(text string) *v1.MyAppSpec {
		var spec v1.MyAppSpec
		if err := yaml.UnmarshalStrict([]byte(text), &spec); err != nil {
			t.Fatal(err)
		}
		spec = Template(&spec)
		return &spec
	}
	const eu = `{image: "web:1", overrides: [{clusterSelector: {matchLabels: {region: eu}}, args: [a]}]}`
	for _, tt := range []struct {
		reason, old, next string
		base              bool
		same              map[string]bool // by region
	}{
		{"nothing differs", eu, eu, true, map[string]bool{"eu": true, "us": true}},
		{"an override for one region", eu, `{image: "web:1", overrides: [{clusterSelector: {matchLabels: {region: eu}}, args: [b]}]}`, true, map[string]bool{"eu": false, "us": true}},
		{"a further one", eu, `{image: "web:1", overrides: [{clusterSelector: {matchLabels: {region: eu}}, args: [a]}, {clusterSelector: {matchLabels: {region: us}}, args: [b]}]}`, true, map[string]bool{"eu": true, "us": false}},
		{"the same said in another way", eu, `{image: "web:1", overrides: [{clusterNames: [eu], args: [a]}]}`, true, map[string]bool{"eu": true, "us": true}},
		{"another order", `{image: "web:1", overrides: [{args: [a]}, {args: [b]}]}`, `{image: "web:1", overrides: [{args: [b]}, {args: [a]}]}`, true, map[string]bool{"eu": false, "us": false}},
		{"replicas are not in it", eu, `{image: "web:1", replicas: 5, overrides: [{clusterSelector: {matchLabels: {region: eu}}, args: [a], replicas: 7}, {replicas: 2}]}`, true, map[string]bool{"eu": true, "us": true}},
		{"the image", eu, `{image: "web:2", overrides: [{clusterSelector: {matchLabels: {region: eu}}, args: [a]}]}`, false, map[string]bool{"eu": true, "us": true}},
	} {
		old, next := template(tt.old), template(tt.next)
		if is := SameBut(old, next); is != tt.base {
			t.Errorf("%s: the rest is the same: %v", tt.reason, is)
		}
		for region, want := range tt.same {
			if is := SameOverrides(old, next, Cluster{Name: region, Labels: map[string]string{"region": region}}); is != want {
				t.Errorf("%s: the same in %s: %v", tt.reason, region, is)
			}
		}
	}
}

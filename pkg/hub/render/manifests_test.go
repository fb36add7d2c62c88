package render

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

var update = flag.Bool("update", false, "write the golden files")

// input reads a spec from testdata and renders it for a member.
func input(t testing.TB, name string) Input {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var spec v1.MyAppSpec
	if err := yaml.UnmarshalStrict(data, &spec); err != nil {
		t.Fatal(err)
	}
	in := Input{
		Namespace: "shop", Name: "web", UID: "0b9c2f6e-0000-4000-8000-000000000001", Stamp: manifest.Stamp{Generation: 4},
		HubID: "hub-a", Cluster: Cluster{
			Name: "eu-1", Labels: map[string]string{"region": "eu", "env": "prod"},
			Properties: map[string]v1.PropertyValue{"domain": "eu-1.example.com", "cost": "$5 (or $$6)"},
		}, Template: Template(&spec), Replicas: 3,
	}
	if name == "namespaced" {
		in.Cluster.Namespace = "team-a"
	}
	return in
}

// goldens are the specs in testdata.
func goldens(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*.golden.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatal("no golden files", err)
	}
	for i := range paths {
		paths[i] = strings.TrimSuffix(filepath.Base(paths[i]), ".golden.yaml")
	}
	return paths
}

func render(t testing.TB, in Input) []manifest.Manifest {
	t.Helper()
	manifests, err := Manifests(in)
	if err != nil {
		t.Fatal(err)
	}
	return manifests
}

// TestGolden shows a reader what a member gets. Run with -update to write the
// files; a change of one means that every member's objects are written again.
func TestGolden(t *testing.T) {
	for _, name := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			for _, m := range render(t, input(t, name)) {
				object, err := yaml.JSONToYAML(m.Raw)
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString("---\n")
				got.Write(object)
			}
			path := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-want +got), run with -update if it is meant to change:\n%s", path, diff)
			}
		})
	}
}

func TestBytesAreDeterministic(t *testing.T) {
	first := render(t, input(t, "rich"))
	for range 50 {
		if diff := cmp.Diff(first, render(t, input(t, "rich"))); diff != "" {
			t.Fatalf("the same input gave other bytes:\n%s", diff)
		}
	}
}

// TestNothingUnsaid: a field that nobody set must not be applied, or the hub
// would own it and fight whoever sets it.
func TestNothingUnsaid(t *testing.T) {
	for _, m := range render(t, input(t, "plain")) {
		for _, unsaid := range []string{"null", "{}", "[]", `"status"`, "creationTimestamp", `"strategy"`, `"resources"`} {
			if strings.Contains(string(m.Raw), unsaid) {
				t.Errorf("%s has %s: %s", m, unsaid, m.Raw)
			}
		}
	}
}

func TestWhatChangesTheHash(t *testing.T) {
	base := manifest.SetHash(render(t, input(t, "rich")))
	for _, tt := range []struct {
		reason string
		change func(*Input)
		same   bool
	}{
		{"an edit that changes no object writes none", func(in *Input) { in.Stamp.Generation++ }, true},
		{"TCP is the default", func(in *Input) { in.Template.Ports[0].Protocol = "" }, true},
		{"scaling is to reach the member", func(in *Input) { in.Template.Autoscaling = nil; in.Replicas++ }, false},
		{"an autoscaler has the number of pods", func(in *Input) { in.Replicas++ }, true},
		{"so is another image", func(in *Input) { in.Template.Image = "web:2" }, false},
		{"the marks are applied too", func(in *Input) { in.HubID = "hub-b" }, false},
		{"an app made again is another app", func(in *Input) { in.UID = "other" }, false},
	} {
		in := input(t, "rich")
		tt.change(&in)
		if same := manifest.SetHash(render(t, in)) == base; same != tt.same {
			t.Errorf("%s: same = %v", tt.reason, same)
		}
	}
}

// TestMarksNeverRollAPod: the pod template depends on nothing but the spec and
// the app's name.
func TestMarksNeverRollAPod(t *testing.T) {
	podTemplate := func(in Input) string {
		for _, m := range render(t, in) {
			var d struct {
				Spec struct{ Template json.RawMessage }
			}
			if err := json.Unmarshal(m.Raw, &d); err != nil {
				t.Fatal(err)
			}
			if d.Spec.Template != nil {
				return string(d.Spec.Template)
			}
		}
		t.Fatal("no pod template")
		return ""
	}
	in := input(t, "rich")
	in.Template.Sidecars[0].Env = nil // it asks for the member's name
	other := in
	other.HubID, other.Cluster.Name, other.UID, other.Stamp.Generation, other.Replicas = "hub-b", "us-9", "other", 99, 7
	if diff := cmp.Diff(podTemplate(in), podTemplate(other)); diff != "" {
		t.Errorf("a mark would roll every pod:\n%s", diff)
	}
	if podTemplate(in) == podTemplate(input(t, "plain")) {
		t.Error("the template does not depend on the spec")
	}
}

func TestMarks(t *testing.T) {
	in := input(t, "rich")
	want := map[string]string{
		v1.LabelHubID: "hub-a", v1.LabelMember: "eu-1", v1.LabelApp: "web", v1.LabelAppUID: string(in.UID),
		v1.LabelManagedBy: v1.ManagedBy, "app.kubernetes.io/name": "web",
	}
	for _, m := range render(t, in) {
		var o struct {
			Metadata struct{ Labels map[string]string }
		}
		if err := json.Unmarshal(m.Raw, &o); err != nil {
			t.Fatal(err)
		}
		delete(o.Metadata.Labels, "team") // the user's own
		if diff := cmp.Diff(want, o.Metadata.Labels); diff != "" {
			t.Errorf("%s (-want +got):\n%s", m, diff)
		}
	}
}

// decoded finds the object of a Go type among those that are rendered.
func decoded[T any](t testing.TB, in Input, kind string) T {
	t.Helper()
	var object T
	for _, m := range render(t, in) {
		if m.GVK.Kind == kind {
			if err := json.Unmarshal(m.Raw, &object); err != nil {
				t.Fatal(err)
			}
			return object
		}
	}
	t.Fatalf("no %s is rendered", kind)
	return object
}

// TestEverybodyMeansTheSamePods: the Service, the disruption budget, the
// Deployment and status.selector agree on what a pod of the app is.
func TestEverybodyMeansTheSamePods(t *testing.T) {
	in := input(t, "rich")
	deployment := decoded[appsv1.Deployment](t, in, "Deployment")
	for reason, selector := range map[string]map[string]string{
		"the Service":           decoded[corev1.Service](t, in, "Service").Spec.Selector,
		"the Deployment":        deployment.Spec.Selector.MatchLabels,
		"the disruption budget": decoded[policyv1.PodDisruptionBudget](t, in, "PodDisruptionBudget").Spec.Selector.MatchLabels,
	} {
		if len(selector) == 0 {
			t.Errorf("%s selects everything", reason)
		}
		for k, v := range selector {
			if deployment.Spec.Template.Labels[k] != v {
				t.Errorf("%s selects %s=%s, which pods do not have", reason, k, v)
			}
			if got := PodSelector(in.Name); got != k+"="+v {
				t.Errorf("status.selector is %s, %s selects %s=%s", got, reason, k, v)
			}
		}
	}
}

func TestServicePorts(t *testing.T) {
	named, number := intstr.FromString("http"), intstr.FromInt32(8080)
	for _, tt := range []struct {
		reason string
		port   v1.ServicePort
		want   corev1.ServicePort
	}{
		{"the container's port is the same number by default", v1.ServicePort{Port: 80}, corev1.ServicePort{Port: 80, Protocol: "TCP", TargetPort: intstr.FromInt32(80)}},
		{"by name", v1.ServicePort{Name: "web", Port: 80, TargetPort: &named}, corev1.ServicePort{Name: "web", Port: 80, Protocol: "TCP", TargetPort: named}},
		{"by number, another protocol", v1.ServicePort{Port: 53, Protocol: "UDP", TargetPort: &number}, corev1.ServicePort{Port: 53, Protocol: "UDP", TargetPort: number}},
	} {
		in := Input{Name: "web", Template: v1.MyAppSpec{Image: "web", Service: &v1.Service{Ports: []v1.ServicePort{tt.port}}}}
		got := decoded[corev1.Service](t, in, "Service")
		if diff := cmp.Diff([]corev1.ServicePort{tt.want}, got.Spec.Ports); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

// TestRenderedObjectsAreValid: what the hub itself makes is of the type that it
// says, to the letter.
func TestRenderedObjectsAreValid(t *testing.T) {
	types := map[string]func() any{
		"ServiceAccount": func() any { return new(corev1.ServiceAccount) }, "Secret": func() any { return new(corev1.Secret) },
		"ConfigMap": func() any { return new(corev1.ConfigMap) }, "Service": func() any { return new(corev1.Service) },
		"PodDisruptionBudget": func() any { return new(policyv1.PodDisruptionBudget) }, "Deployment": func() any { return new(appsv1.Deployment) },
		"HorizontalPodAutoscaler": func() any { return new(autoscalingv2.HorizontalPodAutoscaler) },
	}
	seen := map[string]bool{}
	for _, name := range goldens(t) {
		for _, m := range render(t, input(t, name)) {
			typed, ok := types[m.GVK.Kind]
			if !ok {
				continue // a manifest of the user's
			}
			seen[m.GVK.Kind] = true
			if err := decodeStrictly(m.Raw, typed()); err != nil {
				t.Errorf("%s: %s: %v", name, m, err)
			}
		}
	}
	for kind := range types {
		if !seen[kind] {
			t.Errorf("no golden file has a %s", kind)
		}
	}
}

// TestOrder: what pods need comes before them, and what acts on the workload
// after it.
func TestOrder(t *testing.T) {
	var kinds []string
	for _, m := range render(t, input(t, "rich")) {
		kinds = append(kinds, m.GVK.Kind)
	}
	want := []string{"ServiceAccount", "Secret", "ConfigMap", "Service", "PodDisruptionBudget", "Queue", "NetworkPolicy", "Deployment", "HorizontalPodAutoscaler"}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

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
	corev1 "k8s.io/api/core/v1"
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
	return Input{
		Namespace: "shop", Name: "web", UID: "0b9c2f6e-0000-4000-8000-000000000001", Generation: 4,
		HubID: "hub-a", Member: "eu-1", Template: Template(&spec), Replicas: 3,
	}
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
	for _, name := range []string{"plain", "rich"} {
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
		{"an edit that changes no object writes none", func(in *Input) { in.Generation++ }, true},
		{"TCP is the default", func(in *Input) { in.Template.Ports[0].Protocol = "" }, true},
		{"scaling is to reach the member", func(in *Input) { in.Replicas++ }, false},
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
	other := in
	other.HubID, other.Member, other.UID, other.Generation, other.Replicas = "hub-b", "us-9", "other", 99, 7
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
		if diff := cmp.Diff(want, o.Metadata.Labels); diff != "" {
			t.Errorf("%s (-want +got):\n%s", m, diff)
		}
	}
}

// TestServiceSelectsThePods: a Service, the Deployment and status.selector
// agree on what a pod of the app is.
func TestServiceSelectsThePods(t *testing.T) {
	in := input(t, "rich")
	pods := deployment(in)
	for reason, selector := range map[string]map[string]string{
		"the Service": service(in).Spec.Selector, "the Deployment": pods.Spec.Selector.MatchLabels,
	} {
		for k, v := range selector {
			if pods.Spec.Template.Labels[k] != v {
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
		in := Input{Name: "web", Template: v1.MyAppSpec{Service: &v1.Service{Ports: []v1.ServicePort{tt.port}}}}
		if diff := cmp.Diff([]corev1.ServicePort{tt.want}, service(in).Spec.Ports); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

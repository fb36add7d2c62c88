package render

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// TestPlanIsRender: whatever the app, a plan gives every member what Render gives
// it, in any order and again.
func TestPlanIsRender(t *testing.T) {
	for _, name := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			var plan Plan
			in := input(t, name)
			template := func() (v1.MyAppSpec, error) { return *in.Template.DeepCopy(), nil }
			for round := range 2 {
				for i, member := range []string{"eu-1", "us-1", "eu-2", "zz"} {
					for replicas := range int32(3) {
						one := in
						one.Cluster.Name, one.Replicas = member, replicas
						if in.Cluster.Namespace != "" {
							one.Cluster.Namespace = "team-" + member
						}
						one.Cluster.Labels = map[string]string{"region": member[:2], "env": "prod"}
						one.Cluster.Properties = map[string]v1.PropertyValue{"domain": v1.PropertyValue(member), "cost": "$1"}
						one.Stamp = manifest.Stamp{Generation: int64(10*round + i), HubVersion: fmt.Sprint(i)}
						want, wantErr := Render(one)
						one.Template = v1.MyAppSpec{}
						got, err := plan.Render(one, template)
						if fmt.Sprint(err) != fmt.Sprint(wantErr) {
							t.Fatalf("%s: %v, want %v", member, err, wantErr)
						}
						if diff := cmp.Diff(want, got); err == nil && diff != "" {
							t.Fatalf("%s with %d replicas (-Render +Plan):\n%s", member, replicas, diff)
						}
					}
				}
			}
		})
	}
}

// TestPlanRendersOnce: members that get the same cost one rendering, those that get
// something of their own one each.
func TestPlanRendersOnce(t *testing.T) {
	renders := func(name string, edit func(*v1.MyAppSpec)) int {
		in, asked := input(t, name), 0
		edit(&in.Template)
		var plan Plan
		for range 3 {
			for i := range 10 {
				one := in
				one.Cluster.Name = fmt.Sprintf("eu-%d", i)
				if in.Cluster.Namespace != "" {
					one.Cluster.Namespace = fmt.Sprintf("team-%d", i)
				}
				if _, err := plan.Render(one, func() (v1.MyAppSpec, error) { asked++; return *in.Template.DeepCopy(), nil }); err != nil {
					t.Fatal(err)
				}
			}
		}
		return asked - 1 // once for the overrides
	}
	for _, tt := range []struct {
		reason, golden string
		edit           func(*v1.MyAppSpec)
		want           int
	}{
		{"nothing differs", "plain", func(*v1.MyAppSpec) {}, 1},
		{"each has a namespace of its own", "namespaced", func(*v1.MyAppSpec) {}, 1},
		{"an override for some by name", "plain", func(s *v1.MyAppSpec) {
			s.Overrides = []v1.Override{{ClusterNames: []v1.ClusterName{"eu-3", "eu-4"}, Image: &v1.ImageOverride{Tag: "2"}}}
		}, 2},
		{"a variable", "plain", func(s *v1.MyAppSpec) { s.Image = "registry.example.com/web:$(cluster.name)" }, 30},
		{"a patch for one of them", "plain", func(s *v1.MyAppSpec) {
			s.Overrides = []v1.Override{{ClusterNames: []v1.ClusterName{"eu-3"}, Patches: []v1.Patch{{
				Target: v1.PatchTarget{Kind: "Deployment"}, Patch: []v1.PatchOperation{{Op: "add", Path: "/spec/paused", Value: &apiextensionsv1.JSON{Raw: []byte("true")}}},
			}}}}
		}, 4},
	} {
		if got := renders(tt.golden, tt.edit); got != tt.want {
			t.Errorf("%s: %d renderings, want %d", tt.reason, got, tt.want)
		}
	}
}

// TestPlanRemembersNoError: what could not be rendered is tried again.
func TestPlanRemembersNoError(t *testing.T) {
	var plan Plan
	in, broken := input(t, "plain"), errors.New("the revision cannot be read")
	if _, err := plan.Render(in, func() (v1.MyAppSpec, error) { return v1.MyAppSpec{}, broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	if out, err := plan.Render(in, func() (v1.MyAppSpec, error) { return in.Template, nil }); err != nil || len(out.Manifests) == 0 {
		t.Errorf("%v, want objects", err)
	}
}

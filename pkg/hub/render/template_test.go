package render

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

func revision(t testing.TB, name string, uid types.UID, spec v1.MyAppSpec, collision int) Revision {
	t.Helper()
	r, err := RevisionOf(name, uid, &spec, collision)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// policies do not render: they are read live and start no revision.
var policies = map[string]func(*v1.MyAppSpec){
	"Replicas":             func(s *v1.MyAppSpec) { s.Replicas = ptr.To[int32](9) },
	"Placement":            func(s *v1.MyAppSpec) { s.Placement = &v1.Placement{ClusterSelector: &v1.ClusterSelector{}} },
	"DeletionPolicy":       func(s *v1.MyAppSpec) { s.DeletionPolicy = v1.DeletionOrphan },
	"Paused":               func(s *v1.MyAppSpec) { s.Paused = true },
	"Drift":                func(s *v1.MyAppSpec) { s.Drift = &v1.Drift{Mode: v1.DriftReport} },
	"Failover":             func(s *v1.MyAppSpec) { s.Failover = &v1.Failover{BudgetPercent: ptr.To[int32](5)} },
	"DependsOn":            func(s *v1.MyAppSpec) { s.DependsOn = []v1.Dependency{{Name: "db"}} },
	"Rollout":              func(s *v1.MyAppSpec) { s.Rollout = &v1.Rollout{Type: v1.RolloutProgressive} },
	"Adoption":             func(s *v1.MyAppSpec) { s.Adoption = v1.AdoptAlways },
	"HealthRules":          func(s *v1.MyAppSpec) { s.HealthRules = []v1.HealthRule{{Kind: "Queue", Ready: "true"}} },
	"RevisionHistoryLimit": func(s *v1.MyAppSpec) { s.RevisionHistoryLimit = ptr.To[int32](1) },
}

// TestEveryFieldIsTemplateOrPolicy: a new field of the spec must be decided on.
// One that renders belongs into testdata/rich.yaml, any other into policies.
func TestEveryFieldIsTemplateOrPolicy(t *testing.T) {
	rich := input(t, "rich").Template
	base := revision(t, "web", "uid", rich, 0)
	value := reflect.ValueOf(rich)
	for i := range value.NumField() {
		name := value.Type().Field(i).Name
		spec := rich
		set, isPolicy := policies[name]
		if isPolicy {
			set(&spec)
			if got := revision(t, "web", "uid", spec, 0); got.Name != base.Name {
				t.Errorf("%s is a policy, but a change of it starts a revision", name)
			}
			continue
		}
		if value.Field(i).IsZero() {
			t.Errorf("spec field %s is neither in testdata/rich.yaml nor a policy", name)
			continue
		}
		reflect.ValueOf(&spec).Elem().Field(i).SetZero()
		if got := revision(t, "web", "uid", spec, 0); got.Name == base.Name {
			t.Errorf("%s renders, but a change of it starts no revision", name)
		}
	}
}

// TestReplicasOfOverridesStartNoRevision: neither their number nor for whom
// they are. An override that renders starts one.
func TestReplicasOfOverridesStartNoRevision(t *testing.T) {
	base := revision(t, "web", "uid", app(t, `{image: web, overrides: [{clusterNames: [a], image: {tag: "2"}}]}`).Spec, 0)
	for _, tt := range []struct {
		reason, spec string
		same         bool
	}{
		{"replicas beside something else", `{image: web, overrides: [{clusterNames: [a], image: {tag: "2"}, replicas: 3}]}`, true},
		{"an override that has only replicas", `{image: web, overrides: [{clusterNames: [a], image: {tag: "2"}}, {clusterNames: [b], replicas: 3}, {replicas: 3}]}`, true},
		{"another image", `{image: web, overrides: [{clusterNames: [a], image: {tag: "3"}}]}`, false},
		{"the same for other members", `{image: web, overrides: [{clusterNames: [b], image: {tag: "2"}}]}`, false},
		{"none", `{image: web}`, false},
	} {
		if same := revision(t, "web", "uid", app(t, tt.spec).Spec, 0).Name == base.Name; same != tt.same {
			t.Errorf("%s: same = %v", tt.reason, same)
		}
	}
	template := Template(&app(t, `{image: web, overrides: [{clusterNames: [b], replicas: 3}, {image: {tag: "2"}}]}`).Spec)
	if len(template.Overrides) != 2 || template.Overrides[1].Image == nil {
		t.Errorf("an error would name another entry than the user's: %+v", template.Overrides)
	}
}

func TestRevisionName(t *testing.T) {
	spec := v1.MyAppSpec{Image: "web:1"}
	base := revision(t, "web", "uid-1", spec, 0)
	for _, tt := range []struct {
		reason string
		other  Revision
		same   bool
	}{
		{"a function of its arguments", revision(t, "web", "uid-1", spec, 0), true},
		{"another template", revision(t, "web", "uid-1", v1.MyAppSpec{Image: "web:2"}, 0), false},
		{"an app made again never meets its predecessor's revisions", revision(t, "web", "uid-2", spec, 0), false},
		{"a collision is answered by the next name", revision(t, "web", "uid-1", spec, 1), false},
	} {
		if same := tt.other.Name == base.Name; same != tt.same {
			t.Errorf("%s: %s and %s", tt.reason, base.Name, tt.other.Name)
		}
	}
	if !strings.HasPrefix(base.Name, "web-") {
		t.Errorf("%s does not begin with the app's name", base.Name)
	}
}

// TestStoredTemplate: a revision that is read back renders the same bytes.
func TestStoredTemplate(t *testing.T) {
	in := input(t, "rich")
	stored, err := ParseTemplate(revision(t, "web", in.UID, in.Template, 0).Data)
	if err != nil {
		t.Fatal(err)
	}
	again := in
	again.Template = stored
	if diff := cmp.Diff(render(t, in), render(t, again)); diff != "" {
		t.Errorf("-spec +stored:\n%s", diff)
	}
	if _, err := ParseTemplate([]byte(`{"image":7}`)); err == nil {
		t.Error("a template that cannot be read must be an error")
	}
}

func TestTemplateLeavesTheSpec(t *testing.T) {
	spec := v1.MyAppSpec{Image: "web:1", Replicas: ptr.To[int32](3), Args: []string{"a"}}
	want := *spec.DeepCopy()
	template := Template(&spec)
	template.Args[0] = "changed"
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Errorf("the spec is the cache's own object and was changed:\n%s", diff)
	}
}

// TestScaleStartsNoRevision holds for any two specs that differ in policies.
func TestScaleStartsNoRevision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := v1.MyAppSpec{
			Image: rapid.StringN(1, 20, -1).Draw(t, "image"),
			Args:  rapid.SliceOfN(rapid.String(), 0, 3).Draw(t, "args"),
		}
		scaled := *spec.DeepCopy()
		scaled.Replicas = ptr.To(rapid.Int32().Draw(t, "replicas"))
		scaled.Paused = rapid.Bool().Draw(t, "paused")
		a, err := RevisionOf("web", "uid", &spec, 0)
		if err != nil {
			t.Fatal(err)
		}
		b, err := RevisionOf("web", "uid", &scaled, 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatal(diff)
		}
	})
}

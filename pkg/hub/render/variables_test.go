package render

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

func TestExpand(t *testing.T) {
	v := variables{cluster: Cluster{
		Name: "eu-1", Labels: map[string]string{"region": "eu", "example.org/tier": "a.b_c"},
		Properties: map[string]v1.PropertyValue{"domain": "x.y", "odd": "$(HOME) $$ )", "empty": ""},
	}}
	for _, tt := range []struct {
		reason, text, plain, quoted string
	}{
		{"no variable", "web", "web", "web"},
		{"the name", "a-$(cluster.name)-b", "a-eu-1-b", "a-eu-1-b"},
		{"a label", "$(cluster.labels.region)", "eu", "eu"},
		{"a label whose key has dots and a slash", "$(cluster.labels.example.org/tier)", "a.b_c", "a.b_c"},
		{"a property", "$(cluster.properties.domain)$(cluster.properties.domain)", "x.yx.y", "x.yx.y"},
		{"a value is text: the kubelet is to find no variable in it", "$(cluster.properties.odd)", "$(HOME) $$ )", "$$(HOME) $$$$ )"},
		{"a value may be empty", "a$(cluster.properties.empty)b", "ab", "ab"},
		{"others' variables", "$(HOME) $(cluster) $(CLUSTER.name) $(cluster_name)", "$(HOME) $(cluster) $(CLUSTER.name) $(cluster_name)", "$(HOME) $(cluster) $(CLUSTER.name) $(cluster_name)"},
		{"escaped, as the kubelet has it", "$$(cluster.name) $$(cluster.foo) $$$(cluster.name)", "$$(cluster.name) $$(cluster.foo) $$eu-1", "$$(cluster.name) $$(cluster.foo) $$eu-1"},
		{"a dollar is a dollar", "$5 $ ü$", "$5 $ ü$", "$5 $ ü$"},
	} {
		for kind, quote := range map[string]func(string) string{tt.plain: plain, tt.quoted: quoted} {
			if got, err := v.expand(tt.text, quote); err != nil || got != kind {
				t.Errorf("%s: %q becomes %q (%v), want %q", tt.reason, tt.text, got, err, kind)
			}
		}
	}
}

func TestExpandRefuses(t *testing.T) {
	v := variables{cluster: Cluster{Name: "eu-1", Labels: map[string]string{"": "x"}}}
	for text, says := range map[string]string{
		"$(cluster.labels.region)":     `member eu-1 has no label "region": label it (kubectl label membercluster eu-1 region=VALUE)`,
		"$(cluster.properties.domain)": `member eu-1 has no property "domain": set it in spec.properties of MemberCluster eu-1`,
		"$(cluster.foo)":               "$(cluster.foo) is no variable: use $(cluster.name), $(cluster.labels.KEY) or $(cluster.properties.KEY)",
		"$(cluster.names)":             "is no variable",
		"$(cluster.)":                  "is no variable",
		"$(cluster.labels.)":           "is no variable",
		"$(cluster.properties)":        "is no variable",
		"$(cluster.labels[region])":    "is no variable",
		"$(cluster.name":               "closing bracket",
	} {
		if got, err := v.expand(text, plain); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s becomes %q, error %v, want one with %q", text, got, err, says)
		}
	}
}

// TestMissingVariable: whoever reads the row of a member learns which variable,
// which member and what to do.
func TestMissingVariable(t *testing.T) {
	for _, tt := range []struct {
		change func(*v1.MyAppSpec)
		field  string
	}{
		{func(s *v1.MyAppSpec) { s.Image = "$(cluster.labels.none)/web" }, "spec.image"},
		{func(s *v1.MyAppSpec) { s.Env = []corev1.EnvVar{{Name: "A", Value: "$(cluster.labels.none)"}} }, "spec.env[0].value"},
		{func(s *v1.MyAppSpec) { s.Sidecars = []v1.Sidecar{{Name: "a", Image: "$(cluster.labels.none)"}} }, "spec.sidecars[0].image"},
		{func(s *v1.MyAppSpec) {
			s.Overrides = []v1.Override{{}, {Env: []corev1.EnvVar{{Name: "A", Value: "$(cluster.labels.none)"}}}}
		}, "spec.overrides[1].env[0].value"},
		{func(s *v1.MyAppSpec) {
			*s = app(t, `{image: web, overrides: [{patches: [{target: {kind: Deployment}, patch: [{op: add, path: /metadata/annotations, value: {a: [$(cluster.labels.none)]}}]}]}]}`).Spec
		}, "spec.overrides[0].patches[0].patch[0].value"},
	} {
		in := input(t, "plain")
		tt.change(&in.Template)
		_, err := Manifests(in)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v is no Error", tt.field, err)
			continue
		}
		if e.Reason != v1.ReasonRenderError || e.Field.String() != tt.field {
			t.Errorf("%s: reason %s at %s", tt.field, e.Reason, e.Field)
		}
		for _, part := range []string{"$(cluster.labels.none)", "member eu-1", "kubectl label", tt.field} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error lacks %q: %v", tt.field, part, err)
			}
		}
		if _, err := secretsOf(in); !errors.As(err, &e) {
			t.Errorf("%s: Secrets says %v", tt.field, err)
		}
	}
}

// TestValueMakesNoImage: a property may be any text, an image may not.
func TestValueMakesNoImage(t *testing.T) {
	for _, value := range []v1.PropertyValue{"", "a b", "a\n"} {
		in := input(t, "plain")
		in.Template.Image = "$(cluster.properties.image)"
		in.Cluster.Properties = map[string]v1.PropertyValue{"image": value}
		if _, err := Manifests(in); err == nil || !strings.Contains(err.Error(), "correct the MemberCluster") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestNotPermitted(t *testing.T) {
	in := input(t, "plain")
	in.Template.Manifests = app(t, `{image: web, manifests: [{apiVersion: v1, kind: Secret, metadata: {name: a}}]}`).Spec.Manifests
	_, err := Manifests(in)
	var e *Error
	if !errors.As(err, &e) || e.Reason != v1.ReasonNotPermitted {
		t.Errorf("a Secret in manifests: %v", err)
	}
}

// TestExpandTouchesNothingElse: text without a variable of the cluster is the
// same afterwards, however many dollars and brackets it has.
func TestExpandTouchesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`(\$|\(|\)|\$\(|\$\$|cluster|\.|name|a|ü){0,12}`).Draw(t, "text")
		got, err := variables{cluster: Cluster{Name: "NAME"}}.expand(text, plain)
		if !strings.Contains(text, variableOpen) && (err != nil || got != text) {
			t.Fatalf("%q became %q (%v)", text, got, err)
		}
		// What the kubelet's rule calls escaped stays, too.
		escaped := "$$" + strings.ReplaceAll(text, "$", "")
		if got, err := (variables{}).expand(escaped, plain); err != nil || got != escaped {
			t.Fatalf("%q became %q (%v)", escaped, got, err)
		}
	})
}

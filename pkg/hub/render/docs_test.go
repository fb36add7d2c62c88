package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
)

// withDefaults fills in what the schema does and the examples rely on.
func withDefaults(spec *v1.MyAppSpec) {
	if spec.Service != nil && spec.Service.Type == "" {
		spec.Service.Type = "ClusterIP"
	}
}

// TestExamplesOfTheDocs: what docs/app.md shows can be applied.
func TestExamplesOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../../docs/app.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(page), "```yaml\n")[1:]
	if len(examples) < 10 {
		t.Fatalf("only %d examples are found", len(examples))
	}
	for _, example := range examples {
		example, _, _ = strings.Cut(example, "```")
		a := &v1.MyApp{}
		a.Namespace, a.Name = "shop", "web"
		if err := yaml.UnmarshalStrict([]byte(example), &a.Spec); err != nil {
			t.Errorf("%v:\n%s", err, example)
			continue
		}
		if a.Spec.Image == "" {
			a.Spec.Image = "web"
		}
		withDefaults(&a.Spec)
		if errs := Validate(a, nil); len(errs) > 0 {
			t.Errorf("%v:\n%s", errs, example)
		}
	}
}

// TestSamples: so can the samples.
func TestSamples(t *testing.T) {
	samples, err := filepath.Glob("../../../deploy/samples/*.yaml")
	if err != nil || len(samples) == 0 {
		t.Fatal("no samples", err)
	}
	for _, path := range samples {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		a := &v1.MyApp{}
		if err := yaml.UnmarshalStrict(data, a); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if a.Kind != "MyApp" {
			continue
		}
		withDefaults(&a.Spec)
		if errs := Validate(a, nil); len(errs) > 0 {
			t.Errorf("%s: %v", path, errs)
		}
	}
}

package render

import (
	"encoding/json"
	"os"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/example/myapp-hub/pkg/manifest"
)

// TestSpecSchema holds that specSchema changes with the schema of the spec.
func TestSpecSchema(t *testing.T) {
	data, err := os.ReadFile("../../../deploy/crds/example.com_myapps.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema struct {
						Properties map[string]any `json:"properties"`
					} `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(data, &crd); err != nil {
		t.Fatal(err)
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	if spec == nil {
		t.Fatal("the CRD has no schema of the spec")
	}
	shape, err := json.Marshal(shapeOf(spec))
	if err != nil {
		t.Fatal(err)
	}
	if want := manifest.Hash(shape)[:8]; specSchema != want {
		t.Errorf("the fields or defaults of MyAppSpec have changed: set specSchema to %q", want)
	}
}

// shapeOf is a schema without what does not change how an object is read.
func shapeOf(schema any) any {
	switch s := schema.(type) {
	case map[string]any:
		shape := map[string]any{}
		for key, value := range s {
			if _, isText := value.(string); key == "description" && isText || key == "x-kubernetes-validations" {
				continue
			}
			shape[key] = shapeOf(value)
		}
		return shape
	case []any:
		shapes := make([]any, len(s))
		for i := range s {
			shapes[i] = shapeOf(s[i])
		}
		return shapes
	}
	return schema
}

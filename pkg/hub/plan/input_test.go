package plan

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestDescribe(t *testing.T) {
	problem := func(name, detail string) *field.Error {
		return field.Invalid(field.NewPath("spec", name), field.OmitValueType{}, detail)
	}
	long := strings.Repeat("ä", 2000)
	got := describe(field.ErrorList{problem("a", long), problem("b", long), problem("c", "short"), problem("d", "x"), problem("e", "x")})
	for _, want := range []string{"not valid", "spec.a", "spec.b", "spec.c: Invalid value: short", "and 2 more"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if strings.Contains(got, "spec.d") || len([]rune(got)) > 1024 {
		t.Errorf("it must fit a condition: %d characters, %q", len([]rune(got)), got)
	}
	if got := describe(nil); got != "" {
		t.Errorf("nothing is wrong, and it says %q", got)
	}
}

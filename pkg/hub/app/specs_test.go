package app

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

func TestProblems(t *testing.T) {
	var s specs
	app, fleet := world().app, fleetOf(nil)
	if got := s.of(app, fleet).problems; got != "" {
		t.Errorf("a plain app has problems: %s", got)
	}
	app.Spec.HealthRules = []v1.HealthRule{{Kind: "Database", Ready: "object.("}}
	if got := s.of(app, fleet).problems; got != "" {
		t.Errorf("one generation is checked once: %s", got)
	}
	app.Generation++
	if got := s.of(app, fleet).problems; !strings.Contains(got, "spec.healthRules[0]") {
		t.Errorf("a health rule that cannot be compiled must be named: %q", got)
	}
	app.Spec.HealthRules, app.UID = nil, "another app of this name"
	if got := s.of(app, fleet).problems; got != "" {
		t.Errorf("what was wrong with another app is not wrong with this one: %s", got)
	}
	s.forget(client.ObjectKeyFromObject(app))
	if len(s.known) != 0 {
		t.Errorf("kept: %v", s.known)
	}
}

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

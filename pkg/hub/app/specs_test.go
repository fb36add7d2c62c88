package app

import (
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

func TestProblems(t *testing.T) {
	var s specs
	app, fleet := world().app, fleetOf(nil)
	if got := s.of(app, fleet).Problems; got != "" {
		t.Errorf("a plain app has problems: %s", got)
	}
	app.Spec.HealthRules = []v1.HealthRule{{Kind: "Database", Ready: "object.("}}
	if got := s.of(app, fleet).Problems; got != "" {
		t.Errorf("one generation is checked once: %s", got)
	}
	app.Generation++
	if got := s.of(app, fleet).Problems; !strings.Contains(got, "spec.healthRules[0]") {
		t.Errorf("a health rule that cannot be compiled must be named: %q", got)
	}
	app.Spec.HealthRules, app.UID = nil, "another app of this name"
	if got := s.of(app, fleet).Problems; got != "" {
		t.Errorf("what was wrong with another app is not wrong with this one: %s", got)
	}
	s.forget(client.ObjectKeyFromObject(app))
	if len(s.known) != 0 {
		t.Errorf("kept: %v", s.known)
	}
}

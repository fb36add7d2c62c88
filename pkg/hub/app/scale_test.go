package app

import (
	"testing"

	v1 "github.com/example/myapp-hub/api/v1"
)

// An app whose number of pods others may change is ready with the number they chose.
func TestOthersScale(t *testing.T) {
	ignoring := func(i v1.IgnoredFields) v1.MyAppSpec {
		return v1.MyAppSpec{Drift: &v1.Drift{Ignore: []v1.IgnoredFields{i}}}
	}
	replicas := []string{"/spec/template", "/spec/replicas"}
	for _, tt := range []struct {
		reason string
		spec   v1.MyAppSpec
		want   bool
	}{
		{"the number is the app's", v1.MyAppSpec{}, false},
		{"an autoscaler's", v1.MyAppSpec{Autoscaling: &v1.Autoscaling{}}, true},
		{"left to others", ignoring(v1.IgnoredFields{Kind: "Deployment", Fields: replicas}), true},
		{"by its whole name", ignoring(v1.IgnoredFields{Group: "apps", Kind: "Deployment", Name: "web", Fields: replicas}), true},
		{"of another Deployment", ignoring(v1.IgnoredFields{Kind: "Deployment", Name: "api", Fields: replicas}), false},
		{"of another kind", ignoring(v1.IgnoredFields{Kind: "StatefulSet", Fields: replicas}), false},
		{"of another group", ignoring(v1.IgnoredFields{Group: "example.org", Kind: "Deployment", Fields: replicas}), false},
		{"another field", ignoring(v1.IgnoredFields{Kind: "Deployment", Fields: replicas[:1]}), false},
	} {
		app := &v1.MyApp{Spec: tt.spec}
		app.Name = "web"
		if got := othersScale(app); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.reason, got, tt.want)
		}
	}
}

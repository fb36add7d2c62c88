package app

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestLately(t *testing.T) {
	var l lately
	app, other, at := types.NamespacedName{Name: "web"}, types.NamespacedName{Name: "other"}, noon.Time
	l.add(app, []string{"b"}, at)
	l.add(app, []string{"a", "b"}, at.Add(5*time.Minute))
	for _, tt := range []struct {
		reason string
		app    types.NamespacedName
		later  time.Duration
		want   []string
	}{
		{"each once", app, 6 * time.Minute, []string{"a", "b"}},
		{"not another's", other, 6 * time.Minute, nil},
		{"the later one counts longer", app, 12 * time.Minute, []string{"a", "b"}},
		{"and no longer than that", app, 16 * time.Minute, nil},
	} {
		if got := l.of(tt.app, at.Add(tt.later)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.reason, got, tt.want)
		}
	}
	l.add(app, []string{"a"}, at)
	if l.forget(app); l.of(app, at) != nil {
		t.Error("an app that is gone is remembered")
	}
}

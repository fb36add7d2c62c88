package delivery

import (
	"fmt"
	"testing"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/render"
)

func TestPlans(t *testing.T) {
	var p plans
	app := placed()
	app.Generation, app.ResourceVersion, app.Spec.Image = 5, "100", "a"
	first := p.specHash(app)
	if first != render.SpecHash(&app.Spec) || p.specHash(app) != first {
		t.Errorf("the hash is %s, want that of the spec", first)
	}
	restored := placed()
	restored.Generation, restored.ResourceVersion, restored.Spec.Image = 5, "99", "b"
	if p.specHash(restored) == first {
		t.Error("two specs of one generation, as after a restore, have the same hash")
	}
	one := p.of(app, "web-1")
	if p.of(app, "web-1") != one || p.of(app, "web-2") == one {
		t.Error("each revision has one plan")
	}
	for i := range 10 { // a rollout after the other, of which a member has the one before
		app.Status.Placements = []v1.PlacementRow{{Revision: fmt.Sprint("web-", i)}, {Revision: fmt.Sprint("web-", i+1)}}
		before := p.of(app, fmt.Sprint("web-", i))
		p.of(app, fmt.Sprint("web-", i+1))
		if p.of(app, fmt.Sprint("web-", i)) != before {
			t.Error("a revision that a member has was forgotten")
		}
	}
	if n := len(p.apps[app.UID].revisions); n > 3 {
		t.Errorf("%d revisions are remembered, of which members have two", n)
	}
	other := &v1.MyApp{}
	other.UID = "other"
	p.of(other, "web-1")
	p.forget(app.UID)
	if _, ok := p.apps[app.UID]; ok || len(p.apps) != 1 {
		t.Errorf("after one app is gone there are entries of %d, want the other's", len(p.apps))
	}
}

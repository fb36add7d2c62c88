package delivery

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/render"
)

// plans remember what apps render to, and the hashes of their specs, so that a pass
// over one member does not make anew what it has in common with all the others. The
// zero value is ready; it is safe for concurrent use.
type plans struct {
	mu   sync.Mutex
	apps map[types.UID]*appPlans
}

type appPlans struct {
	// version is the resourceVersion of the app whose spec has the hash. Its
	// generation would not do: a hub that is restored gives one to two specs.
	version   string
	specHash  string
	revisions map[string]*render.Plan
}

// of is the plan of a revision of an app. A revision's name says what it renders.
func (p *plans) of(app *v1.MyApp, revision string) *render.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.at(app.UID)
	plan := a.revisions[revision]
	if plan == nil {
		maps.DeleteFunc(a.revisions, func(revision string, _ *render.Plan) bool { return !isPlaced(app, revision) })
		plan = &render.Plan{}
		a.revisions[revision] = plan
	}
	return plan
}

// isPlaced is true for a revision that a member has or gets.
func isPlaced(app *v1.MyApp, revision string) bool {
	return slices.ContainsFunc(app.Status.Placements, func(row v1.PlacementRow) bool { return row.Revision == revision })
}

// specHash is the hash of an app's spec.
func (p *plans) specHash(app *v1.MyApp) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.at(app.UID)
	if a.version == "" || a.version != app.ResourceVersion {
		a.version, a.specHash = app.ResourceVersion, render.SpecHash(&app.Spec)
	}
	return a.specHash
}

// at is the entry of an app. The lock is held.
func (p *plans) at(app types.UID) *appPlans {
	if p.apps == nil {
		p.apps = map[types.UID]*appPlans{}
	}
	a := p.apps[app]
	if a == nil {
		a = &appPlans{revisions: map[string]*render.Plan{}}
		p.apps[app] = a
	}
	return a
}

// forget drops what is remembered of an app that is gone.
func (p *plans) forget(app types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.apps, app)
}

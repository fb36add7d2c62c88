package app

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/quota"
	"github.com/example/myapp-hub/pkg/hub/render"
)

// boundsRecheck is when to look again whether an app that a quota stops fits by now.
const boundsRecheck = 5 * time.Second

// bounds are what the quotas of an app's namespace leave to it; nil if there are none.
type bounds struct {
	quotas []v1.PlacementQuota
	// others is what other apps of the namespace have, version that of the ledger then.
	others  quota.Usage
	version int64
	// has is what the app has, of says what it would have with other rows.
	has quota.Usage
	of  func(rows []v1.PlacementRow) quota.Usage
}

// exceeded says why rows are not allowed, empty if they are.
func (b *bounds) exceeded(rows []v1.PlacementRow) string {
	if b == nil {
		return ""
	}
	return quota.Exceeded(b.quotas, b.others, b.has, b.of(rows))
}

// bounds reads the quotas of a namespace and what its apps have. Without a quota it costs
// a look into the cache.
func (r *Reconciler) bounds(ctx context.Context, s *snapshot) (*bounds, error) {
	quotas, err := quotasOf(ctx, r.Client, s.app.Namespace)
	if err != nil || len(quotas) == 0 {
		r.ledger.Forget(s.app.Namespace)
		return nil, err
	}
	apps, err := r.apps(ctx, s.app.Namespace, quotas, s.fleet)
	if err != nil {
		return nil, err
	}
	b := &bounds{quotas: quotas}
	b.others, b.version = r.ledger.Others(s.app.Namespace, s.app.UID, apps)
	measure := measureOf(ctx, s.app, quotas, s.fleet)
	b.of = func(rows []v1.PlacementRow) quota.Usage {
		return measure.usage(rows, s.specOf)
	}
	b.has = measure.usage(s.app.Status.Placements, s.specOf)
	return b, nil
}

// specOf is the spec that the member of a row was told to run.
func (s *snapshot) specOf(row v1.PlacementRow) *v1.MyAppSpec {
	if row.Revision != s.known().plain.Name {
		for i := range s.revisions {
			if s.revisions[i].Name != row.Revision {
				continue
			}
			if spec, err := render.ParseTemplate(s.revisions[i].Data.Raw); err == nil {
				return &spec
			}
		}
	}
	return &s.app.Spec
}

func quotasOf(ctx context.Context, c client.Reader, namespace string) ([]v1.PlacementQuota, error) {
	var list v1.PlacementQuotaList
	if err := c.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the PlacementQuotas of %s: %w", namespace, err)
	}
	return list.Items, nil
}

// apps are those of a namespace, as the ledger asks for them.
func (r *Reconciler) apps(ctx context.Context, namespace string, quotas []v1.PlacementQuota, fleet *fleet) ([]quota.App, error) {
	var list v1.MyAppList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the apps of %s: %w", namespace, err)
	}
	apps := make([]quota.App, 0, len(list.Items))
	for i := range list.Items {
		app := &list.Items[i]
		apps = append(apps, quota.App{UID: app.UID, Has: func() quota.Usage {
			return measureOf(ctx, app, quotas, fleet).usage(app.Status.Placements, func(v1.PlacementRow) *v1.MyAppSpec { return &app.Spec })
		}})
	}
	return apps, nil
}

// measure says what rows of an app stand for.
type measure struct {
	ctx   context.Context
	app   *v1.MyApp
	fleet *fleet
	// pods is true if what pods request is bounded: else nothing has to be rendered.
	pods bool
}

func measureOf(ctx context.Context, app *v1.MyApp, quotas []v1.PlacementQuota, fleet *fleet) measure {
	m := measure{ctx: ctx, app: app, fleet: fleet}
	for i := range quotas {
		_, cpu := quotas[i].Spec.Hard[v1.QuotaCPU]
		_, memory := quotas[i].Spec.Hard[v1.QuotaMemory]
		m.pods = m.pods || cpu || memory
	}
	return m
}

func (m measure) usage(rows []v1.PlacementRow, spec func(v1.PlacementRow) *v1.MyAppSpec) quota.Usage {
	sum := quota.Usage{}
	for i := range rows {
		its := spec(rows[i])
		most := int32(0)
		if its.Autoscaling != nil {
			most = its.Autoscaling.MaxReplicas
		}
		sum = sum.Plus(quota.Of(rows[i:i+1], func(member string) quota.Requests { return m.requests(its, member) }, most))
	}
	return sum
}

// requests are those of a pod on a member. What cannot be rendered does not come there.
func (m measure) requests(spec *v1.MyAppSpec, member string) quota.Requests {
	if !m.pods {
		return quota.Requests{}
	}
	list, err := render.PodRequests(render.Input{
		Namespace: m.app.Namespace, Name: m.app.Name, UID: m.app.UID, HubID: "-",
		Cluster: m.fleet.clusters[member], Template: render.Template(spec), Replicas: 1,
	})
	if err != nil {
		logf.FromContext(m.ctx).V(1).Info("Cannot tell what pods request", "app", types.NamespacedName{Namespace: m.app.Namespace, Name: m.app.Name}, "member", member, "error", err.Error())
		return quota.Requests{}
	}
	return quota.Requests{CPU: list.Cpu().MilliValue(), Memory: list.Memory().Value()}
}

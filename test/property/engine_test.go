package property

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/agent/health"
	"github.com/example/myapp-hub/pkg/manifest"
)

func checkRule(rule v1.HealthRule) error { return health.CheckRule(rule) }

// engine is an engine with a cache of its own, known to the API server by its
// user agent.
type engine struct {
	*apply.Engine
	agent string
	stop  context.CancelFunc
}

func (w *world) newEngine(ctx context.Context, agent string) *engine {
	w.t.Helper()
	admin := w.cluster.Admin()
	admin.UserAgent, admin.WarningHandler = agent, rest.NoWarnings{}
	httpClient, err := rest.HTTPClientFor(admin)
	if err != nil {
		w.t.Fatal(err)
	}
	mapper, err := apply.NewMapper(admin, httpClient)
	if err != nil {
		w.t.Fatal(err)
	}
	options := apply.CacheOptions(hubID, member, "")
	options.Mapper = mapper
	seen, err := cache.New(admin, options)
	if err != nil {
		w.t.Fatal(err)
	}
	writer, err := metadata.NewForConfigAndClient(admin, httpClient)
	if err != nil {
		w.t.Fatal(err)
	}
	whole, err := dynamic.NewForConfigAndClient(admin, httpClient)
	if err != nil {
		w.t.Fatal(err)
	}
	e := &engine{agent: agent, Engine: apply.New(apply.Config{
		Member: member, Cache: seen, Metadata: writer, Dynamic: whole, Mapper: mapper,
		Discover: func() (meta.RESTMapper, error) { return apply.NewMapper(admin, httpClient) },
		OnChange: func(apply.App, bool) {}, OnSync: func() {}, Unanswered: &apply.Unanswered{},
	})}
	ctx, e.stop = context.WithCancel(ctx)
	go func() { _ = seen.Start(ctx) }()
	if err := e.Start(ctx); err != nil {
		w.t.Fatalf("the engine did not start: %v", err)
	}
	return e
}

// pass is one pass. A kind that is used for the first time has to be listed
// before anything is written.
func (e *engine) pass(ctx context.Context, v *version) (apply.ChangeSet, error) {
	var set apply.ChangeSet
	var failed error
	err := settle(ctx, func() error {
		observed := e.Observe(v.owner)
		set, failed = e.Apply(ctx, v.owner, v.manifests, v.policies, observed)
		if change, ok := set.Trouble(); ok && change.Reason == v1.ReasonUnreadable {
			return errors.New(change.Message)
		}
		return nil
	})
	return set, errors.Join(err, failed)
}

// create applies what is not there.
func (e *engine) create(ctx context.Context, v *version) error {
	set, err := e.pass(ctx, v)
	return errors.Join(err, compare(set, v.manifests, func(manifest.Manifest) apply.Action { return apply.Created }, nil))
}

// again applies what is there already.
func (e *engine) again(ctx context.Context, v *version) error {
	set, err := e.pass(ctx, v)
	for _, c := range set.Changes {
		if c.Unseen {
			err = errors.Join(err, fmt.Errorf("%s: the cache does not show it", c.Object))
		}
	}
	return errors.Join(err, compare(set, v.manifests, func(manifest.Manifest) apply.Action { return apply.Unchanged }, nil))
}

// change applies the next version, which writes only what has other content.
func (e *engine) change(ctx context.Context, now, next *version) error {
	before, after := map[string]string{}, map[string]bool{}
	for _, m := range now.manifests {
		before[m.String()] = m.Hash
	}
	for _, m := range next.manifests {
		after[m.String()] = true
	}
	gone := slices.DeleteFunc(slices.Sorted(maps.Keys(before)), func(object string) bool { return after[object] })
	set, err := e.pass(ctx, next)
	next.writes = set.Writes()
	return errors.Join(err, compare(set, next.manifests, func(m manifest.Manifest) apply.Action {
		switch hash, existed := before[m.String()]; {
		case !existed:
			return apply.Created
		case hash != m.Hash:
			return apply.Updated
		}
		return apply.Unchanged
	}, gone))
}

// compare holds what a pass did against what it was to do.
func compare(set apply.ChangeSet, manifests []manifest.Manifest, want func(manifest.Manifest) apply.Action, gone []string) error {
	var errs []error
	expected := map[string]apply.Action{}
	for _, object := range gone {
		expected[object] = apply.Pruned
	}
	for _, m := range manifests {
		expected[m.String()] = want(m)
	}
	for _, c := range set.Changes {
		if c.Action != expected[c.Object] || c.Reason != "" {
			errs = append(errs, fmt.Errorf("%s: %s, want %s: %s %s %s", c.Object, c.Action, expected[c.Object], c.Reason, c.Message, c.Detail))
		}
		delete(expected, c.Object)
	}
	if len(errs) == 0 && len(expected) > 0 {
		errs = append(errs, fmt.Errorf("nothing was done about %v", expected))
	}
	return errors.Join(errs...)
}

// settled waits until the cache shows the app as it is wanted, and no more of it.
func (e *engine) settled(ctx context.Context, v *version) error {
	return settle(ctx, func() error {
		for _, c := range apply.Compare(v.manifests, e.Observe(v.owner), "", "").Changes {
			if c.Action != apply.Unchanged {
				return errors.New(c.Message)
			}
		}
		if shown := e.StampsOf(types.NamespacedName{Namespace: v.owner.Namespace, Name: v.owner.Name}); len(shown) != len(v.manifests) {
			return fmt.Errorf("the cache shows %d objects, want %d", len(shown), len(v.manifests))
		}
		return nil
	})
}

// remove takes an app off.
func (e *engine) remove(ctx context.Context, v *version) error {
	return settle(ctx, func() error {
		removal, err := e.Remove(ctx, v.owner, v1.DeletionDelete)
		if err == nil && !removal.Done {
			err = fmt.Errorf("left are %v (refused: %v)", removal.Left, removal.Refused)
		}
		return err
	})
}

func uidSuffix(n int) types.UID { return types.UID(fmt.Sprint(n)) }

// lowerPlural is the name of a kind's resource.
func lowerPlural(kind string) string {
	name := strings.ToLower(kind)
	if last, ok := strings.CutSuffix(name, "y"); ok {
		return last + "ies"
	}
	if strings.HasSuffix(name, "s") {
		return name + "es"
	}
	return name + "s"
}

package integration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The engine against the API server of a cluster that nothing else works on.
type engineTest struct {
	t        *testing.T
	c        *fleet.Cluster
	cache    cache.Cache
	engine   *apply.Engine
	owner    apply.Owner
	policies v1.Policies

	// admin is who the engine is on the cluster.
	admin *rest.Config
	// home is the namespace of the member, if it is a namespaced one.
	home string
	// onChange is told the apps whose objects change, unless it is nil.
	onChange func(apply.App)
	// meddle sees every request of the engine before it is sent, and may fail it.
	meddle func(*http.Request) error
	// answer takes the API server's place for a request, unless it is nil.
	answer func(*http.Request) *http.Response
	// held is what the engine asks before it writes, unless it is nil.
	held      func() (string, bool)
	sentinels int
	// life is how long its caches live.
	life context.Context
}

const engineMember = "engine"

func newEngineTest(t *testing.T) *engineTest {
	t.Helper()
	e := newEngineTestOf(t)
	e.restart()
	return e
}

// newEngineTestOf has no engine yet.
func newEngineTestOf(t *testing.T) *engineTest {
	t.Helper()
	e := &engineTest{t: t, c: sharedFleet(t).Cluster(bare), owner: apply.Owner{
		HubID: "hub-1", Namespace: strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")), Name: "web", UID: "uid-1",
		Stamp: manifest.Stamp{Generation: 1, SpecHash: "v1-spec"},
	}}
	e.admin, e.life = e.c.Admin(), t.Context()
	return e
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// restart gives the engine the memory of a new process.
func (e *engineTest) restart() {
	e.t.Helper()
	admin := named(rest.CopyConfig(e.admin), e.owner.Namespace)
	admin.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if e.answer != nil {
				if response := e.answer(r); response != nil {
					return response, nil
				}
			}
			if e.meddle != nil {
				if err := e.meddle(r); err != nil {
					return nil, err
				}
			}
			return next.RoundTrip(r)
		})
	})
	httpClient, err := rest.HTTPClientFor(admin)
	if err != nil {
		e.t.Fatal(err)
	}
	mapper, err := apply.NewMapper(admin, httpClient)
	if err != nil {
		e.t.Fatal(err)
	}
	options := apply.CacheOptions("hub-1", engineMember, e.home)
	options.Mapper = mapper
	if e.cache, err = cache.New(admin, options); err != nil {
		e.t.Fatal(err)
	}
	writer, err := metadata.NewForConfigAndClient(admin, httpClient)
	if err != nil {
		e.t.Fatal(err)
	}
	whole, err := dynamic.NewForConfigAndClient(admin, httpClient)
	if err != nil {
		e.t.Fatal(err)
	}
	e.engine = apply.New(apply.Config{
		Member: engineMember, Namespace: e.home, Cache: e.cache, Metadata: writer, Dynamic: whole, Mapper: mapper,
		Discover: func() (meta.RESTMapper, error) { return apply.NewMapper(admin, httpClient) },
		OnChange: func(app apply.App, _ bool) {
			if e.onChange != nil {
				e.onChange(app)
			}
		},
		OnSync: func() {}, Unanswered: &apply.Unanswered{},
		Held: func() (string, bool) {
			if e.held == nil {
				return "", false
			}
			return e.held()
		},
	})
	go func() { _ = e.cache.Start(e.life) }()
	if err := e.engine.Start(e.life); err != nil {
		e.t.Fatalf("the engine did not start: %v", err)
	}
}

func (e *engineTest) render(edits ...func(*render.Input)) []manifest.Manifest {
	e.t.Helper()
	port := intstr.FromInt32(8080)
	in := render.Input{
		Namespace: e.owner.Namespace, Name: e.owner.Name, UID: e.owner.UID, Stamp: e.owner.Stamp,
		HubID: e.owner.HubID, Cluster: render.Cluster{Name: engineMember, Namespace: e.home}, Replicas: 2,
		Template: v1.MyAppSpec{
			Image:   "registry.example.com/web:1",
			Ports:   []v1.Port{{Name: "http", ContainerPort: 8080}},
			Env:     []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
			Service: &v1.Service{Ports: []v1.ServicePort{{Port: 80, TargetPort: &port}}},
		},
	}
	for _, edit := range edits {
		edit(&in)
	}
	manifests, err := render.Manifests(in)
	if err != nil {
		e.t.Fatal(err)
	}
	return manifests
}

func (e *engineTest) observe() apply.Observed { return e.engine.Observe(e.owner) }

func (e *engineTest) apply(manifests []manifest.Manifest, observed apply.Observed) apply.ChangeSet {
	e.t.Helper()
	set, err := e.engine.Apply(e.t.Context(), e.owner, manifests, e.policies, observed)
	if err != nil {
		e.t.Fatalf("applying: %v", err)
	}
	return set
}

// cached waits until the cache shows the manifests' content.
func (e *engineTest) cached(manifests []manifest.Manifest) {
	e.t.Helper()
	fleet.Eventually(e.t, soon, "the cache to show what was applied", func(context.Context) error {
		for _, c := range apply.Compare(manifests, e.observe(), "", "").Changes {
			if c.Action != apply.Unchanged {
				return errors.New(c.Message)
			}
		}
		return nil
	})
}

// pass is one pass on a fresh observation.
func (e *engineTest) pass(manifests []manifest.Manifest) apply.ChangeSet {
	e.t.Helper()
	return e.apply(manifests, e.observe())
}

// watched makes passes until the kinds of the manifests are watched.
func (e *engineTest) watched(manifests []manifest.Manifest) {
	e.t.Helper()
	fleet.Eventually(e.t, soon, "the kinds to be watched", func(context.Context) error {
		if trouble, _ := e.pass(manifests).Trouble(); trouble.Reason == v1.ReasonUnreadable {
			return errors.New(trouble.Message)
		}
		return nil
	})
}

// settle makes passes until the cache shows everything as wanted. Until a kind
// has been listed, a pass is refused.
func (e *engineTest) settle(manifests []manifest.Manifest) {
	e.t.Helper()
	fleet.Eventually(e.t, soon, "everything to be as wanted", func(context.Context) error {
		for _, c := range e.pass(manifests).Changes {
			if c.Action != apply.Unchanged || c.Unseen {
				return fmt.Errorf("%+v", c)
			}
		}
		return nil
	})
}

// noticed makes passes until one finds an object that is not as wanted, and is
// what that pass did about it.
func (e *engineTest) noticed(manifests []manifest.Manifest) apply.Change {
	e.t.Helper()
	var found apply.Change
	fleet.Eventually(e.t, soon, "the engine to notice", func(context.Context) error {
		changes := e.pass(manifests).Changes
		i := slices.IndexFunc(changes, func(c apply.Change) bool { return c.Action != apply.Unchanged })
		if i < 0 {
			return errors.New("all is as wanted")
		}
		found = changes[i]
		return nil
	})
	return found
}

// requests are what the engine has asked about objects since the mark, such as
// "patch deployments".
func (e *engineTest) requests(mark int64) []string {
	e.t.Helper()
	e.sentinels++
	sentinel := fmt.Sprintf("sentinel-%d", e.sentinels)
	err := e.c.Client().Get(e.t.Context(), client.ObjectKey{Namespace: e.owner.Namespace, Name: sentinel}, &corev1.ConfigMap{})
	if !apierrors.IsNotFound(err) {
		e.t.Fatalf("the sentinel of the audit log: %v", err)
	}
	var asked []string
	fleet.Eventually(e.t, soon, "the audit log to be written", func(context.Context) error {
		events, err := e.c.AuditSince(mark)
		if err != nil {
			return err
		}
		asked = nil
		for _, ev := range events {
			if ev.Namespace == e.owner.Namespace && ev.Name == sentinel {
				return nil
			}
			// What every engine does when it starts, or when it writes for the first time.
			once := ev.Resource == "selfsubjectrulesreviews" || ev.Verb == "watch" || ev.Verb == "list" && ev.Namespace == "" || ev.Verb == "get" && ev.Name == "myapp-hub-inventory"
			if ev.UserAgent == e.owner.Namespace && ev.Resource != "" && !once {
				asked = append(asked, ev.Verb+" "+ev.Resource)
			}
		}
		return errors.New("the sentinel is not in it")
	})
	return asked
}

// asks fails the test unless the engine has made exactly these requests since
// the mark.
func (e *engineTest) asks(mark int64, want ...string) {
	e.t.Helper()
	if got := e.requests(mark); !slices.Equal(got, want) {
		e.t.Errorf("the engine asked %q, want %q", got, want)
	}
}

// edit changes an object as another field manager: by a JSON patch, or by one
// that is merged as kubectl edit does it.
func (e *engineTest) edit(m manifest.Manifest, patch string) {
	e.t.Helper()
	kind := types.StrategicMergePatchType
	if strings.HasPrefix(patch, "[") {
		kind = types.JSONPatchType
	} else if strings.Contains(m.GVK.Group, "example.com") {
		kind = types.MergePatchType
	}
	if err := e.c.Client().Patch(e.t.Context(), reference(m), client.RawPatch(kind, []byte(patch)), client.FieldOwner(kubectlEdit)); err != nil {
		e.t.Fatalf("%s: %v", patch, err)
	}
}

// live is the object of the manifest as the cluster has it.
func (e *engineTest) live(m manifest.Manifest) *unstructured.Unstructured {
	e.t.Helper()
	u := reference(m)
	if err := e.c.Client().Get(e.t.Context(), client.ObjectKeyFromObject(u), u); err != nil {
		e.t.Fatal(err)
	}
	return u
}

// deployment is the app's Deployment as the cluster has it.
func (e *engineTest) deployment() *appsv1.Deployment {
	e.t.Helper()
	d := &appsv1.Deployment{}
	if err := e.c.Client().Get(e.t.Context(), key(cmp.Or(e.home, e.owner.Namespace), e.owner.Name), d); err != nil {
		e.t.Fatal(err)
	}
	return d
}

// seen waits until the cache shows the app's Deployment as it is now.
func (e *engineTest) seen() {
	e.t.Helper()
	now := e.deployment().ResourceVersion
	fleet.Eventually(e.t, soon, "the cache to show the Deployment", func(context.Context) error {
		if d := e.observe().Deployment(e.owner.Name); d == nil || d.ResourceVersion != now {
			return errors.New("it shows another version")
		}
		return nil
	})
}

func reference(m manifest.Manifest) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(m.GVK)
	u.SetNamespace(m.Namespace)
	u.SetName(m.Name)
	return u
}

// only is the manifest of a kind.
func only(t *testing.T, manifests []manifest.Manifest, kind string) manifest.Manifest {
	t.Helper()
	i := slices.IndexFunc(manifests, func(m manifest.Manifest) bool { return m.GVK.Kind == kind })
	if i < 0 {
		t.Fatalf("no %s is rendered", kind)
	}
	return manifests[i]
}

// says fails the test unless the text has all the parts.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}

func actions(set apply.ChangeSet) (actions []apply.Action) {
	for _, c := range set.Changes {
		actions = append(actions, c.Action)
	}
	return actions
}

// removed removes the app until that is done: the cache may show for a while what
// is gone.
func (e *engineTest) removed() {
	e.t.Helper()
	fleet.Eventually(e.t, soon, "the removal to be done", func(ctx context.Context) error {
		removal, err := e.engine.Remove(ctx, e.owner, v1.DeletionDelete)
		if err == nil && !removal.Done {
			err = fmt.Errorf("left are %q", removal.Left)
		}
		return err
	})
}

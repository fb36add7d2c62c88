package property

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// workers apply at the same time.
const workers = 8

// world is what the apps live in: a hub that admits them and a member on which
// nothing but engines works.
type world struct {
	t       *testing.T
	seed    uint64
	size    sizes
	hub     client.Client
	cluster *fleet.Cluster
	objects dynamic.Interface
	engine  *engine
	done    totals
}

// life is one app from its first spec to its removal.
type life struct {
	index int
	dice  dice
	// now is the first version; next, if there is one, the changed one.
	now, next *version
	what      string
	limited   bool
	step      string
	failed    error
}

func (l *life) last() *version {
	if l.next != nil {
		return l.next
	}
	return l.now
}

// version is an app with one spec.
type version struct {
	spec    obj
	cluster render.Cluster
	secrets map[string]*corev1.Secret
	owner   apply.Owner

	policies  v1.Policies
	manifests []manifest.Manifest
	writes    int
}

func newWorld(t *testing.T, f *fleet.Fleet, seed uint64, size sizes) *world {
	t.Helper()
	w := &world{t: t, seed: seed, size: size, hub: f.Cluster(fleet.HubName).Client(), cluster: f.Cluster(bare)}
	var err error
	admin := w.cluster.Admin()
	admin.WarningHandler = rest.NoWarnings{}
	if w.objects, err = dynamic.NewForConfig(admin); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/widgets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	crd := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &crd.Object); err != nil {
		t.Fatal(err)
	}
	if err := w.cluster.Apply(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	fleet.Eventually(t, soon, "the CRD to be served", func(ctx context.Context) error {
		_, err := w.objects.Resource(widgets).List(ctx, metav1.ListOptions{})
		return err
	})
	w.engine = w.newEngine(t.Context(), "engine")
	return w
}

func (w *world) newLife(index int, namespace string) *life {
	l := &life{index: index, dice: newDice(w.seed, uint64(index))} //nolint:gosec // an index
	name := fmt.Sprintf("app-%d", index)
	if l.dice.chance(10) {
		name += strings.Repeat("-x", (63-len(name))/2)
	}
	l.now = &version{
		spec: makeSpec(l.dice, name), cluster: l.dice.cluster(), secrets: l.dice.secrets(),
		owner: apply.Owner{HubID: hubID, Namespace: namespace, Name: name, UID: types.UID(fmt.Sprintf("uid-%d", index)), Stamp: manifest.Stamp{Generation: 1}},
	}
	return l
}

// cluster has all labels and properties that specs may ask for.
func (d dice) cluster() render.Cluster {
	c := render.Cluster{
		Name: member, Labels: map[string]string{"region": pick(d, "eu", "us")},
		Properties: map[string]v1.PropertyValue{
			"domain":   v1.PropertyValue(pick(d, "eu-1.example.com", "", "$(HOME) $$ ü \"x\"", "line\nbreak")),
			"registry": v1.PropertyValue(pick(d, "registry.example.com", "mirror.eu:5000/hub")),
		},
	}
	if d.chance(50) {
		c.Labels["example.org/tier"] = "edge"
	}
	return c
}

func (d dice) secrets() map[string]*corev1.Secret {
	secrets := map[string]*corev1.Secret{
		"db":                   {Type: pick(d, "", corev1.SecretTypeOpaque), Data: map[string][]byte{"password": []byte(d.text()), "bin": {0, 0xff}}},
		"tls":                  {Type: corev1.SecretTypeTLS, Data: map[string][]byte{corev1.TLSCertKey: {}, corev1.TLSPrivateKeyKey: []byte("k")}},
		"registry.example.com": {Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{}}`)}},
	}
	if d.chance(30) {
		secrets["db"].Data = nil
	}
	return secrets
}

// each does a step for all apps that have not failed.
func (w *world) each(apps []*life, step string, do func(*life) error) {
	w.t.Helper()
	var group errgroup.Group
	group.SetLimit(workers)
	started := time.Now()
	for _, l := range apps {
		if l.failed != nil {
			continue
		}
		group.Go(func() error {
			if err := do(l); err != nil {
				l.step, l.failed = step, err
			}
			return nil
		})
	}
	_ = group.Wait() // errors are the apps' own
	if testing.Verbose() {
		fmt.Fprintf(w.t.Output(), "%9.2f s  %s\n", time.Since(started).Seconds(), step)
	}
}

func (w *world) anyFailed(apps []*life) bool {
	for _, l := range apps {
		if l.failed != nil {
			return true
		}
	}
	return false
}

// prepare takes a spec to manifests as the hub does: the API server admits it and
// fills in defaults, Validate has nothing against it, the template is stored and
// read back, and rendered; and rendering again gives the same bytes.
func (w *world) prepare(ctx context.Context, v *version) error {
	app, err := w.admit(ctx, v)
	if err != nil {
		return err
	}
	v.owner.Stamp.SpecHash = render.SpecHash(&app.Spec)
	v.policies = render.Policies(&app.Spec)
	revision, err := render.RevisionOf(app.Name, v.owner.UID, &app.Spec, 0)
	if err != nil {
		return err
	}
	for try := range 2 {
		template, err := render.ParseTemplate(revision.Data)
		if err != nil {
			return err
		}
		manifests, err := v.render(render.Input{
			Namespace: v.owner.Namespace, Name: v.owner.Name, UID: v.owner.UID, Stamp: v.owner.Stamp, HubID: hubID,
			Cluster: v.cluster, Template: template, Replicas: render.Replicas(&app.Spec, v.cluster),
		})
		if err != nil {
			return err
		}
		for i := range v.manifests {
			if try == 1 && (len(manifests) != len(v.manifests) || !bytes.Equal(manifests[i].Raw, v.manifests[i].Raw)) {
				return fmt.Errorf("rendered again it is other bytes:\n%s\n%s", v.manifests[i].Raw, manifests[min(i, len(manifests)-1)].Raw)
			}
		}
		v.manifests = manifests
	}
	return nil
}

var errNotAdmitted = errors.New("not admitted")

func (w *world) admit(ctx context.Context, v *version) (*v1.MyApp, error) {
	o := &unstructured.Unstructured{Object: copied(obj{
		"apiVersion": v1.GroupVersion.String(), "kind": "MyApp", "metadata": obj{"namespace": "default", "name": v.owner.Name}, "spec": v.spec,
	})}
	if err := w.hub.Create(ctx, o, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
		return nil, fmt.Errorf("%w by the API server: %w", errNotAdmitted, err)
	}
	data, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	app := &v1.MyApp{}
	if err := json.Unmarshal(data, app); err != nil {
		return nil, err
	}
	if errs := render.Validate(app, checkRule); len(errs) > 0 {
		return nil, fmt.Errorf("%w by Validate: %w", errNotAdmitted, errs.ToAggregate())
	}
	return app, nil
}

// render is what the hub gives to the engine, its Secrets filled.
func (v *version) render(in render.Input) ([]manifest.Manifest, error) {
	out, err := render.Render(in)
	if err != nil {
		return nil, err
	}
	filled := make([]manifest.Manifest, 0, len(out.Manifests))
	for _, m := range out.Manifests {
		for _, c := range out.Secrets {
			if !m.IsSecret() || m.Name != c.Name {
				continue
			}
			source := v.secrets[c.Source]
			if source == nil && !c.Optional {
				source = &corev1.Secret{Data: map[string][]byte{"k": []byte("made")}}
			}
			if source == nil {
				m = manifest.Manifest{}
			} else if m, err = manifest.Fill(m, source); err != nil {
				return nil, err
			}
			break
		}
		if m.Name != "" {
			filled = append(filled, m)
		}
	}
	return filled, nil
}

// left are the objects of the hub in a namespace.
func (w *world) left(ctx context.Context, namespace string) []string {
	w.t.Helper()
	var left []string
	for _, r := range resources {
		found, err := w.objects.Resource(r).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: v1.LabelManagedBy + "=" + v1.ManagedBy})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, o := range found.Items {
			left = append(left, o.GetKind()+" "+o.GetName())
		}
	}
	return left
}

// requests are what an engine has asked since the mark, but for its watches.
func (w *world) requests(ctx context.Context, mark int64, agent string) []string {
	w.t.Helper()
	// What is logged before the answer to this request was asked before it.
	sentinel := fmt.Sprintf("sentinel-%d", mark)
	_, _ = w.objects.Resource(configMaps).Namespace("default").Get(ctx, sentinel, metav1.GetOptions{})
	var asked []string
	fleet.Eventually(w.t, soon, "the audit log", func(context.Context) error {
		events, err := w.cluster.AuditSince(mark)
		if err != nil {
			return err
		}
		asked = nil
		for _, ev := range events {
			switch {
			case ev.Name == sentinel:
				return nil
			case ev.UserAgent == agent && ev.Verb != "watch" && ev.Verb != "list":
				asked = append(asked, fmt.Sprintf("%s %s %s/%s: %d", ev.Verb, ev.Resource, ev.Namespace, ev.Name, ev.Code))
			}
		}
		return fmt.Errorf("%s is not in it", sentinel)
	})
	return asked
}

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	widgets    = schema.GroupVersionResource{Group: "property.example.org", Version: "v1", Resource: "widgets"}
	// resources are those of all objects that specs make.
	resources = []schema.GroupVersionResource{
		configMaps, widgets,
		{Version: "v1", Resource: "serviceaccounts"}, {Version: "v1", Resource: "secrets"}, {Version: "v1", Resource: "services"},
		{Version: "v1", Resource: "resourcequotas"}, {Version: "v1", Resource: "limitranges"},
		{Group: "apps", Version: "v1", Resource: "deployments"}, {Group: "apps", Version: "v1", Resource: "statefulsets"},
		{Group: "batch", Version: "v1", Resource: "jobs"}, {Group: "batch", Version: "v1", Resource: "cronjobs"},
		{Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"}, {Group: "networking.k8s.io", Version: "v1", Resource: "ingresses"},
		{Group: "policy", Version: "v1", Resource: "poddisruptionbudgets"}, {Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"},
		{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}, {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
		{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"},
	}
)

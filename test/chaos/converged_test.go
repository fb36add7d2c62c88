package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// converged waits until the hub and every member have exactly what was asked
// for: every app is Ready, or says what is in its way; every object is there and
// has the content that its app renders to, and there is no other.
func (w *world) converged(timeout time.Duration) {
	w.t.Helper()
	var last string
	fleet.Eventually(w.t, timeout, "what was asked for", func(ctx context.Context) error {
		err := w.appsSettled(ctx)
		if err == nil {
			err = w.objectsExact(ctx)
		}
		if err == nil {
			err = w.mailboxesExact(ctx, true)
		}
		if err != nil {
			last = err.Error()
		}
		return err
	})
	w.t.Logf("the last to come: %s", last)
	for _, m := range w.members {
		for _, name := range slices.Sorted(maps.Keys(w.apps)) {
			if err := w.asRendered(w.t.Context(), m, w.apps[name]); err != nil {
				w.t.Error(err)
			}
		}
	}
}

// appsSettled says which MyApp is not as it should be, or should not be.
func (w *world) appsSettled(ctx context.Context) error {
	var list v1.MyAppList
	if err := w.f.Cluster(fleet.HubName).Client().List(ctx, &list); err != nil {
		return err
	}
	for i := range list.Items {
		app := &list.Items[i]
		wanted := w.apps[app.Name]
		if wanted == nil || wanted.uid != app.UID {
			return fmt.Errorf("MyApp %s is not gone: %s", app.Name, expect.Summary(app))
		}
		check := func(app *v1.MyApp) error { return expect.IsReady(app, slices.Clone(w.members)...) }
		if wanted.blocked != "" {
			check = w.isBlocked
		}
		if err := check(app); err != nil {
			return fmt.Errorf("MyApp %s: %w; %s", app.Name, err, expect.Summary(app))
		}
		if !meta.IsStatusConditionFalse(app.Status.Conditions, v1.ConditionHeld) {
			return fmt.Errorf("MyApp %s is held: %s", app.Name, expect.Summary(app))
		}
	}
	if len(list.Items) != len(w.apps) {
		return fmt.Errorf("there are %d MyApps, want %d", len(list.Items), len(w.apps))
	}
	return nil
}

func (w *world) isBlocked(app *v1.MyApp) error {
	if app.Status.ObservedGeneration != app.Generation || len(app.Status.Placements) != len(w.members) {
		return fmt.Errorf("generation %d is not observed", app.Generation)
	}
	for _, row := range app.Status.Placements {
		if row.Reason != v1.ReasonNotOwned {
			return fmt.Errorf("%s says %q and not that the object is not the app's", row.Cluster, row.Reason)
		}
	}
	return nil
}

// objectsExact compares what the members have with what they are to have.
func (w *world) objectsExact(ctx context.Context) error {
	var want []string
	for _, app := range w.apps {
		for _, o := range app.objects() {
			want = append(want, o.String())
		}
	}
	slices.Sort(want)
	for _, m := range w.members {
		have, err := w.objectsOn(ctx, m)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, have); diff != "" {
			return fmt.Errorf("%s (-want +has):\n%s", m, diff)
		}
	}
	return nil
}

// objectsOn names all that a member has in the namespace, but for what others
// have made.
func (w *world) objectsOn(ctx context.Context, member string) ([]string, error) {
	var have []string
	for _, gvk := range expect.Kinds() {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(gvk)
		if err := w.f.Cluster(member).Client().List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("listing the %ss of %s: %w", gvk.Kind, member, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if o.GetLabels()[v1.LabelManagedBy] == "" && o.GetName() == "default" || w.others.has(member, o) {
				continue
			}
			have = append(have, gvk.Kind+" "+o.GetName())
		}
	}
	slices.Sort(have)
	return have, nil
}

// mailboxesExact compares the Works and Secrets in the mailboxes with the apps.
// With collected, what only the hub's garbage collector still has to take is not
// looked at: it may take half a minute to learn that there are Works.
func (w *world) mailboxesExact(ctx context.Context, collected bool) error {
	var want, have []string
	for _, m := range w.members {
		if w.f.Agent(m) == nil {
			continue
		}
		box := v1.MailboxNamespace(m)
		for _, app := range w.apps {
			want = append(want, "Work "+box+"/"+app.work())
			if app.has[secret] {
				want = append(want, "Secret "+box+"/"+app.work()+"."+app.of(secret)[0].name)
			}
		}
	}
	hub := w.f.Cluster(fleet.HubName).Client()
	var works v1.WorkList
	if err := hub.List(ctx, &works); err != nil {
		return err
	}
	owners := map[types.UID]bool{}
	for i := range works.Items {
		owners[works.Items[i].UID] = true
		have = append(have, "Work "+works.Items[i].Namespace+"/"+works.Items[i].Name)
	}
	var secrets corev1.SecretList
	if err := hub.List(ctx, &secrets); err != nil {
		return err
	}
	for i := range secrets.Items {
		if name := secrets.Items[i].Name; name == v1.CredentialSecret || name == v1.JoinSecret {
			continue // of the agent, not of an app
		}
		s := &secrets.Items[i]
		if !strings.HasPrefix(s.Namespace, v1.MailboxPrefix) || collected && len(s.OwnerReferences) == 1 && !owners[s.OwnerReferences[0].UID] {
			continue
		}
		have = append(have, "Secret "+s.Namespace+"/"+s.Name)
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		return fmt.Errorf("mailboxes (-want +have):\n%s", diff)
	}
	return nil
}

// asRendered says which object of an app on a member is not what the app renders
// to: an apply of that would change it.
func (w *world) asRendered(ctx context.Context, member string, app *wish) error {
	c := w.f.Cluster(member)
	for _, wanted := range app.objects() {
		live, err := expect.Object(ctx, c, wanted.kind, key(wanted.name))
		if err != nil || live == nil {
			return fmt.Errorf("%s of %s on %s: it is not there (%w)", wanted, app.name, member, err)
		}
		m, err := w.rendered(ctx, member, app, live)
		if err != nil {
			return err
		}
		after := &unstructured.Unstructured{}
		if err := after.UnmarshalJSON(m.Raw); err != nil {
			return err
		}
		err = c.Client().Apply(ctx, client.ApplyConfigurationFromUnstructured(after), client.DryRunAll, client.FieldOwner(v1.FieldManager), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("trying to apply %s on %s: %w", m, member, err)
		}
		for _, o := range []*unstructured.Unstructured{live, after} {
			o.SetManagedFields(nil)
			o.SetResourceVersion("")
			unstructured.RemoveNestedField(o.Object, "status")
			if app.has[scaler] && wanted.kind == "Deployment" {
				// The number is the autoscaler's, and what was kept of it is noted.
				unstructured.RemoveNestedField(o.Object, "spec", "replicas")
				unstructured.RemoveNestedField(o.Object, "metadata", "annotations", v1.AnnotationKeptReplicas)
				o.SetGeneration(0)
			}
		}
		if diff := cmp.Diff(after.Object, live.Object); diff != "" {
			return fmt.Errorf("%s on %s is not as rendered (-want +is):\n%s", m, member, diff)
		}
	}
	return nil
}

// rendered is what the app's object has to be, with the stamps that it has: they
// tell when it was last written.
func (w *world) rendered(ctx context.Context, member string, app *wish, live *unstructured.Unstructured) (manifest.Manifest, error) {
	hub := w.f.Cluster(fleet.HubName).Client()
	var a v1.MyApp
	if err := hub.Get(ctx, key(app.name), &a); err != nil {
		return manifest.Manifest{}, err
	}
	all, err := render.Manifests(render.Input{
		Namespace: namespace, Name: app.name, UID: a.UID,
		Stamp: manifest.StampOf(live.GetAnnotations()), HubID: live.GetLabels()[v1.LabelHubID],
		Cluster:  render.Cluster{Name: member, Labels: w.f.Cluster(member).Member().Labels},
		Template: render.Template(&a.Spec), Replicas: app.replicas,
	})
	if err != nil {
		return manifest.Manifest{}, err
	}
	for _, m := range all {
		if m.GVK.Kind != live.GetKind() || m.Name != live.GetName() {
			continue
		}
		if !m.IsSecret() {
			return m, nil
		}
		var source corev1.Secret
		if err := hub.Get(ctx, key(credentials), &source); err != nil {
			return manifest.Manifest{}, err
		}
		return manifest.Fill(m, &source)
	}
	return manifest.Manifest{}, fmt.Errorf("%s %s is not rendered", live.GetKind(), live.GetName())
}

package chaos

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// A Pull member whose MemberCluster is gone is given up by name, before or after
// the app is deleted. The mailbox then orders the app to leave and has no Secrets
// of it; on the member nothing changes before an agent carries that out.
func TestGivenUpPullMember(t *testing.T) {
	shareMachine(t)
	f := fleet.Start(t, fleet.Push("push-1"), fleet.Pull("pull-1"), labelled("push-1"), labelled("pull-1"))
	w := newWorld(t, f, seed(t), "push-1", "pull-1")
	hub := f.Cluster(fleet.HubName).Client()
	giveUp := func(name string) {
		expect.Edit(t, f, key(name), func(a *v1.MyApp) { metav1.SetMetaDataAnnotation(&a.ObjectMeta, v1.AnnotationForceRemove, "pull-1") })
	}
	early, late := everything("early"), everything("late")
	w.create(early)
	w.create(late)
	w.converged(soon)
	before, err := w.objectsOn(t.Context(), "pull-1")
	if err != nil {
		t.Fatal(err)
	}

	if err := f.Agent("pull-1").Stop(); err != nil {
		t.Fatal(err)
	}
	member := &v1.MemberCluster{}
	if err := hub.Get(t.Context(), client.ObjectKey{Name: "pull-1"}, member); err != nil {
		t.Fatal(err)
	}
	if err := hub.Delete(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	giveUp(early.name)
	w.remove(early)
	w.remove(late)
	expect.That(t, f, soon, key(late.name), "waits for the member", func(a *v1.MyApp) error {
		if row := expect.Row(a, "pull-1"); row == nil || row.State != v1.PlacementRemoving {
			return fmt.Errorf("the row is %+v", row)
		}
		return nil
	})
	if work := w.workOf(t, late); work.Spec.State != v1.WorkPresent {
		t.Errorf("the Work of an app whose member nobody gave up is %s", work.Spec.State)
	}
	giveUp(late.name)
	fleet.Eventually(t, soon, "the apps to be gone", func(context.Context) error {
		if !w.isGone(early.name) || !w.isGone(late.name) {
			return errors.New("they are not")
		}
		return nil
	})
	for _, app := range []*wish{early, late} {
		if work := w.workOf(t, app); work.Spec.State != v1.WorkRemoved {
			t.Errorf("the Work of %s, which is gone, is %s", app.name, work.Spec.State)
		}
	}
	fleet.Eventually(t, soon, "the mailbox to have no Secrets", func(ctx context.Context) error {
		var secrets corev1.SecretList
		err := hub.List(ctx, &secrets, client.InNamespace(v1.MailboxNamespace("pull-1")), client.HasLabels{v1.LabelAppUID})
		if err == nil && len(secrets.Items) > 0 {
			err = fmt.Errorf("it has %d", len(secrets.Items))
		}
		return err
	})
	after, err := w.objectsOn(t.Context(), "pull-1")
	if diff := cmp.Diff(before, after); err != nil || diff != "" {
		t.Errorf("the member, %v (-before +after):\n%s", err, diff)
	}

	member.UID, member.ResourceVersion = "", ""
	if err := hub.Create(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	if err := f.Agent("pull-1").Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.converged(soon)
}

func (w *world) workOf(t *testing.T, app *wish) *v1.Work {
	t.Helper()
	work := &v1.Work{}
	at := client.ObjectKey{Namespace: v1.MailboxNamespace("pull-1"), Name: app.work()}
	if err := w.f.Cluster(fleet.HubName).Client().Get(t.Context(), at, work); err != nil {
		t.Fatal(err)
	}
	return work
}

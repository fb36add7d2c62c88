package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	rotations   = 10
	rotatedApps = 10
)

// A member's credential is replaced again and again while requests with the old
// one are under way: none is lost for good and none is made twice.
func TestCredentialIsReplacedUnderLoad(t *testing.T) {
	f := sharedFleet(t)
	const member = "push-3"
	c := f.Cluster(member)
	secret := kubeconfigSecret(member)
	if err := f.Cluster(fleet.HubName).Client().Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		t.Fatal(err)
	}
	rotate := func() {
		t.Helper()
		token, err := c.Token(t.Context(), fleet.HubNamespace, "myapp-hub", 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		config, err := c.KubeconfigFor(token, true)
		if err != nil {
			t.Fatal(err)
		}
		putSecret(t, f, secret.Name, map[string][]byte{"kubeconfig": config})
	}

	calm := namespace(t, f)
	busy := calm + "-busy"
	expect.Namespace(t, f, busy)
	var quiet, changed []types.NamespacedName
	for i := range rotatedApps {
		quiet = append(quiet, key(calm, fmt.Sprintf("app-%d", i)))
		changed = append(changed, key(busy, fmt.Sprintf("app-%d", i)))
		expect.Create(t, f, expect.App(calm, quiet[i].Name, expect.WithService, expect.On(member)))
	}
	for _, app := range quiet {
		expect.Ready(t, f, soon, app, member)
	}
	before, err := uids(t.Context(), f, member, calm)
	if err != nil || len(before) != 3*rotatedApps {
		t.Fatalf("%d objects on %s, want %d (%v)", len(before), member, 3*rotatedApps, err)
	}

	mark := markAll(f, member)
	for i := range rotations {
		expect.Create(t, f, expect.App(busy, changed[i%rotatedApps].Name, expect.WithService, expect.On(member)))
		rotate()
		if i > 0 {
			expect.Edit(t, f, changed[i-1], func(a *v1.MyApp) { a.Spec.Image = "registry.example.com/web:2" })
		}
	}
	for _, app := range append(quiet, changed...) {
		expect.Ready(t, f, soon, app, member)
	}
	after, err := uids(t.Context(), f, member, calm)
	if diff := cmp.Diff(before, after); err != nil || diff != "" {
		t.Errorf("apps that nobody changed (-before +after):\n%s (%v)", diff, err)
	}
	if objects := expect.Objects(t, f, member, busy); len(objects) != 2*rotatedApps {
		t.Errorf("%s has %v; want a Deployment and a Service for each of %d apps", member, objects, rotatedApps)
	}
	created := map[string]int{}
	for _, e := range expect.Writes(mark.since(t, f, member)) {
		switch {
		case e.Namespace == calm:
			t.Errorf("an app that nobody changed was written: %s %s/%s", e.Verb, e.Resource, e.Name)
		case e.Code == 201 && e.Namespace == busy:
			created[e.Resource+" "+e.Name]++
		case e.Verb == "delete":
			t.Errorf("%s %s/%s was deleted", e.Resource, e.Namespace, e.Name)
		}
	}
	for object, times := range created {
		if times != 1 || len(created) != 2*rotatedApps {
			t.Errorf("%s was created %d times; %d objects were created, want %d", object, times, len(created), 2*rotatedApps)
		}
	}
	for _, app := range append(quiet, changed...) {
		expect.Delete(t, f, app)
	}
	for _, app := range append(quiet, changed...) {
		expect.Gone(t, f, soon, app, member)
	}
	fleet.Eventually(t, soon, "the member to be Ready", func(ctx context.Context) error {
		m := &v1.MemberCluster{}
		if err := f.Cluster(fleet.HubName).Client().Get(ctx, key("", member), m); err != nil {
			return err
		}
		if len(m.Status.Conditions) != 1 || m.Status.Conditions[0].Status != metav1.ConditionTrue {
			return fmt.Errorf("it is %+v", m.Status.Conditions)
		}
		return nil
	})
}

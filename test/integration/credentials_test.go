package integration

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/attack"
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
	var used []*rest.Config // every credential the hub has had
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
		used = append(used, c.ConfigFor(token, true))
	}
	first, err := clientcmd.RESTConfigFromKubeConfig(secret.Data["kubeconfig"])
	if err != nil {
		t.Fatal(err)
	}
	used = append(used, first)

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
		case e.Code == 201 && e.Namespace == busy && e.Resource != "namespaces":
			created[e.Resource+" "+e.Name]++
		case e.Verb == "delete":
			t.Errorf("%s %s/%s was deleted", e.Resource, e.Namespace, e.Name)
		}
	}
	for object, times := range created {
		if times != 1 {
			t.Errorf("%s was created %d times", object, times)
		}
	}
	if len(created) != 2*rotatedApps {
		t.Errorf("%d objects were created, want %d", len(created), 2*rotatedApps)
	}

	// Now all credentials but the next become worthless. An API server may know
	// a token for some seconds longer.
	old := used
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: fleet.HubNamespace, Name: "myapp-hub"}}
	if err := c.Client().Delete(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	if err := c.Client().Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	rotate()
	fleet.Eventually(t, soon, "the old credentials to be refused", func(context.Context) error {
		for i, config := range old {
			if status, _ := attack.Get("/version").Do(t, config); status != http.StatusUnauthorized {
				return fmt.Errorf("the answer to credential %d is %d", i, status)
			}
		}
		return nil
	})
	expect.Edit(t, f, changed[0], func(a *v1.MyApp) { a.Spec.Image = "registry.example.com/web:3" })
	expect.Ready(t, f, soon, changed[0], member)
	memberIs(t, f, member, metav1.ConditionTrue, v1.ReasonConnected)

	for _, app := range append(quiet, changed...) {
		expect.Delete(t, f, app)
	}
	for _, app := range append(quiet, changed...) {
		expect.Gone(t, f, soon, app, member)
	}
}

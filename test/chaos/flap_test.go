package chaos

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// A member flaps: its API server dies and comes back. Afterwards the hub has no
// more goroutines, open files (connections are files) and parked requests than
// before, and works on the member as before.
func TestFlappingMember(t *testing.T) {
	shareMachine(t)
	f := fleet.Start(t, fleet.Bare("flaps"), labelled("flaps"), fleet.Push("steady"), labelled("steady"))
	expect.Namespace(t, f, namespace)
	for i := range 5 {
		expect.Create(t, f, expect.App(namespace, fmt.Sprintf("app-%d", i), expect.On("flaps")))
	}
	expect.Create(t, f, expect.App(namespace, "steady", expect.On("steady")))
	expect.Ready(t, f, 30*time.Second, key("steady"), "steady")
	read := metricsReader(t, f)
	// The first flap warms up what is made once.
	flap(t, f, "flaps")
	before := quiet(t, read)

	flaps := times(3, 100)
	for range flaps {
		flap(t, f, "flaps")
	}
	fleet.Eventually(t, time.Minute, "the hub to be as it was before the flaps", func(ctx context.Context) error {
		after, err := read(ctx)
		if err != nil {
			return err
		}
		for name, was := range before {
			// A few goroutines and files come and go with timers and requests.
			if slack := map[string]float64{"go_goroutines": 8, "process_open_fds": 4}[name]; after[name] > was+slack {
				return fmt.Errorf("%s is %v, and was %v before %d flaps", name, after[name], was, flaps)
			}
		}
		return nil
	})
	after, err := read(t.Context())
	t.Logf("%d flaps; before: %v; after: %v (%v)", flaps, before, after, err)
	expect.Edit(t, f, key("app-0"), func(a *v1.MyApp) { a.Spec.Image = "registry.example.com/web:2" })
	fleet.Eventually(t, 30*time.Second, "an edit to reach the member", func(context.Context) error {
		if image := expect.Deployment(t, f, "flaps", key("app-0")).Spec.Template.Spec.Containers[0].Image; image != "registry.example.com/web:2" {
			return fmt.Errorf("it runs %s", image)
		}
		return nil
	})
}

// flap kills a member's API server, waits until the hub has noticed, and brings
// it back.
func flap(t *testing.T, f *fleet.Fleet, member string) {
	t.Helper()
	if err := f.Cluster(member).Crash(); err != nil {
		t.Fatal(err)
	}
	memberReady(t, f, member, false)
	if err := f.Cluster(member).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	memberReady(t, f, member, true)
}

func memberReady(t *testing.T, f *fleet.Fleet, member string, want bool) {
	t.Helper()
	fleet.Eventually(t, 30*time.Second, fmt.Sprintf("Ready of %s to be %v", member, want), func(ctx context.Context) error {
		var m v1.MemberCluster
		if err := f.Cluster(fleet.HubName).Client().Get(ctx, types.NamespacedName{Name: member}, &m); err != nil {
			return err
		}
		for _, c := range m.Status.Conditions {
			if c.Type == v1.ConditionReady && (c.Status == metav1.ConditionTrue) == want {
				return nil
			}
		}
		return fmt.Errorf("it is %+v", m.Status.Conditions)
	})
}

// quiet reads the metrics until two readings in a row agree.
func quiet(t *testing.T, read func(context.Context) (map[string]float64, error)) map[string]float64 {
	t.Helper()
	var last map[string]float64
	fleet.Eventually(t, 30*time.Second, "the hub to be quiet", func(ctx context.Context) error {
		now, err := read(ctx)
		if err != nil {
			return err
		}
		same := last != nil && now["go_goroutines"] == last["go_goroutines"] && now["process_open_fds"] == last["process_open_fds"]
		last = now
		if !same {
			return fmt.Errorf("%v", now)
		}
		return nil
	})
	return last
}

// metricsReader reads some of the hub's metrics as a client that may.
func metricsReader(t *testing.T, f *fleet.Fleet) func(context.Context) (map[string]float64, error) {
	t.Helper()
	hub := f.Cluster(fleet.HubName)
	for _, o := range []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "metrics-reader"}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "metrics-reader"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "metrics-reader"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "default"}},
		},
	} {
		if err := hub.Client().Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	token, err := hub.Token(t.Context(), "default", "default", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(hub.Admin().CAData)
	reader := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	return func(ctx context.Context) (map[string]float64, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+f.Hub().MetricsAddr+"/metrics", nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := reader.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("metrics answered %s", resp.Status)
		}
		values := map[string]float64{}
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			name, value, ok := strings.Cut(lines.Text(), " ")
			switch name {
			case "go_goroutines", "process_open_fds", "myapp_hub_delivery_parked":
				if number, err := strconv.ParseFloat(value, 64); ok && err == nil {
					values[name] = number
				}
			}
		}
		return values, nil
	}
}

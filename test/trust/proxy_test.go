package trust

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// newTunnel is an HTTP proxy, the only one who knows where a host is.
func newTunnel(t *testing.T, host, address string) (server *httptest.Server, tunnels *atomic.Int64) {
	t.Helper()
	tunnels = &atomic.Int64{}
	var running sync.WaitGroup
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != host {
			http.Error(w, "only "+host, http.StatusForbidden)
			return
		}
		there, err := net.Dial("tcp", address)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.WriteHeader(http.StatusOK)
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = there.Close()
			return
		}
		tunnels.Add(1)
		for _, pair := range [][2]net.Conn{{here, there}, {there, here}} {
			running.Go(func() {
				_, _ = io.Copy(pair[0], pair[1]) // it ends when either side does
				_ = pair[0].Close()
			})
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	t.Cleanup(func() {
		server.Close()
		running.Wait()
	})
	return server, tunnels
}

// An agent that has no way to the hub but an HTTP proxy joins by it, with the hub's own
// certificate authority, and works.
func TestAgentBehindAProxy(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName)
	at, err := url.Parse(hub.URL())
	if err != nil {
		t.Fatal(err)
	}
	// A name that is in the certificate, and that nobody here can look up.
	host := "kubernetes.default:" + at.Port()
	tunnel, tunnels := newTunnel(t, host, at.Host)

	key := client.ObjectKey{Namespace: fleet.HubNamespace, Name: v1.HubConfigMap}
	said := &corev1.ConfigMap{}
	if err := hub.Client().Get(t.Context(), key, said); err != nil {
		t.Fatal(err)
	}
	before := said.Data[v1.HubServer]
	set := func(ctx context.Context, server string) {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"data":{"`+v1.HubServer+`":"`+server+`"}}`))
		if err := hub.Client().Patch(ctx, said, patch); err != nil {
			t.Error(err)
		}
	}
	set(t.Context(), "https://"+host)
	t.Cleanup(func() { set(context.Background(), before) })

	leave(t, f, "proxied")
	command, line := newToken(t, f, "proxied", "--accept", "--labels", expect.NameLabel+"=proxied")
	if line.Server != "https://"+host {
		t.Fatalf("the token is for %s", line.Server)
	}
	shown := mustMyapp(t, f, newcomer, append(command, "--proxy", tunnel.URL, "--dry-run=client")...)
	for _, want := range []string{"name: HTTPS_PROXY", "value: " + tunnel.URL, "$(KUBERNETES_SERVICE_HOST)", "kind: NetworkPolicy"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the dry run does not show %q", want)
		}
	}
	if _, err := myapp(t, f, newcomer, append(command, "--proxy", "proxy:3128")...); err == nil || !strings.Contains(err.Error(), "--proxy") {
		t.Errorf("a proxy that is no URL: %v", err)
	}
	mustMyapp(t, f, newcomer, append(command, "--skip-agent")...)
	if err := f.RunAgent(t.Context(), newcomer, "proxied", fleet.AgentRun{Env: []string{"HTTPS_PROXY=" + tunnel.URL}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Agent("proxied").Kill(); err != nil {
			t.Error(err)
		}
	})
	isMember(t, f, "proxied", v1.ConditionReady, metav1.ConditionTrue, v1.ReasonConnected)
	expect.Namespace(t, f, "proxied")
	app := types.NamespacedName{Namespace: "proxied", Name: "web"}
	create(t, f, app, "proxied")
	isAppliedOn(t, f, app, "proxied")
	if tunnels.Load() == 0 {
		t.Error("the agent did not go by the proxy")
	}
	expect.Delete(t, f, app)
	isGone(t, f.Cluster(newcomer), &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: app.Namespace, Name: app.Name}})
}

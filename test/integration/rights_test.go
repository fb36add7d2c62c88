package integration

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// call is a request as its API server sees it.
type call struct {
	method, path string
	body         string
	header       http.Header
}

func (c call) String() string {
	return strings.TrimSpace(fmt.Sprint(c.method, " ", c.path, " ", c.header))
}

// do makes a request with a credential and returns the status and the answer.
func (c call) do(t *testing.T, config *rest.Config) (int, string) {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), c.method, config.Host+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if c.method == http.MethodPatch {
		request.Header.Set("Content-Type", "application/merge-patch+json")
	}
	for k, v := range c.header {
		request.Header[k] = v
	}
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatalf("%s: %v", c, err)
	}
	return response.StatusCode, string(body)
}

func get(path string) call            { return call{method: http.MethodGet, path: path} }
func post(path, body string) call     { return call{method: http.MethodPost, path: path, body: body} }
func put(path string) call            { return call{method: http.MethodPut, path: path, body: "{}"} }
func patch(path string) call          { return call{method: http.MethodPatch, path: path, body: "{}"} }
func remove(path string) call         { return call{method: http.MethodDelete, path: path} }
func (c call) as(user string) call    { c.header = http.Header{"Impersonate-User": {user}}; return c }
func (c call) group(name string) call { c.header["Impersonate-Group"] = []string{name}; return c }

// expectDenied makes every request and wants each to be forbidden; the one that
// is allowed shows that it is not the credential that is bad.
func expectDenied(t *testing.T, config *rest.Config, allowed call, denied []call) {
	t.Helper()
	if status, body := allowed.do(t, config); status != http.StatusOK {
		t.Fatalf("%s must be allowed: %d %s", allowed, status, body)
	}
	for _, c := range denied {
		if status, body := c.do(t, config); status != http.StatusForbidden {
			t.Errorf("%s: %d, want 403: %s", c, status, body)
		}
	}
	t.Logf("%d requests were made that must be forbidden", len(denied))
}

func configFrom(t *testing.T, kubeconfig string) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

const (
	ours   = "/apis/example.com/v1"
	core   = "/api/v1"
	roles  = "/apis/rbac.authorization.k8s.io/v1"
	leases = "/apis/coordination.k8s.io/v1/namespaces/"
)

// An agent reaches its own mailbox and Lease on the hub, and nothing else.
func TestAgentCanReachItsMailboxOnly(t *testing.T) {
	f := sharedFleet(t)
	own, other := "/namespaces/"+v1.MailboxNamespace("pull-1"), "/namespaces/"+v1.MailboxNamespace("pull-2")
	system := "/namespaces/" + fleet.HubNamespace
	expectDenied(t, configFrom(t, agentHubKubeconfig(f, "pull-1")), get(ours+own+"/works"), []call{
		// Apps and members.
		get(ours + "/myapps"), get(ours + "/namespaces/default/myapps/web"), patch(ours + "/namespaces/default/myapps/web"),
		patch(ours + "/namespaces/default/myapps/web/status"), remove(ours + "/namespaces/default/myapps/web"),
		get(ours + "/memberclusters"), get(ours + "/memberclusters/pull-1"), patch(ours + "/memberclusters/pull-1"),
		patch(ours + "/memberclusters/pull-1/status"), remove(ours + "/memberclusters/pull-2"), post(ours+"/memberclusters", "{}"),
		get("/apis/apps/v1/controllerrevisions"), get("/apis/apps/v1" + own + "/controllerrevisions"),
		// Works that are not its own, and the orders in its own.
		get(ours + "/works"), get(ours + other + "/works"), get(ours + other + "/works?watch=1"), patch(ours + other + "/works/x/status"),
		patch(ours + own + "/works/x"), put(ours + own + "/works/x"), put(ours + own + "/works/x/status"), post(ours+own+"/works", "{}"),
		remove(ours + own + "/works/x"), remove(ours + own + "/works"),
		// Leases of others, the leader's among them.
		get(leases + "member-pull-2/leases"), patch(leases + "member-pull-2/leases/agent"), post(leases+"member-pull-2/leases", "{}"),
		patch(leases + "member-pull-1/leases/other"), remove(leases + "member-pull-1/leases/agent"),
		get(leases + fleet.HubNamespace + "/leases/myapp-hub"), patch(leases + fleet.HubNamespace + "/leases/myapp-hub"),
		// Secrets and settings.
		get(core + "/secrets"), get(core + other + "/secrets"), post(core+own+"/secrets", "{}"), patch(core + own + "/secrets/x"), remove(core + own + "/secrets/x"),
		get(core + system + "/secrets/push-1-kubeconfig"),
		get(core + own + "/configmaps"), get(core + system + "/configmaps/hub-identity"), patch(core + system + "/configmaps/hub-identity"),
		// More rights.
		get(ours + own + "/works").as("system:admin").group("system:masters"), get(ours + own + "/works").as("system:serviceaccount:member-pull-2:agent"),
		post(core+own+"/serviceaccounts/agent/token", "{}"), post(core+system+"/serviceaccounts/myapp-hub/token", "{}"),
		post(core+own+"/serviceaccounts", "{}"), post(roles+own+"/rolebindings", "{}"), patch(roles + own + "/rolebindings/agent"),
		post(roles+own+"/roles", "{}"), post(roles+"/clusterrolebindings", "{}"), patch(roles + "/clusterroles/myapp-hub-agent"),
		post("/apis/certificates.k8s.io/v1/certificatesigningrequests", "{}"), post("/apis/authentication.k8s.io/v1/tokenreviews", "{}"),
		// The rest of the hub.
		get(core + "/namespaces"), get(core + own), remove(core + own), patch(core + own), post(core+"/namespaces", "{}"),
		get(core + "/nodes"), get(core + own + "/pods"), post(core+own+"/pods", "{}"), post(core+own+"/events", "{}"), get("/metrics"),
		get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"),
		patch("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/x"),
	})
}

// On a Push member the hub can do what placing apps needs.
func TestHubOnPushMember(t *testing.T) {
	f := sharedFleet(t)
	secret := kubeconfigSecret("push-1")
	if err := f.Cluster(fleet.HubName).Client().Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(secret.Data["kubeconfig"])
	if err != nil {
		t.Fatal(err)
	}
	ns := "/namespaces/default"
	expectDenied(t, config, get("/apis/apps/v1/deployments"), []call{
		remove(core + ns + "/secrets"), remove(core + ns + "/configmaps"), put(core + ns + "/secrets/x"), put(core + ns + "/configmaps/x"),
		get(core + ns + "/pods/x"), get(core + ns + "/pods?watch=1"), get(core + ns + "/events?watch=1"), get(core + ns + "/pods/x/log"), post(core+ns+"/pods/x/exec?command=a", ""), post(core+ns+"/pods", "{}"), get(core + "/nodes"),
		get(core + "/namespaces"), remove(core + ns), put(core + ns), remove(core + "/namespaces"), patch(core + ns + "/status"),
		remove("/apis/apps/v1" + ns + "/deployments"), remove(core + ns + "/services"),
		post("/apis/apps/v1"+ns+"/daemonsets", "{}"), get("/apis/apps/v1/replicasets"),
		get(core + ns + "/services").as("system:admin").group("system:masters"), post(core+ns+"/serviceaccounts/default/token", "{}"),
		post(roles+"/clusterrolebindings", "{}"), post(roles+ns+"/rolebindings", "{}"), patch(roles + "/clusterroles/myapp-hub"),
		get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"), get("/metrics"),
	})
}

// On its own cluster the hub writes what is its to write; specs of members are not.
func TestHubOnItsOwnCluster(t *testing.T) {
	f := sharedFleet(t)
	system := "/namespaces/" + fleet.HubNamespace
	escalation := `{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "x"},
		"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
		"subjects": [{"kind": "ServiceAccount", "namespace": "myapp-hub-system", "name": "myapp-hub"}]}`
	expectDenied(t, configFrom(t, f.HubKubeconfig()), get(ours+"/memberclusters"), []call{
		patch(ours + "/memberclusters/push-1"), put(ours + "/memberclusters/push-1"), remove(ours + "/memberclusters/push-1"), post(ours+"/memberclusters", "{}"),
		put(ours + "/namespaces/default/myapps/x"), remove(ours + "/namespaces/default/myapps/x"), post(ours+"/namespaces/default/myapps", "{}"),
		patch(ours + "/namespaces/member-pull-1/works/x/status"), patch("/apis/apps/v1/namespaces/default/controllerrevisions/x"),
		post(core+"/namespaces/default/secrets", "{}"), put(core + "/namespaces/default/secrets/x"), remove(core + "/namespaces/default/secrets/x"),
		patch(core + "/namespaces/member-pull-1/secrets/x"), remove(core + "/namespaces/member-pull-1/secrets"),
		post(core+system+"/secrets", "{}"), patch(core + system + "/secrets/push-1-kubeconfig"), remove(core + system + "/secrets/push-1-kubeconfig"),
		get(core + "/configmaps"), get(core + system + "/configmaps/other"), patch(core + system + "/configmaps/hub-identity"), remove(core + system + "/configmaps/hub-identity"),
		patch(core + "/namespaces/default"), remove(core + "/namespaces/member-pull-1"), remove(core + "/namespaces/member-pull-1/serviceaccounts/agent"),
		post(core+"/namespaces/member-pull-1/serviceaccounts/agent/token", "{}"), patch(leases + "member-pull-1/leases/agent"),
		get(ours + "/memberclusters").as("system:admin").group("system:masters"),
		post(roles+"/namespaces/default/rolebindings", escalation), post(roles+"/clusterrolebindings", "{}"), post(roles+"/clusterroles", "{}"),
		get(core + "/pods"), get(core + "/nodes"), get("/apis/apps/v1/deployments"), patch("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/works.example.com"),
	})
}

// mayWithSecrets are all roles that are about Secrets. The hub reads those of
// every namespace, to copy what is labelled so, and writes in mailboxes alone.
var mayWithSecrets = map[string]string{
	"hub.yaml myapp-hub":           "get list watch",
	"hub.yaml myapp-hub-mailbox":   "create update delete",
	"hub.yaml myapp-hub-agent":     "get list watch",
	"member-push.yaml myapp-hub":   "get list watch create patch delete",
	"member-pull.yaml myapp-agent": "get list watch create patch delete",

	"member-push-namespaced.yaml myapp-hub":   "get list watch create patch delete",
	"member-pull-namespaced.yaml myapp-agent": "get list watch create patch delete",
}

// No rule that is shipped names everything, and those that could be used to get
// more rights name what they are for.
func TestRulesNameWhatTheyAllow(t *testing.T) {
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, err := fleet.FindRoot(wd)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "deploy", "rbac", "*.yaml"))
	if err != nil || len(files) < 3 {
		t.Fatalf("deploy/rbac has %v (%v)", files, err)
	}
	rules := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, document := range strings.Split(string(data), "\n---\n") {
			var role rbacv1.ClusterRole // a Role has the same fields
			if err := yaml.Unmarshal([]byte(document), &role); err != nil {
				t.Fatal(err)
			}
			if role.AggregationRule != nil {
				t.Errorf("%s: %s takes in whatever rules there are", filepath.Base(file), role.Name)
			}
			for _, r := range role.Rules {
				rules++
				where := fmt.Sprintf("%s: %s %s: %+v", filepath.Base(file), role.Kind, role.Name, r)
				for _, word := range slices.Concat(r.APIGroups, r.Resources, r.Verbs, r.ResourceNames, r.NonResourceURLs) {
					if strings.Contains(word, "*") {
						t.Errorf("a wildcard in %s", where)
					}
				}
				for _, verb := range []string{"escalate", "impersonate", "deletecollection"} {
					if slices.Contains(r.Verbs, verb) {
						t.Errorf("%s in %s", verb, where)
					}
				}
				if slices.Contains(r.Verbs, "bind") && len(r.ResourceNames) == 0 {
					t.Errorf("bind without resourceNames in %s", where)
				}
				if slices.Contains(r.Resources, "secrets") {
					for _, verb := range r.Verbs {
						if !strings.Contains(mayWithSecrets[filepath.Base(file)+" "+role.Name], verb) {
							t.Errorf("%s of Secrets in %s", verb, where)
						}
					}
				}
			}
		}
	}
	if rules == 0 {
		t.Error("no rule was found")
	}
}

// The metrics are for those who may read them.
func TestMetricsNeedRights(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName)
	ns := namespace(t, f)
	config := hub.ConfigFor("", false) // the same authority issues the certificate
	config.Host = "https://" + f.Hub().MetricsAddr
	scrape := func(token string) (int, string) {
		t.Helper()
		c := get("/metrics")
		if token != "" {
			c.header = http.Header{"Authorization": {"Bearer " + token}}
		}
		return c.do(t, config)
	}
	tokenOf := func(account string) string {
		t.Helper()
		if err := hub.Client().Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: account}}); err != nil {
			t.Fatal(err)
		}
		token, err := hub.Token(t.Context(), ns, account, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: ns}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: ns},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: ns},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "scraper"}}}
	for reason, c := range map[string]struct {
		token string
		want  int
	}{
		"nobody": {"", http.StatusUnauthorized},
		// What cannot be verified is an error to controller-runtime.
		"a made-up token": {"garbage", http.StatusInternalServerError},
		"no right":        {tokenOf("visitor"), http.StatusForbidden},
	} {
		if status, body := scrape(c.token); status != c.want || strings.Contains(body, "myapp_hub") {
			t.Errorf("%s: %d, want %d", reason, status, c.want)
		}
	}
	for _, o := range []client.Object{role, binding} {
		if err := hub.Client().Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := hub.Client().Delete(context.Background(), o); err != nil {
				t.Error(err)
			}
		})
	}
	token := tokenOf("scraper")
	fleet.Eventually(t, soon, "the metrics", func(context.Context) error {
		status, body := scrape(token)
		if status != http.StatusOK {
			return fmt.Errorf("the answer is %d", status)
		}
		for _, want := range []string{"myapp_hub_delivery_parked", "controller_runtime_reconcile_total", `myapp_hub_member_connected{member="push-1"} 1`} {
			if !strings.Contains(body, want) {
				return fmt.Errorf("there is no %s", want)
			}
		}
		return nil
	})
}

package integration

import (
	"context"
	"fmt"
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

	"github.com/example/myapp-hub/test/attack"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

func configFrom(t *testing.T, kubeconfig string) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
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
	attack.Denied(t, config, attack.Get("/apis/apps/v1/deployments"), []attack.Call{
		attack.Remove(attack.Core + ns + "/secrets"), attack.Remove(attack.Core + ns + "/configmaps"), attack.Put(attack.Core + ns + "/secrets/x"), attack.Put(attack.Core + ns + "/configmaps/x"),
		attack.Get(attack.Core + ns + "/pods/x"), attack.Get(attack.Core + ns + "/events?watch=1"), attack.Get(attack.Core + ns + "/pods/x/log"), attack.Post(attack.Core+ns+"/pods/x/exec?command=a", ""), attack.Post(attack.Core+ns+"/pods", "{}"), attack.Remove(attack.Core + ns + "/pods/x"),
		attack.Get(attack.Core + "/nodes/x"), attack.Patch(attack.Core + "/nodes/x"), attack.Remove(attack.Core + "/nodes/x"), attack.Get(attack.Core + "/nodes/x/proxy/"),
		attack.Get(attack.Core + "/namespaces"), attack.Remove(attack.Core + ns), attack.Put(attack.Core + ns), attack.Remove(attack.Core + "/namespaces"), attack.Patch(attack.Core + ns + "/status"),
		attack.Remove("/apis/apps/v1" + ns + "/deployments"), attack.Remove(attack.Core + ns + "/services"),
		attack.Post("/apis/apps/v1"+ns+"/daemonsets", "{}"), attack.Get("/apis/apps/v1/replicasets"),
		attack.Get(attack.Core + ns + "/services").As("system:admin").Group("system:masters"), attack.Post(attack.Core+ns+"/serviceaccounts/default/token", "{}"),
		attack.Post(attack.Roles+"/clusterrolebindings", "{}"), attack.Post(attack.Roles+ns+"/rolebindings", "{}"), attack.Patch(attack.Roles + "/clusterroles/myapp-hub"),
		attack.Get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"), attack.Get("/metrics"),
	})
}

// On its own cluster the hub writes what is its to write; specs of members are not.
func TestHubOnItsOwnCluster(t *testing.T) {
	f := sharedFleet(t)
	system := "/namespaces/" + fleet.HubNamespace
	escalation := `{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "x"},
		"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
		"subjects": [{"kind": "ServiceAccount", "namespace": "myapp-hub-system", "name": "myapp-hub"}]}`
	attack.Denied(t, configFrom(t, f.HubKubeconfig()), attack.Get(attack.Ours+"/memberclusters"), []attack.Call{
		attack.Patch(attack.Ours + "/memberclusters/push-1"), attack.Put(attack.Ours + "/memberclusters/push-1"), attack.Remove(attack.Ours + "/memberclusters/push-1"), attack.Post(attack.Ours+"/memberclusters", "{}"),
		attack.Put(attack.Ours + "/namespaces/default/myapps/x"), attack.Remove(attack.Ours + "/namespaces/default/myapps/x"), attack.Post(attack.Ours+"/namespaces/default/myapps", "{}"),
		attack.Post(attack.Ours+"/namespaces/member-pull-1/memberreports", "{}"), attack.Patch(attack.Ours + "/namespaces/member-pull-1/memberreports/agent"), attack.Remove(attack.Ours + "/namespaces/member-pull-1/memberreports/agent"),
		attack.Patch(attack.Ours + "/namespaces/member-pull-1/works/x/status"), attack.Put("/apis/apps/v1/namespaces/default/controllerrevisions/x"),
		attack.Post(attack.Core+"/namespaces/default/secrets", "{}"), attack.Put(attack.Core + "/namespaces/default/secrets/x"), attack.Remove(attack.Core + "/namespaces/default/secrets/x"),
		attack.Patch(attack.Core + "/namespaces/member-pull-1/secrets/x"), attack.Remove(attack.Core + "/namespaces/member-pull-1/secrets"),
		attack.Post(attack.Core+system+"/secrets", "{}"), attack.Patch(attack.Core + system + "/secrets/push-1-kubeconfig"), attack.Remove(attack.Core + system + "/secrets/push-1-kubeconfig"),
		attack.Get(attack.Core + "/configmaps"), attack.Get(attack.Core + system + "/configmaps/other"), attack.Patch(attack.Core + system + "/configmaps/hub-identity"), attack.Remove(attack.Core + system + "/configmaps/hub-identity"),
		attack.Patch(attack.Core + "/namespaces/default"), attack.Remove(attack.Core + "/namespaces/member-pull-1"), attack.Remove(attack.Core + "/namespaces/member-pull-1/serviceaccounts/agent"),
		attack.Post(attack.Core+"/namespaces/member-pull-1/serviceaccounts/agent/token", "{}"), attack.Patch(attack.Leases + "/namespaces/member-pull-1/leases/agent"),
		attack.Get(attack.Ours + "/memberclusters").As("system:admin").Group("system:masters"),
		attack.Post(attack.Roles+"/namespaces/default/rolebindings", escalation), attack.Post(attack.Roles+"/clusterrolebindings", "{}"), attack.Post(attack.Roles+"/clusterroles", "{}"),
		attack.Remove(attack.Core + system + "/secrets/myapp-hub-webhook"), attack.Get(attack.Webhooks), attack.Patch(attack.Webhooks + "/other"), attack.Put(attack.Webhooks + "/myapp-hub"), attack.Remove(attack.Webhooks + "/myapp-hub"), attack.Post(attack.Webhooks, "{}"),
		attack.Get(attack.Core + "/pods"), attack.Get(attack.Core + "/nodes"), attack.Get("/apis/apps/v1/deployments"), attack.Patch("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/works.example.com"),
	})
}

// mayWithSecrets are all roles that are about Secrets. The hub reads those of
// every namespace, to copy what is labelled so, and writes in mailboxes alone.
var mayWithSecrets = map[string]string{
	"hub.yaml myapp-hub":           "get list watch",
	"hub.yaml myapp-hub-mailbox":   "create update delete",
	"hub.yaml myapp-hub-agent":     "get list watch",
	"hub.yaml myapp-hub-join":      "create", // of one, says the admission policy
	"member-push.yaml myapp-hub":   "get list watch create patch delete",
	"member-pull.yaml myapp-agent": "get list watch create patch delete",

	"member-push-namespaced.yaml myapp-hub":   "get list watch create patch delete",
	"member-pull-namespaced.yaml myapp-agent": "get list watch create patch delete",
}

// No rule that is shipped names everything, and those that could be used to get
// more rights name what they are for.
func TestRulesNameWhatTheyAllow(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(expect.Root(t), "deploy", "rbac", "*.yaml"))
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
				if slices.Contains(r.Resources, "secrets") && len(r.ResourceNames) == 0 {
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
		c := attack.Get("/metrics")
		if token != "" {
			c.Header = http.Header{"Authorization": {"Bearer " + token}}
		}
		return c.Do(t, config)
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

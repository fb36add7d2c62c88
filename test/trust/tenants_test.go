package trust

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/attack"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// tenant is somebody who may do everything with MyApps in one namespace of the hub, and
// nothing else.
func tenant(t *testing.T, f *fleet.Fleet, namespace string) *rest.Config {
	t.Helper()
	return account(t, f, namespace, "tenant",
		&rbacv1.Role{ObjectMeta: named(namespace, "tenant"), Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"example.com"}, Resources: []string{"myapps"}, Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete"}},
			{APIGroups: []string{""}, Resources: []string{"secrets", "configmaps"}, Verbs: []string{"get", "list", "create", "update", "patch", "delete"}},
		}},
		&rbacv1.RoleBinding{ObjectMeta: named(namespace, "tenant"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "tenant"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "tenant"}}},
	)
}

// account makes a ServiceAccount on the hub with rights, and gives what it reaches the hub
// with.
func account(t *testing.T, f *fleet.Fleet, namespace, name string, rights ...client.Object) *rest.Config {
	t.Helper()
	expect.Namespace(t, f, namespace)
	hub := f.Cluster(fleet.HubName)
	for _, o := range append(rights, &corev1.ServiceAccount{ObjectMeta: named(namespace, name)}) {
		if err := hub.Client().Create(t.Context(), o); client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	}
	token, err := hub.Token(t.Context(), namespace, name, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return hub.ConfigFor(token, false)
}

// app is the creation of a MyApp with a spec in YAML.
func app(t *testing.T, namespace, spec string) attack.Call {
	t.Helper()
	var content map[string]any
	if err := yaml.Unmarshal([]byte(spec), &content); err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	body, err := yaml.YAMLToJSON([]byte("apiVersion: example.com/v1\nkind: MyApp\nmetadata: {name: evil}\nspec:\n  " + strings.ReplaceAll(spec, "\n", "\n  ")))
	if err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	return attack.Post(attack.Ours+"/namespaces/"+namespace+"/myapps", string(body))
}

// A tenant runs apps in a namespace and reaches nothing else by them, on the hub or on
// members.
func TestTenantsAreConfined(t *testing.T) {
	f := sharedFleet(t)
	const own = "tenants"
	config := tenant(t, f, own)
	good := app(t, own, `{image: a, placement: {clusterSelector: {matchLabels: {nobody: has-this}}}}`)
	fine := good
	fine.Body = strings.Replace(fine.Body, "evil", "fine", 1)
	if status, body := fine.Do(t, config); status != http.StatusCreated {
		t.Fatalf("what a tenant is for: %d %s", status, body)
	}
	mine := attack.Ours + "/namespaces/" + own + "/myapps"
	attack.Denied(t, config, attack.Get(mine), []attack.Call{
		attack.Get(attack.Ours + "/myapps"), attack.Get(attack.Ours + "/namespaces/default/myapps"), app(t, "default", `{image: a}`),
		attack.Patch(mine + "/fine/status"), attack.Put(mine + "/fine/status"), attack.Patch(mine + "/fine/finalizers"),
		attack.Get(attack.Ours + "/memberclusters"), attack.Patch(attack.Ours + "/memberclusters/a"), attack.Post(attack.Ours+"/memberclusters", "{}"),
		attack.Get(attack.Ours + "/works"), attack.Get(attack.Ours + in("a") + "/works"), attack.Get(attack.Core + in("a") + "/secrets"),
		attack.Get(attack.Core + "/namespaces/" + fleet.HubNamespace + "/secrets"), attack.Get("/apis/apps/v1/namespaces/" + own + "/controllerrevisions"),
		attack.Patch(attack.Core + "/namespaces/" + own), attack.Post(attack.Core+"/namespaces", "{}"),
	})
	manifest := func(yaml string) attack.Call { return app(t, own, "{image: a, manifests: ["+yaml+"]}") }
	patch := func(yaml string) attack.Call {
		return app(t, own, "{image: a, overrides: [{patches: [{target: {kind: Deployment}, patch: ["+yaml+"]}]}]}")
	}
	deniedFor(t, config, []refused{
		{"another namespace", manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: kube-system}}`), "its own namespace only"},
		{"a namespace of its own, with a PodSecurity level", manifest(`{apiVersion: v1, kind: Namespace, metadata: {name: tenants, labels: {pod-security.kubernetes.io/enforce: privileged}}}`), "belongs to a cluster"},
		{"rights in the namespace", manifest(`{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: x}, rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]}`), "verbs escalate and bind"},
		{"rights of somebody else", manifest(`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: x}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: default}]}`), "verbs escalate and bind"},
		{"rights everywhere", manifest(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: x}, rules: []}`), "escalate and bind"},
		{"rights everywhere for itself", manifest(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: x}}`), "escalate and bind"},
		{"a webhook", manifest(`{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: x}}`), "belongs to a cluster"},
		{"a policy", manifest(`{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: x}}`), "belongs to a cluster"},
		{"a kind", manifest(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: x}}`), "belongs to a cluster"},
		{"an API", manifest(`{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: x}}`), "belongs to a cluster"},
		{"a disk of the node", manifest(`{apiVersion: v1, kind: PersistentVolume, metadata: {name: x}, spec: {hostPath: {path: /}}}`), "belongs to a cluster"},
		{"a node", manifest(`{apiVersion: v1, kind: Node, metadata: {name: x}}`), "belongs to a cluster"},
		{"a priority before all others", manifest(`{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: x}, value: 1000000000}`), "belongs to a cluster"},
		{"a certificate", manifest(`{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: x}}`), "belongs to a cluster"},
		{"a Secret that everybody reads", manifest(`{apiVersion: v1, kind: Secret, metadata: {name: x}, data: {a: eA==}}`), "a Secret must not be in a MyApp"},
		{"a list that hides others", manifest(`{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Namespace, metadata: {name: x}}]}`), "a list is not an object of its own"},
		{"the hub's marks on an object", manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {example.com/hub-id: other}}}`), "the hub itself sets"},
		{"another app's marks on pods", app(t, own, `{image: a, podTemplate: {metadata: {labels: {example.com/app: other}}}}`), "example.com/app"},
		{"an owner", manifest(`{apiVersion: v1, kind: ConfigMap, metadata: {name: x, ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: b}]}}`), "ownerReferences"},
		{"a patch that moves an object", patch(`{op: replace, path: /metadata/namespace, value: kube-system}`), "namespace"},
		{"a patch that takes the marks off", patch(`{op: remove, path: /metadata/labels/example.com~1hub-id}`), "example.com"},
		{"a patch that gives another name", patch(`{op: replace, path: /metadata/name, value: coredns}`), "name"},
		{"a patch that takes another's pods", patch(`{op: replace, path: /spec/selector/matchLabels/example.com~1app, value: other}`), "selector"},
		{"pods with another label", patch(`{op: replace, path: /spec/template/metadata/labels/example.com~1app, value: other}`), "example.com"},
		{"a variable of somebody else", app(t, own, `{image: "a:$(cluster.kubeconfig)"}`), "$(cluster.kubeconfig)"},
		{"a rule that never ends", app(t, own, `{image: a, healthRules: [{group: g.io, kind: K, ready: "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3].all(c, object.x.matches('(a+)+$'"}]}`), "healthRules"},
		{"a spec of megabytes", app(t, own, `{image: a, config: {a: "`+strings.Repeat("x", 2<<20)+`"}}`), "a"},
	})

	// System namespaces are no place for apps, whoever writes them.
	admin := f.Cluster(fleet.HubName).Admin()
	for _, namespace := range []string{"kube-system", "kube-public", fleet.HubNamespace, v1.MailboxNamespace("a")} {
		deniedFor(t, admin, []refused{{"an app in " + namespace, app(t, namespace, `{image: a}`), "namespace"}})
	}
}

// A member is for the namespaces that it allows, and for no others; one that is allowed
// no longer loses its apps.
func TestAllowedNamespaces(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName).Client()
	member := &v1.MemberCluster{}
	set := func(selector *v1.ClusterSelector) {
		t.Helper()
		if err := hub.Get(context.Background(), client.ObjectKey{Name: push}, member); err != nil {
			t.Fatal(err)
		}
		before := member.DeepCopy()
		member.Spec.AllowedNamespaces = selector
		if err := hub.Patch(context.Background(), member, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	set(&v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"team": "payments"}})
	t.Cleanup(func() { set(nil) })
	label := func(namespace, team string) {
		t.Helper()
		o := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"team":"`+team+`"}}}`))
		if err := hub.Patch(t.Context(), o, patch); err != nil {
			t.Fatal(err)
		}
	}
	expect.Namespace(t, f, "payments")
	expect.Namespace(t, f, "other")
	label("payments", "payments")
	placed := func(app *v1.MyApp, want bool, says string) {
		t.Helper()
		expect.That(t, f, soon, client.ObjectKeyFromObject(app), fmt.Sprintf("it has the member: %v", want), func(a *v1.MyApp) error {
			if got := expect.Row(a, push) != nil; got != want || !strings.Contains(expect.Summary(a)+messages(a), says) {
				return fmt.Errorf("%s %s", expect.Summary(a), messages(a))
			}
			return nil
		})
	}
	allowed, other := expect.App("payments", "web", expect.On(push)), expect.App("other", "web", expect.On(push))
	expect.Create(t, f, allowed)
	expect.Create(t, f, other)
	placed(allowed, true, "")
	placed(other, false, "1 do not allow the namespace")
	label("other", "payments")
	placed(other, true, "")
	label("payments", "gone")
	placed(allowed, false, "1 do not allow the namespace")
	for _, app := range []*v1.MyApp{allowed, other} {
		expect.Delete(t, f, client.ObjectKeyFromObject(app))
		expect.Gone(t, f, soon, client.ObjectKeyFromObject(app), push)
	}
}

// messages are those of an app's conditions.
func messages(a *v1.MyApp) string {
	var all []string
	for _, c := range a.Status.Conditions {
		all = append(all, c.Message)
	}
	return strings.Join(all, " | ")
}

package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// memberIs waits until a member's Ready condition is so and its message says
// all of that.
func memberIs(t *testing.T, f *fleet.Fleet, name string, status metav1.ConditionStatus, reason string, says ...string) {
	t.Helper()
	fleet.Eventually(t, soon, fmt.Sprintf("MemberCluster %s to be %s (%s)", name, status, reason), func(ctx context.Context) error {
		member := &v1.MemberCluster{}
		if err := f.Cluster(fleet.HubName).Client().Get(ctx, key("", name), member); err != nil {
			return err
		}
		c := meta.FindStatusCondition(member.Status.Conditions, v1.ConditionReady)
		if c == nil {
			return fmt.Errorf("there is no condition")
		}
		if c.Status != status || c.Reason != reason || c.ObservedGeneration != member.Generation {
			return fmt.Errorf("it is %s (%s): %s", c.Status, c.Reason, c.Message)
		}
		for _, want := range says {
			if !strings.Contains(c.Message, want) {
				return fmt.Errorf("%q is not in the message: %s", want, c.Message)
			}
		}
		return nil
	})
}

// register makes a MemberCluster of the test's own, gone with the test.
func register(t *testing.T, f *fleet.Fleet, name string, spec v1.MemberClusterSpec) {
	t.Helper()
	hub := f.Cluster(fleet.HubName).Client()
	member := memberCluster(name)
	member.Labels = map[string]string{expect.NameLabel: name}
	member.Spec = spec
	if err := hub.Create(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hub.Delete(context.Background(), member); client.IgnoreNotFound(err) != nil {
			t.Errorf("deleting MemberCluster %s: %v", name, err)
		}
	})
}

// putSecret creates or replaces a Secret in the hub's namespace.
func putSecret(t *testing.T, f *fleet.Fleet, name string, data map[string][]byte) {
	t.Helper()
	hub := f.Cluster(fleet.HubName).Client()
	fleet.Eventually(t, soon, "writing Secret "+name, func(ctx context.Context) error {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: fleet.HubNamespace, Name: name}, Data: data}
		err := hub.Create(ctx, secret)
		if apierrors.IsAlreadyExists(err) {
			return hub.Update(ctx, secret)
		}
		return err
	})
}

func deleteSecret(t *testing.T, f *fleet.Fleet, name string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: fleet.HubNamespace, Name: name}}
	if err := f.Cluster(fleet.HubName).Client().Delete(context.Background(), secret); client.IgnoreNotFound(err) != nil {
		t.Errorf("deleting Secret %s: %v", name, err)
	}
}

// edited is a kubeconfig with a change to its user and cluster.
func edited(t *testing.T, kubeconfig []byte, edit func(*api.Cluster, *api.AuthInfo)) []byte {
	t.Helper()
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	current := config.Contexts[config.CurrentContext]
	edit(config.Clusters[current.Cluster], config.AuthInfos[current.AuthInfo])
	out, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The life of a Push member's credential. Whatever is wrong with it is said with
// its remedy, and nothing of it touches what runs on the cluster.
func TestPushCredentialLife(t *testing.T) {
	f := sharedFleet(t)
	const (
		member  = "extra"
		cluster = "push-4" // known to the hub under two names
		secret  = "extra-kubeconfig"
	)
	source := kubeconfigSecret(cluster)
	if err := f.Cluster(fleet.HubName).Client().Get(t.Context(), client.ObjectKeyFromObject(source), source); err != nil {
		t.Fatal(err)
	}
	good := source.Data["kubeconfig"]
	put := func(kubeconfig []byte) {
		t.Helper()
		putSecret(t, f, secret, map[string][]byte{"kubeconfig": kubeconfig})
	}
	t.Cleanup(func() { deleteSecret(t, f, secret) })

	register(t, f, member, v1.MemberClusterSpec{Mode: v1.ModePush, KubeconfigSecretRef: &v1.SecretKeyRef{Name: secret}})
	memberIs(t, f, member, metav1.ConditionFalse, v1.ReasonCredentialMissing, "Secret myapp-hub-system/extra-kubeconfig does not exist", "create it")
	putSecret(t, f, secret, map[string][]byte{"value": good})
	memberIs(t, f, member, metav1.ConditionFalse, v1.ReasonCredentialMissing, `has no key "kubeconfig"`, "set spec.kubeconfigSecretRef.key")
	garbage, err := f.Cluster(cluster).KubeconfigFor("garbage", true)
	if err != nil {
		t.Fatal(err)
	}
	put(garbage)
	memberIs(t, f, member, metav1.ConditionFalse, v1.ReasonCredentialRejected, "401", "put a valid kubeconfig into the Secret")
	put(good)
	memberIs(t, f, member, metav1.ConditionTrue, v1.ReasonConnected)

	before := markAll(f, cluster)
	p := placedOn(t, f, member, cluster)
	refused := map[string]func(*api.Cluster, *api.AuthInfo){
		"user.exec": func(_ *api.Cluster, u *api.AuthInfo) {
			u.Exec = &api.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: "/bin/true", InteractiveMode: api.NeverExecInteractiveMode}
		},
		"cluster.insecure-skip-tls-verify": func(c *api.Cluster, _ *api.AuthInfo) {
			c.CertificateAuthorityData, c.InsecureSkipTLSVerify = nil, true
		},
		"user.tokenFile": func(_ *api.Cluster, u *api.AuthInfo) { u.Token, u.TokenFile = "", "/etc/hostname" },
		"cluster.certificate-authority": func(c *api.Cluster, _ *api.AuthInfo) {
			c.CertificateAuthorityData, c.CertificateAuthority = nil, "/etc/hostname"
		},
	}
	for field, edit := range refused {
		put(edited(t, good, edit))
		memberIs(t, f, member, metav1.ConditionFalse, v1.ReasonCredentialRefused, "the kubeconfig is refused: "+field+":")
	}
	put(garbage)
	memberIs(t, f, member, metav1.ConditionFalse, v1.ReasonCredentialRejected)
	deleteSecret(t, f, secret)
	memberIs(t, f, member, metav1.ConditionFalse, v1.ReasonCredentialMissing)
	fleet.Consistently(t, untouched, "all that was placed", p.same)
	expect.That(t, f, soon, p.app, "is Unknown", func(a *v1.MyApp) error {
		if row := expect.Row(a, member); row == nil || row.State != v1.PlacementUnknown {
			return fmt.Errorf("the row is %+v", row)
		}
		return expect.Condition(a, v1.ConditionReady, "Unknown", v1.ReasonMemberUnknown)
	})
	for _, e := range expect.Writes(before.since(t, f, cluster)) {
		if strings.HasPrefix(e.Verb, "delete") {
			t.Errorf("%s %s %s/%s", e.Verb, e.Resource, e.Namespace, e.Name)
		}
	}

	put(good)
	memberIs(t, f, member, metav1.ConditionTrue, v1.ReasonConnected)
	expect.Ready(t, f, soon, p.app, member)
	if err := p.same(t.Context()); err != nil {
		t.Error(err)
	}
	expect.Delete(t, f, p.app)
	expect.Gone(t, f, soon, p.app)
	if left := expect.Objects(t, f, cluster, p.app.Namespace); len(left) > 0 {
		t.Errorf("%s still has %v", cluster, left)
	}
}

// placedOn is place for a member whose cluster has another name.
func placedOn(t *testing.T, f *fleet.Fleet, member, cluster string) placed {
	t.Helper()
	p := placed{fleet: f, app: key(namespace(t, f), "web"), members: []string{cluster}}
	expect.Create(t, f, expect.App(p.app.Namespace, p.app.Name, expect.WithService, expect.On(member)))
	expect.Ready(t, f, soon, p.app, member)
	objects, err := uids(t.Context(), f, cluster, p.app.Namespace)
	if err != nil || len(objects) != 3 {
		t.Fatalf("%s has %v (%v)", cluster, objects, err)
	}
	p.objects = map[string]map[string]types.UID{cluster: objects}
	return p
}

// A namespace that has the name of a mailbox and is not one is not written, and
// the message says how to go on; doing so helps.
func TestForeignNamespaceIsNoMailbox(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName).Client()
	for name, labels := range map[string]map[string]string{
		"x-plain":   nil,
		"x-other":   {v1.LabelManagedBy: v1.ManagedBy, v1.LabelMember: "somebody-else"},
		"x-foreign": {v1.LabelManagedBy: "helm", v1.LabelMember: "x-foreign"},
	} {
		t.Run(name, func(t *testing.T) {
			mailbox := v1.MailboxNamespace(name)
			foreign := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: mailbox, Labels: labels}}
			if err := hub.Create(t.Context(), foreign); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := hub.Delete(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: mailbox}}); client.IgnoreNotFound(err) != nil {
					t.Error(err)
				}
			})
			before := markAll(f, fleet.HubName)
			register(t, f, name, v1.MemberClusterSpec{Mode: v1.ModePull})
			memberIs(t, f, name, metav1.ConditionFalse, v1.ReasonNamespaceConflict, "Namespace "+mailbox, "delete the namespace, or register the cluster under another name")
			settle(t, f, before, []string{fleet.HubName})
			for _, e := range expect.Writes(before.since(t, f, fleet.HubName)) {
				if e.Namespace == mailbox || e.Resource == "namespaces" && e.Name == mailbox {
					t.Errorf("%s %s %s/%s", e.Verb, e.Resource, e.Namespace, e.Name)
				}
			}
			now := &corev1.Namespace{}
			if err := hub.Get(t.Context(), key("", mailbox), now); err != nil || now.ResourceVersion != foreign.ResourceVersion {
				t.Errorf("the namespace was written: %v (%v)", now.ObjectMeta, err)
			}
		})
	}
}

// The mailbox of a new Pull member has what its agent needs and an owner of
// nothing: it must outlive the MemberCluster.
func TestMailboxIsMadeAndKept(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName).Client()
	const name = "new"
	mailbox := v1.MailboxNamespace(name)
	conflict := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: mailbox}}
	if err := hub.Create(t.Context(), conflict); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hub.Delete(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: mailbox}}); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	register(t, f, name, v1.MemberClusterSpec{Mode: v1.ModePull})
	memberIs(t, f, name, metav1.ConditionFalse, v1.ReasonNamespaceConflict)
	if err := hub.Delete(t.Context(), conflict); err != nil {
		t.Fatal(err)
	}
	// The hub looks by itself once a minute; a change of the member is sooner.
	fleet.Eventually(t, soon, "the foreign namespace to go", func(ctx context.Context) error {
		if err := hub.Get(ctx, key("", mailbox), &corev1.Namespace{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there (%w)", err)
		}
		return nil
	})
	mustKubectl(t, f.Cluster(fleet.HubName), "", "label", "membercluster", name, "looked-at=again")
	memberIs(t, f, name, metav1.ConditionUnknown, v1.ReasonAwaitingAgent, "kubectl myapp token create "+name)

	binding := &rbacv1.RoleBinding{}
	fleet.Eventually(t, soon, "the agent's RoleBinding", func(ctx context.Context) error {
		return hub.Get(ctx, key(mailbox, v1.AgentServiceAccount), binding)
	})
	if len(binding.OwnerReferences) > 0 || binding.RoleRef.Kind != "ClusterRole" || binding.RoleRef.Name != v1.AgentClusterRole ||
		len(binding.Subjects) != 1 || binding.Subjects[0].Namespace != mailbox || binding.Subjects[0].Name != v1.AgentServiceAccount {
		t.Errorf("the RoleBinding is %+v", binding)
	}
	account := &corev1.ServiceAccount{}
	if err := hub.Get(t.Context(), key(mailbox, v1.AgentServiceAccount), account); err != nil {
		t.Fatal(err)
	}
	if len(account.OwnerReferences) > 0 || account.AutomountServiceAccountToken == nil || *account.AutomountServiceAccountToken {
		t.Errorf("the ServiceAccount is %+v", account)
	}
	if err := hub.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	fleet.Eventually(t, soon, "the RoleBinding to be made again", func(ctx context.Context) error {
		return hub.Get(ctx, key(mailbox, v1.AgentServiceAccount), &rbacv1.RoleBinding{})
	})
	if err := hub.Delete(t.Context(), memberCluster(name)); err != nil {
		t.Fatal(err)
	}
	fleet.Consistently(t, time.Second, "the mailbox without its MemberCluster", func(ctx context.Context) error {
		kept := &corev1.Namespace{}
		if err := hub.Get(ctx, key("", mailbox), kept); err != nil {
			return err
		}
		if kept.DeletionTimestamp != nil {
			return fmt.Errorf("it is being deleted")
		}
		return hub.Get(ctx, key(mailbox, v1.AgentServiceAccount), &corev1.ServiceAccount{})
	})
}

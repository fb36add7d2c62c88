package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The nodes of a member of a fleet, as stages.yaml has them, are two of 64 cores.
const fleetMillis = 2 * 64_000

// known has all facts, and what is requested of the CPU is between the two.
func known(from, to int64) func(v1.MemberClusterStatus) error {
	return func(s v1.MemberClusterStatus) error {
		switch {
		case !strings.HasPrefix(s.KubernetesVersion, "v1."):
			return fmt.Errorf("its version is %q", s.KubernetesVersion)
		case !slices.Contains(s.APIs, "apps/v1/Deployment") || !slices.Contains(s.APIs, "v1/Service") || slices.Contains(s.APIs, "v1/Node"):
			return fmt.Errorf("its kinds are %v", s.APIs)
		case s.Capacity == nil || s.Capacity.Allocatable.CPUMillis != fleetMillis || s.Capacity.Allocatable.MemoryMiB != 512<<10 || s.Capacity.Allocatable.Pods < 990:
			return fmt.Errorf("its capacity is %+v", s.Capacity)
		case s.Capacity.Requested.CPUMillis < from || s.Capacity.Requested.CPUMillis > to:
			return fmt.Errorf("%+v are requested", s.Capacity.Requested)
		}
		return capacityKnown(s, metav1.ConditionTrue, v1.ReasonMeasured, "")
	}
}

// blind has all facts but the capacity.
func blind(reason, says string) func(v1.MemberClusterStatus) error {
	return func(s v1.MemberClusterStatus) error {
		if s.Capacity != nil || s.KubernetesVersion == "" || len(s.APIs) == 0 {
			return fmt.Errorf("its version is %q, its capacity %+v, its kinds are %v", s.KubernetesVersion, s.Capacity, s.APIs)
		}
		return capacityKnown(s, metav1.ConditionFalse, reason, says)
	}
}

func capacityKnown(s v1.MemberClusterStatus, status metav1.ConditionStatus, reason, says string) error {
	c := meta.FindStatusCondition(s.Conditions, v1.ConditionCapacityKnown)
	if c == nil || c.Status != status || c.Reason != reason || !strings.Contains(c.Message, says) {
		return fmt.Errorf("CapacityKnown is %+v", c)
	}
	return nil
}

// A Push and a Pull member have version, kinds and capacity; a large pod counts while it
// is there, and then nothing is written or read any more.
func TestFacts(t *testing.T) {
	f := sharedFleet(t)
	for _, member := range []string{"push-1", "pull-1"} {
		t.Run(member, func(t *testing.T) {
			expect.Member(t, f, soon, member, "is measured", known(0, 10_000))
			begun := time.Now()
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "large"},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.example.com/large:1", Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("40")},
				}}}},
			}
			c := f.Cluster(member).Client()
			if err := c.Create(t.Context(), pod); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = client.IgnoreNotFound(c.Delete(context.Background(), pod)) })
			expect.Member(t, f, soon, member, "has a large pod", known(40_000, 50_000))
			took := time.Since(begun)
			t.Logf("%s: a pod counted after %v", member, took.Round(time.Millisecond))
			if took > 6*time.Second {
				t.Errorf("that is long for an interval of a second")
			}
			if err := c.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
				t.Fatal(err)
			}
			expect.Member(t, f, soon, member, "has no large pod", known(0, 10_000))

			clusters := []string{fleet.HubName, member}
			before := markAll(f, clusters...)
			settle(t, f, before, clusters)
			before = markAll(f, clusters...)
			consistently(t, 5*time.Second, "nothing to count", func(context.Context) error {
				if writes := expect.Writes(before.since(t, f, fleet.HubName)); len(writes) > 0 {
					return fmt.Errorf("writes on the hub:\n%s", expect.Describe(writes))
				}
				for _, e := range expect.ByProduct(before.since(t, f, member)) {
					if (e.Resource == "nodes" || e.Resource == "pods") && e.Verb != "watch" {
						return fmt.Errorf("%s was asked to %s %s", member, e.Verb, e.Resource)
					}
				}
				return nil
			})
		})
	}
}

// withoutNodes changes a role on a cluster so that nodes may not be read.
func withoutNodes(role *rbacv1.ClusterRole) {
	for i := range role.Rules {
		role.Rules[i].Resources = slices.DeleteFunc(role.Rules[i].Resources, func(r string) bool { return r == "nodes" })
	}
}

// A Push member whose nodes the hub may not read says so and what to do; all else works,
// and its capacity is known once the right is granted.
func TestFactsWithoutRightsOnPush(t *testing.T) {
	f := sharedFleet(t)
	const member, cluster, account, secret = "blind", "push-4", "blind", "blind-kubeconfig"
	c := f.Cluster(cluster).Client()
	role := &rbacv1.ClusterRole{}
	if err := c.Get(t.Context(), key("", "myapp-hub"), role); err != nil {
		t.Fatal(err)
	}
	role.ObjectMeta = metav1.ObjectMeta{Name: account}
	withoutNodes(role)
	for _, o := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: fleet.HubNamespace, Name: account}}, role,
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: account}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: account},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: fleet.HubNamespace, Name: account}},
		},
	} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Delete(context.Background(), o) })
	}
	token, err := f.Cluster(cluster).Token(t.Context(), fleet.HubNamespace, account, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := f.Cluster(cluster).KubeconfigFor(token, true)
	if err != nil {
		t.Fatal(err)
	}
	putSecret(t, f, secret, map[string][]byte{"kubeconfig": kubeconfig})
	t.Cleanup(func() { deleteSecret(t, f, secret) })
	before := markAll(f, cluster)
	register(t, f, member, v1.MemberClusterSpec{Mode: v1.ModePush, KubeconfigSecretRef: &v1.SecretKeyRef{Name: secret}})
	memberIs(t, f, member, metav1.ConditionTrue, v1.ReasonConnected)
	expect.Member(t, f, soon, member, "may not be measured", blind(v1.ReasonPermissionMissing, "deploy/rbac/member-push.yaml"))

	p := placedOn(t, f, member, cluster)
	expect.Delete(t, f, p.app)
	expect.Gone(t, f, soon, p.app)
	denied := 0
	for _, e := range before.since(t, f, cluster) {
		if e.Resource == "nodes" && strings.HasSuffix(e.User, ":"+account) {
			denied++
		}
	}
	if denied != 1 {
		t.Errorf("it was asked for its nodes %d times", denied)
	}

	// Another credential is another connection, which tries again.
	if err := c.Get(t.Context(), key("", "myapp-hub"), role); err != nil {
		t.Fatal(err)
	}
	rules := role.Rules
	if err := c.Get(t.Context(), key("", account), role); err != nil {
		t.Fatal(err)
	}
	role.Rules = rules
	if err := c.Update(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	if token, err = f.Cluster(cluster).Token(t.Context(), fleet.HubNamespace, account, time.Hour); err != nil {
		t.Fatal(err)
	}
	if kubeconfig, err = f.Cluster(cluster).KubeconfigFor(token, true); err != nil {
		t.Fatal(err)
	}
	putSecret(t, f, secret, map[string][]byte{"kubeconfig": append(kubeconfig, "# again\n"...)})
	expect.Member(t, f, soon, member, "is measured", known(0, 10_000))
}

// The same on a Pull member, whose agent may not read nodes.
func TestFactsWithoutRightsOnPull(t *testing.T) {
	f := sharedFleet(t)
	const member = "pull-2"
	c := f.Cluster(member).Client()
	change := func(edit func(*rbacv1.ClusterRole)) {
		t.Helper()
		role := &rbacv1.ClusterRole{}
		if err := c.Get(context.Background(), key("", "myapp-agent"), role); err != nil {
			t.Fatal(err)
		}
		edit(role)
		if err := c.Update(context.Background(), role); err != nil {
			t.Fatal(err)
		}
		if err := f.Agent(member).Kill(); err != nil {
			t.Fatal(err)
		}
		if err := f.Agent(member).Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	expect.Member(t, f, soon, member, "is measured", known(0, 10_000))
	was := &rbacv1.ClusterRole{}
	if err := c.Get(t.Context(), key("", "myapp-agent"), was); err != nil {
		t.Fatal(err)
	}
	change(withoutNodes)
	t.Cleanup(func() {
		change(func(role *rbacv1.ClusterRole) { role.Rules = was.Rules })
	})
	expect.Member(t, f, soon, member, "may not be measured", blind(v1.ReasonPermissionMissing, "deploy/rbac/member-pull.yaml"))
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(member)))
	expect.Ready(t, f, soon, app, member)
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, member)
}

// What an agent reports reaches the hub's status seldom, however often it is written.
func TestFloodOfReports(t *testing.T) {
	f := sharedFleet(t)
	const member = "pull-1"
	hub := f.Cluster(fleet.HubName).Client()
	expect.Member(t, f, soon, member, "is measured", known(0, 10_000))
	before := markAll(f, fleet.HubName)
	report := &v1.MemberReport{ObjectMeta: metav1.ObjectMeta{Namespace: v1.MailboxNamespace(member), Name: v1.AgentReport}}
	begun, writes := time.Now(), 0
	for ; time.Since(begun) < 5*time.Second; writes++ {
		patch := fmt.Sprintf(`{"spec":{"kubernetesVersion":"v1.%d.0"}}`, writes)
		if err := hub.Patch(t.Context(), report, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
			t.Fatal(err)
		}
	}
	last := fmt.Sprintf("v1.%d.0", writes-1)
	expect.Member(t, f, soon, member, "has the last report", func(s v1.MemberClusterStatus) error {
		if s.KubernetesVersion != last {
			return fmt.Errorf("its version is %s, not %s", s.KubernetesVersion, last)
		}
		return nil
	})
	copied := 0
	for _, e := range expect.Writes(before.since(t, f, fleet.HubName)) {
		if e.Resource == "memberclusters" && e.Name == member {
			copied++
		}
	}
	t.Logf("%d reports in %v were copied %d times", writes, time.Since(begun).Round(time.Millisecond), copied)
	if most := int(time.Since(begun)/time.Second) + 1; copied > most || writes < 2*most {
		t.Errorf("want at most %d copies, one a second", most)
	}
	// The agent says what is so when it is started again.
	if err := f.Agent(member).Kill(); err != nil {
		t.Fatal(err)
	}
	if err := f.Agent(member).Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect.Member(t, f, soon, member, "is measured again", func(s v1.MemberClusterStatus) error {
		if s.KubernetesVersion == last {
			return fmt.Errorf("its version is still %s", last)
		}
		return known(0, 10_000)(s)
	})
}

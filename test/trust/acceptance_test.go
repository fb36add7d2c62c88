package trust

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/attack"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// engineer is somebody who may make and edit MemberClusters, and accept none.
func engineer(t *testing.T, f *fleet.Fleet) *rest.Config {
	t.Helper()
	const namespace = "engineers"
	return account(t, f, namespace, "engineer",
		&rbacv1.ClusterRole{ObjectMeta: named("", "engineer"), Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"example.com"}, Resources: []string{"memberclusters"}, Verbs: []string{"get", "create", "update", "patch"}},
		}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: named("", "engineer"), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "engineer"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "engineer"}}},
	)
}

// A member is accepted as the cluster that it is: who may edit it, and not accept it, does
// not put another in its place.
func TestAcceptanceIsOfACluster(t *testing.T) {
	f := sharedFleet(t)
	leave(t, f, "theirs")
	member := &v1.MemberCluster{ObjectMeta: named("", "theirs"), Spec: v1.MemberClusterSpec{
		Mode: v1.ModePush, KubeconfigSecretRef: &v1.SecretKeyRef{Name: "theirs-kubeconfig"},
	}}
	if err := f.Cluster(fleet.HubName).Client().Create(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	config := engineer(t, f)
	admin := f.Cluster(fleet.HubName).Admin()
	for _, step := range []struct {
		reason, spec string
		as           *rest.Config
		want         int
		says         string
	}{
		{"what an engineer is for", `{"properties":{"a":"b"}}`, config, http.StatusOK, ""},
		{"the same reference", `{"kubeconfigSecretRef":{"name":"theirs-kubeconfig"}}`, config, http.StatusOK, ""},
		{"another Secret", `{"kubeconfigSecretRef":{"name":"mine"}}`, config, http.StatusForbidden, "set spec.accepted to false in the same edit"},
		{"another key", `{"kubeconfigSecretRef":{"key":"mine"}}`, config, http.StatusForbidden, "takes the verb accept"},
		{"another Secret, and said to be accepted", `{"accepted":null,"kubeconfigSecretRef":{"name":"mine"}}`, config, http.StatusForbidden, "takes the verb accept"},
		{"it is not accepted any more", `{"accepted":false,"kubeconfigSecretRef":{"name":"mine"}}`, config, http.StatusOK, ""},
		{"and has another once more", `{"kubeconfigSecretRef":{"name":"other"}}`, config, http.StatusOK, ""},
		{"accepting it", `{"accepted":true}`, config, http.StatusForbidden, "to accept MemberCluster theirs takes the verb accept"},
		{"accepting it as another", `{"accepted":true,"kubeconfigSecretRef":{"name":"mine"}}`, config, http.StatusForbidden, "to accept MemberCluster theirs takes the verb accept"},
		{"an administrator accepts it", `{"accepted":true}`, admin, http.StatusOK, ""},
		{"an administrator moves it", `{"kubeconfigSecretRef":{"name":"mine"}}`, admin, http.StatusOK, ""},
	} {
		status, body := attack.PatchWith(attack.Ours+"/memberclusters/theirs", `{"spec":`+step.spec+`}`).Do(t, step.as)
		if status != step.want || !strings.Contains(body, step.says) {
			t.Errorf("%s: %d %s, want %d and %q", step.reason, status, body, step.want, step.says)
		}
	}
}

// The hub can take the mailbox from an agent also if somebody has taken away from the hub
// what that needs.
func TestRightsAreTakenWithoutTheHubsOwn(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName).Client()
	leave(t, f, "mended")
	newToken(t, f, "mended", "--accept")
	mailbox := v1.MailboxNamespace("mended")
	rights := &rbacv1.RoleBinding{ObjectMeta: named(mailbox, v1.AgentServiceAccount)}
	fleet.Eventually(t, soon, "the agent may read its mailbox", func(ctx context.Context) error {
		return hub.Get(ctx, client.ObjectKeyFromObject(rights), rights)
	})
	if err := f.Hub().Stop(); err != nil {
		t.Fatal(err)
	}
	if err := hub.Delete(t.Context(), &rbacv1.RoleBinding{ObjectMeta: named(mailbox, v1.HubMailboxRole)}); err != nil {
		t.Error(err)
	}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"accepted":false}}`))
	if err := hub.Patch(t.Context(), &v1.MemberCluster{ObjectMeta: named("", "mended")}, patch); err != nil {
		t.Error(err)
	}
	if err := f.Hub().Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	isGone(t, f.Cluster(fleet.HubName), rights)
}

// An agent that is not accepted has no rights in its mailbox, also not because its member
// leaves; and nothing is made in a mailbox that is about to be deleted.
func TestLeavingIsNoWayToStay(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName).Client()
	for _, tt := range []struct {
		name string
		edit func(*v1.MemberClusterSpec)
	}{
		{"staying", func(s *v1.MemberClusterSpec) { no := false; s.Accepted, s.Leave = &no, v1.LeaveRemove }},
		{"forgotten", func(s *v1.MemberClusterSpec) { s.Leave = v1.LeaveForget }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			leave(t, f, tt.name)
			newToken(t, f, tt.name, "--accept")
			mailbox := v1.MailboxNamespace(tt.name)
			rights := &rbacv1.RoleBinding{ObjectMeta: named(mailbox, v1.AgentServiceAccount)}
			fleet.Eventually(t, soon, "the agent may read its mailbox", func(ctx context.Context) error {
				return hub.Get(ctx, client.ObjectKeyFromObject(rights), rights)
			})
			member := &v1.MemberCluster{}
			if err := hub.Get(t.Context(), client.ObjectKey{Name: tt.name}, member); err != nil {
				t.Fatal(err)
			}
			before := member.DeepCopy()
			tt.edit(&member.Spec)
			if err := hub.Patch(t.Context(), member, client.MergeFrom(before)); err != nil {
				t.Fatal(err)
			}
			isGone(t, f.Cluster(fleet.HubName), &rbacv1.RoleBinding{ObjectMeta: named(mailbox, v1.AgentServiceAccount)})

			join := &rbacv1.RoleBinding{ObjectMeta: named(mailbox, v1.JoinServiceAccount)}
			if err := hub.Delete(t.Context(), join); err != nil {
				t.Fatal(err)
			}
			fleet.Consistently(t, 3*time.Second, "nothing is made in the mailbox", func(ctx context.Context) error {
				for _, o := range []*rbacv1.RoleBinding{join, rights} {
					if err := hub.Get(ctx, client.ObjectKeyFromObject(o), &rbacv1.RoleBinding{}); !apierrors.IsNotFound(err) {
						return fmt.Errorf("RoleBinding %s: %w", o.Name, err)
					}
				}
				return nil
			})
		})
	}
}

// What is forgotten is not removed later: a removal that was ordered and not carried out
// is taken back, and does not come back with the member.
func TestForgottenIsNotRemovedLater(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName).Client()
	stop := joinNewcomer(t, f, "remembered")
	expect.Namespace(t, f, "remembered")
	app := expect.App("remembered", "web", expect.On("remembered"))
	expect.Create(t, f, app)
	key := client.ObjectKeyFromObject(app)
	applied(t, f, key, "remembered", "registry.example.com/web:1")
	stop() // the removal stays an order
	work := &v1.Work{ObjectMeta: named(v1.MailboxNamespace("remembered"), v1.WorkName(app.Namespace, app.Name, app.UID))}
	set := func(policy v1.LeavePolicy) {
		member := &v1.MemberCluster{}
		if err := hub.Get(t.Context(), client.ObjectKey{Name: "remembered"}, member); err != nil {
			t.Fatal(err)
		}
		before := member.DeepCopy()
		member.Spec.Leave = policy
		if err := hub.Patch(t.Context(), member, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	set(v1.LeaveRemove)
	fleet.Eventually(t, soon, "the agent is told to remove it", func(ctx context.Context) error {
		if err := hub.Get(ctx, client.ObjectKeyFromObject(work), work); err != nil || work.Spec.State != v1.WorkRemoved {
			return fmt.Errorf("the Work says %s: %w", work.Spec.State, err)
		}
		return nil
	})
	set(v1.LeaveForget)
	isGone(t, f.Cluster(fleet.HubName), work)
	if got := expect.Deployment(t, f, newcomer, key); got.DeletionTimestamp != nil {
		t.Error("what was forgotten is removed")
	}
	expect.Delete(t, f, key)
	expect.Gone(t, f, soon, key)
	if err := f.Cluster(newcomer).Client().Delete(t.Context(), expect.Deployment(t, f, newcomer, key)); err != nil {
		t.Fatal(err)
	}
}

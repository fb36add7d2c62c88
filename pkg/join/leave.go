package join

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Departure is an app that leaves a member.
type Departure struct {
	App   types.NamespacedName
	State v1.PlacementState
	// Others is the number of other members that have the app.
	Others int
	// Waits says why the app does not leave at once; empty if it does.
	Waits string
	// Message is that of the app's row.
	Message string
}

// Departures are the apps that a member has, ordered by name.
func Departures(ctx context.Context, hub client.Client, member string) ([]Departure, error) {
	var apps v1.MyAppList
	if err := hub.List(ctx, &apps); err != nil {
		return nil, fmt.Errorf("listing the apps of member %s: %w", member, err)
	}
	var found []Departure
	for i := range apps.Items {
		app := &apps.Items[i]
		rows := app.Status.Placements
		at := slices.IndexFunc(rows, func(r v1.PlacementRow) bool { return r.Cluster == member })
		if at < 0 {
			continue
		}
		d := Departure{App: client.ObjectKeyFromObject(app), State: rows[at].State, Others: len(rows) - 1, Message: rows[at].Message}
		if app.Spec.Paused && app.DeletionTimestamp == nil {
			d.Waits = "it is paused: set spec.paused to false"
		}
		found = append(found, d)
	}
	slices.SortFunc(found, func(a, b Departure) int { return strings.Compare(a.App.String(), b.App.String()) })
	return found, nil
}

// LeaveOptions say how a member leaves.
type LeaveOptions struct {
	// Member is the name of the MemberCluster, and Policy what becomes of its apps.
	// Required.
	Member string
	Policy v1.LeavePolicy
	// HubNamespace is the hub's own namespace. Required.
	HubNamespace string
	// Timeout is how long to wait for the apps to leave, and then for the mailbox to be
	// gone. Required.
	Timeout time.Duration
	// Progress is told what happens.
	Progress func(format string, args ...any)
}

// inventory is the ConfigMap in which a member remembers the kinds of its apps.
const inventory = "myapp-hub-inventory"

const leavePoll = 500 * time.Millisecond

// ErrNoMember says that the hub has nothing of a member.
var ErrNoMember = errors.New("there is no MemberCluster")

// Leave has the apps of a member leave it, ends its credentials and deletes what the hub
// has of it. It can be called again if it was interrupted.
func Leave(ctx context.Context, hub client.Client, o LeaveOptions) error {
	member := &v1.MemberCluster{}
	member.Name = o.Member
	err := hub.Get(ctx, client.ObjectKey{Name: o.Member}, member)
	switch {
	case apierrors.IsNotFound(err):
		// Interrupted before, or deleted by hand: what is left of it goes.
		if err := hub.Get(ctx, client.ObjectKey{Name: v1.MailboxNamespace(o.Member)}, &corev1.Namespace{}); err != nil {
			return fmt.Errorf("%w %s, nor a mailbox of it: %w", ErrNoMember, o.Member, err)
		}
	case err != nil:
		return fmt.Errorf("reading MemberCluster %s: %w", o.Member, err)
	default:
		if err := o.takeOff(ctx, hub, member); err != nil {
			return err
		}
	}
	// The mailbox first: while there is a MemberCluster, the hub knows why it goes. It does
	// not make it anew for a member that leaves and is not accepted any more.
	if err := o.deleteMailbox(ctx, hub); err != nil {
		return err
	}
	if err := o.deleteKubeconfig(ctx, hub, member); err != nil {
		return err
	}
	if err := hub.Delete(ctx, member); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting MemberCluster %s: %w", o.Member, err)
	}
	o.Progress("MemberCluster %s is deleted", o.Member)
	return nil
}

// takeOff has all apps leave a member, and ends its credentials.
func (o LeaveOptions) takeOff(ctx context.Context, hub client.Client, member *v1.MemberCluster) error {
	if o.Policy == v1.LeaveForget {
		// It is not asked any more, so it need not know the hub any more.
		if err := Revoke(ctx, hub, o.Member); err != nil {
			return err
		}
		o.Progress("its credentials are revoked")
	}
	if err := setLeave(ctx, hub, member, o.Policy); err != nil {
		return err
	}
	if err := o.waitForApps(ctx, hub); err != nil {
		return err
	}
	return Revoke(ctx, hub, o.Member)
}

func setLeave(ctx context.Context, hub client.Client, member *v1.MemberCluster, policy v1.LeavePolicy) error {
	before := member.DeepCopy()
	member.Spec.Leave = policy
	if err := hub.Patch(ctx, member, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("setting spec.leave of MemberCluster %s: %w", member.Name, err)
	}
	return nil
}

func (o LeaveOptions) waitForApps(ctx context.Context, hub client.Client) error {
	said := -1
	var left []Departure
	err := poll(ctx, leavePoll, o.Timeout, func() (bool, error) {
		now, err := Departures(ctx, hub, o.Member)
		if err != nil {
			return false, err
		}
		left = now
		if len(left) != said {
			said = len(left)
			o.Progress("%d apps are left on %s", said, o.Member)
		}
		return said == 0, nil
	})
	if errors.Is(err, errTimeout) {
		var waits []string
		for _, d := range left[:min(len(left), 5)] {
			why := d.Waits
			if why == "" {
				why = d.Message
			}
			waits = append(waits, d.App.String()+": "+why)
		}
		return fmt.Errorf("%d apps have not left %s within %s; nothing was deleted, and they go on leaving. Run this again to go on, or use --force if the cluster is gone for good:\n  %s",
			len(left), o.Member, o.Timeout, strings.Join(waits, "\n  "))
	}
	return err
}

// deleteMailbox deletes the mailbox if it is one, and waits until it is gone: a member
// that takes the name next must not find it.
func (o LeaveOptions) deleteMailbox(ctx context.Context, hub client.Client) error {
	key := client.ObjectKey{Name: v1.MailboxNamespace(o.Member)}
	namespace := &corev1.Namespace{}
	err := hub.Get(ctx, key, namespace)
	if apierrors.IsNotFound(err) || err == nil && (namespace.Labels[v1.LabelMember] != o.Member || namespace.Labels[v1.LabelManagedBy] != v1.ManagedBy) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading namespace %s: %w", key.Name, err)
	}
	if err := hub.Delete(ctx, namespace, client.Preconditions{UID: &namespace.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting namespace %s: %w", key.Name, err)
	}
	err = poll(ctx, leavePoll, o.Timeout, func() (bool, error) {
		err := hub.Get(ctx, key, &corev1.Namespace{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("waiting for the mailbox, namespace %s, to be gone: %w", key.Name, err)
	}
	o.Progress("its mailbox is deleted")
	return nil
}

// deleteKubeconfig deletes the Secret of a Push member if the plugin has made it.
func (o LeaveOptions) deleteKubeconfig(ctx context.Context, hub client.Client, member *v1.MemberCluster) error {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: o.HubNamespace, Name: kubeconfigSecret(o.Member)}
	if member.Spec.KubeconfigSecretRef != nil {
		key.Name = member.Spec.KubeconfigSecretRef.Name
	}
	switch err := hub.Get(ctx, key, secret); {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading Secret %s: %w", key, err)
	case secret.Labels[v1.LabelManagedBy] != ManagedBy:
		o.Progress("Secret %s was not made by kubectl myapp join, and stays", key)
		return nil
	}
	if err := hub.Delete(ctx, secret, client.Preconditions{UID: &secret.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Secret %s: %w", key, err)
	}
	o.Progress("Secret %s is deleted", key)
	return nil
}

// Installation is what joining has put on a cluster for a member.
type Installation struct {
	// Member is the name of the MemberCluster, Hub the ID of its hub.
	Member, Hub string
	// Mode and Namespace are those of the MemberCluster. Without a Mode, for they are not
	// known any more when it is gone, whatever says that it is the member's is.
	Mode      v1.Mode
	Namespace string
}

// Check fails if what is on a cluster is not the member's, or nothing is.
func (i Installation) Check(ctx context.Context, cluster client.Client) error {
	_, err := i.own(ctx, cluster)
	return err
}

// own are the places on a cluster that are the member's.
func (i Installation) own(ctx context.Context, cluster client.Client) ([]place, error) {
	if i.Mode != "" {
		p := place{mode: i.Mode, namespace: i.Namespace}
		return []place{p}, p.checkLeave(ctx, cluster, i.Member, i.Hub)
	}
	var accounts corev1.ServiceAccountList
	if err := cluster.List(ctx, &accounts, client.InNamespace(Namespace)); err != nil {
		return nil, fmt.Errorf("listing the accounts in %s of the cluster: %w", Namespace, err)
	}
	var own []place
	for n := range accounts.Items {
		account := &accounts.Items[n]
		p, ok := placeOf(account.Name)
		if ok && account.Annotations[annotationMember] == i.Member && isOf(account, i.Member, i.Hub) && p.checkHub(ctx, cluster) == nil {
			own = append(own, p)
		}
	}
	return own, nil
}

// Uninstall takes off a cluster what joining has put there for a member, and nothing of
// another: agent, account, rights, what was known of the hub. Apps, and namespaces that
// were made for them, stay as they are. It can be called again if it was interrupted; found
// is true if there was anything.
func Uninstall(ctx context.Context, cluster client.Client, i Installation) (found bool, err error) {
	own, err := i.own(ctx, cluster)
	if err != nil || len(own) == 0 {
		return false, err
	}
	for _, p := range own {
		if err := p.clear(ctx, cluster); err != nil {
			return true, err
		}
	}
	return true, deleteIfEmpty(ctx, cluster)
}

// clear deletes what is at a place, the account by which it is found at the end.
func (p place) clear(ctx context.Context, cluster client.Client) error {
	objects, err := Rights(strings.ToLower(string(p.mode)), p.namespace)
	if err != nil {
		return err
	}
	extra := func(apiVersion, kind, in, name string) {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion(apiVersion)
		o.SetKind(kind)
		o.SetNamespace(in)
		o.SetName(name)
		objects = append(objects, o)
	}
	used, err := p.sharesInventory(ctx, cluster)
	if err != nil {
		return err
	}
	if home := cmp.Or(p.namespace, Namespace); !used {
		extra("v1", "ConfigMap", home, inventory)
		extra(rbacv1.SchemeGroupVersion.String(), "Role", home, inventory)
		extra(rbacv1.SchemeGroupVersion.String(), "RoleBinding", home, inventory)
	}
	if p.mode == v1.ModePull {
		extra("v1", "Secret", Namespace, p.account())
		extra("networking.k8s.io/v1", "NetworkPolicy", Namespace, p.account())
		extra("apps/v1", "Deployment", Namespace, p.account())
	} else {
		extra("v1", "Secret", Namespace, tokenSecret(p.namespace).Name)
	}
	slices.Reverse(objects) // rights go last, and after them the account
	for _, o := range objects {
		if o.GetKind() == "Namespace" {
			continue
		}
		if err := deleteLive(ctx, cluster, o); err != nil {
			return fmt.Errorf("deleting %s %s/%s: %w", o.GetKind(), o.GetNamespace(), o.GetName(), err)
		}
	}
	return nil
}

// deleteLive deletes the object that is there now, and not one that takes its place.
func deleteLive(ctx context.Context, cluster client.Client, o *unstructured.Unstructured) error {
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(o.GroupVersionKind())
	if err := cluster.Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
		return client.IgnoreNotFound(err)
	}
	return client.IgnoreNotFound(cluster.Delete(ctx, live, client.Preconditions{UID: &live.UID}, client.PropagationPolicy("Background")))
}

// sharesInventory is true if the same part of the cluster is a member in the other mode,
// too: the record of kinds is that one's as well.
func (p place) sharesInventory(ctx context.Context, cluster client.Client) (bool, error) {
	other := place{mode: v1.ModePush, namespace: p.namespace}
	if p.mode == v1.ModePush {
		other.mode = v1.ModePull
	}
	account, err := other.read(ctx, cluster)
	return account != nil, err
}

// deleteIfEmpty deletes the namespace of agents and accounts when nobody has anything in
// it any more.
func deleteIfEmpty(ctx context.Context, cluster client.Client) error {
	for _, kind := range []string{"ServiceAccount", "Secret", "ConfigMap", "Pod", "Service"} {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("v1")
		list.SetKind(kind + "List")
		if err := cluster.List(ctx, list, client.InNamespace(Namespace)); err != nil {
			return fmt.Errorf("looking whether namespace %s is empty: %w", Namespace, err)
		}
		for _, o := range list.Items {
			everywhere := kind == "ServiceAccount" && o.GetName() == "default" || kind == "ConfigMap" && o.GetName() == "kube-root-ca.crt"
			if !everywhere && o.GetDeletionTimestamp() == nil {
				return nil
			}
		}
	}
	namespace := &corev1.Namespace{}
	namespace.Name = Namespace
	if err := cluster.Delete(ctx, namespace); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting namespace %s: %w", Namespace, err)
	}
	return nil
}

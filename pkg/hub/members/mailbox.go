package members

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

// mailbox is what there is of the place on the hub through which a Pull member
// is served.
type mailbox struct {
	// conflict: the namespace exists and is not this member's mailbox.
	conflict bool
	// terminating: somebody is deleting the namespace; nothing can be made in it.
	terminating    bool
	namespace      bool
	serviceAccount bool
	roleBinding    bool
	// hubBinding lets the hub write Secrets into the mailbox.
	hubBinding bool
}

// mailboxLabels are on everything that makes up a mailbox.
func mailboxLabels(member string) map[string]string {
	return map[string]string{v1.LabelManagedBy: v1.ManagedBy, v1.LabelMember: member}
}

// observeMailbox reads the mailbox from the cache, which holds only what has
// our labels. Only when the namespace is not there is the API server asked
// whether a foreign one has the name.
//
// Nothing here refers to the MemberCluster as its owner: deleting a
// MemberCluster must not take the mailbox with it.
func (r *reconciler) observeMailbox(ctx context.Context, member string) (*mailbox, error) {
	name := v1.MailboxNamespace(member)
	namespace := partial(namespaceKind)
	err := r.reader.Get(ctx, client.ObjectKey{Name: name}, namespace)
	if apierrors.IsNotFound(err) {
		namespace = partial(namespaceKind)
		err = r.live.Get(ctx, client.ObjectKey{Name: name}, namespace)
	}
	if apierrors.IsNotFound(err) {
		return &mailbox{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading namespace %s of member %s: %w", name, member, err)
	}
	m := &mailbox{
		namespace:   true,
		conflict:    !belongs(namespace, member),
		terminating: !namespace.DeletionTimestamp.IsZero(),
	}
	if m.conflict {
		return m, nil
	}
	key := client.ObjectKey{Namespace: name, Name: v1.AgentServiceAccount}
	hubKey := client.ObjectKey{Namespace: name, Name: v1.HubMailboxRole}
	var errAccount, errBinding, errHub error
	m.serviceAccount, errAccount = r.cached(ctx, key, partial(serviceAccountKind), member)
	m.roleBinding, errBinding = r.cached(ctx, key, partial(roleBindingKind), member)
	m.hubBinding, errHub = r.cached(ctx, hubKey, partial(roleBindingKind), member)
	return m, errors.Join(errAccount, errBinding, errHub)
}

// cached is true when the object is in the cache and belongs to the member.
func (r *reconciler) cached(ctx context.Context, key client.ObjectKey, object *metav1.PartialObjectMetadata, member string) (bool, error) {
	err := r.reader.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading %s %s of member %s: %w", object.Kind, key, member, err)
	}
	return belongs(object, member), nil
}

func belongs(object client.Object, member string) bool {
	for key, value := range mailboxLabels(member) {
		if object.GetLabels()[key] != value {
			return false
		}
	}
	return true
}

// ensureMailbox makes what is missing, which is nothing in steady state.
//
// Everything is created, never applied: the hub needs no right to change a
// Namespace, ServiceAccount or RoleBinding, and a foreign one that appeared in
// the meantime is not seized.
func (r *reconciler) ensureMailbox(ctx context.Context, member string, m *mailbox) error {
	if m.conflict || m.terminating {
		return nil
	}
	name, labels := v1.MailboxNamespace(member), mailboxLabels(member)
	hubInMailbox := metav1.ObjectMeta{Namespace: name, Name: v1.HubMailboxRole, Labels: labels}
	inMailbox := metav1.ObjectMeta{Namespace: name, Name: v1.AgentServiceAccount, Labels: labels}
	for _, part := range []struct {
		exists bool
		object client.Object
	}{
		{m.namespace, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}},
		// Tokens are requested by name, never mounted.
		{m.serviceAccount, &corev1.ServiceAccount{ObjectMeta: inMailbox, AutomountServiceAccountToken: ptr.To(false)}},
		{m.roleBinding, &rbacv1.RoleBinding{
			ObjectMeta: inMailbox,
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: name, Name: v1.AgentServiceAccount}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: v1.AgentClusterRole},
		}},
		{m.hubBinding, &rbacv1.RoleBinding{
			ObjectMeta: hubInMailbox,
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: r.provider.options.Username}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: v1.HubMailboxRole},
		}},
	} {
		if part.exists {
			continue
		}
		// AlreadyExists is an error, too: the next look says whose it is.
		if err := r.writer.Create(ctx, part.object, client.FieldOwner(v1.FieldManager)); err != nil {
			return fmt.Errorf("creating %T %s in the mailbox of member %s: %w", part.object, part.object.GetName(), member, err)
		}
	}
	return nil
}

func (m *mailbox) conflictCondition(member string) *metav1.Condition {
	return condition(metav1.ConditionFalse, v1.ReasonNamespaceConflict, fmt.Sprintf(
		"Namespace %s exists on the hub and is not the mailbox of this member: delete the namespace, or register the cluster under another name.",
		v1.MailboxNamespace(member)))
}

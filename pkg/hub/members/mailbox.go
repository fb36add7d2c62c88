package members

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	// baseBinding lets an agent say that it lives, and roleBinding do its work.
	baseBinding bool
	roleBinding *metav1.PartialObjectMetadata
	// hubBinding lets the hub write Secrets into the mailbox.
	hubBinding bool
	// joinAccount and joinBinding let a cluster join.
	joinAccount, joinBinding bool
	// credential is the Secret that the agent's tokens are bound to, and joining the
	// one of a join token; nil for none.
	credential, joining *metav1.PartialObjectMetadata
	// endpoint is how agents reach the hub, and copied what the mailbox says of it;
	// nil for nothing.
	endpoint, copied *corev1.ConfigMap
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
	return m, r.observeParts(ctx, member, m)
}

// observeParts reads what is in a mailbox.
func (r *reconciler) observeParts(ctx context.Context, member string, m *mailbox) error {
	var failed error
	part := func(kind schema.GroupVersionKind, name string) *metav1.PartialObjectMetadata {
		found, err := r.cached(ctx, client.ObjectKey{Namespace: v1.MailboxNamespace(member), Name: name}, partial(kind), member)
		failed = errors.Join(failed, err)
		return found
	}
	m.serviceAccount = part(serviceAccountKind, v1.AgentServiceAccount) != nil
	m.baseBinding = part(roleBindingKind, v1.AgentBaseBinding) != nil
	m.roleBinding = part(roleBindingKind, v1.AgentServiceAccount)
	m.hubBinding = part(roleBindingKind, v1.HubMailboxRole) != nil
	m.joinAccount = part(serviceAccountKind, v1.JoinServiceAccount) != nil
	m.joinBinding = part(roleBindingKind, v1.JoinServiceAccount) != nil
	m.credential = part(secretKind, v1.CredentialSecret)
	m.joining = part(secretKind, v1.JoinSecret)
	var err error
	m.endpoint, err = r.endpointIn(ctx, r.namespace)
	failed = errors.Join(failed, err)
	m.copied, err = r.endpointIn(ctx, v1.MailboxNamespace(member))
	return errors.Join(failed, err)
}

// cached is the object as the cache has it, nil if it is not there or does not
// belong to the member.
func (r *reconciler) cached(ctx context.Context, key client.ObjectKey, object *metav1.PartialObjectMetadata, member string) (*metav1.PartialObjectMetadata, error) {
	err := r.reader.Get(ctx, key, object)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s of member %s: %w", object.Kind, key, member, err)
	}
	if !belongs(object, member) {
		return nil, nil
	}
	return object, nil
}

// endpointIn is what a namespace says of how agents reach the hub, nil for nothing.
func (r *reconciler) endpointIn(ctx context.Context, namespace string) (*corev1.ConfigMap, error) {
	endpoint := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: namespace, Name: v1.HubConfigMap}
	if err := r.reader.Get(ctx, key, endpoint); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading ConfigMap %s: %w", key, err)
	}
	return endpoint, nil
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
func (r *reconciler) ensureMailbox(ctx context.Context, member string, served bool, m *mailbox) error {
	if m.conflict || m.terminating {
		return nil
	}
	name, labels := v1.MailboxNamespace(member), mailboxLabels(member)
	named := func(object string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: name, Name: object, Labels: labels}
	}
	// Tokens are requested by name, never mounted.
	account := func(object string) client.Object {
		return &corev1.ServiceAccount{ObjectMeta: named(object), AutomountServiceAccountToken: ptr.To(false)}
	}
	binding := func(object, role string, subject rbacv1.Subject) client.Object {
		return &rbacv1.RoleBinding{
			ObjectMeta: named(object), Subjects: []rbacv1.Subject{subject},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		}
	}
	inMailbox := func(account string) rbacv1.Subject {
		return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: name, Name: account}
	}
	hub := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: r.provider.options.Username}
	for _, part := range []struct {
		exists bool
		object client.Object
	}{
		{m.namespace, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}},
		{m.serviceAccount, account(v1.AgentServiceAccount)},
		{m.baseBinding, binding(v1.AgentBaseBinding, v1.AgentBaseClusterRole, inMailbox(v1.AgentServiceAccount))},
		{m.hubBinding, binding(v1.HubMailboxRole, v1.HubMailboxRole, hub)},
		{m.joinAccount, account(v1.JoinServiceAccount)},
		{m.joinBinding, binding(v1.JoinServiceAccount, v1.JoinClusterRole, inMailbox(v1.JoinServiceAccount))},
		// Last, for an agent that may read its mailbox goes to work.
		{m.roleBinding != nil || !served, binding(v1.AgentServiceAccount, v1.AgentClusterRole, inMailbox(v1.AgentServiceAccount))},
	} {
		if part.exists {
			continue
		}
		// AlreadyExists is an error, too: the next look says whose it is.
		if err := r.writer.Create(ctx, part.object, client.FieldOwner(v1.FieldManager)); err != nil {
			return fmt.Errorf("creating %T %s in the mailbox of member %s: %w", part.object, part.object.GetName(), member, err)
		}
	}
	return r.copyEndpoint(ctx, member, m)
}

// takeMailbox ends the rights of an agent that is not to work, also in a mailbox that is
// being deleted.
func (r *reconciler) takeMailbox(ctx context.Context, member string, m *mailbox) error {
	if m.roleBinding == nil {
		return nil
	}
	taken := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: v1.MailboxNamespace(member), Name: v1.AgentServiceAccount}}
	if err := r.writer.Delete(ctx, taken, client.Preconditions{UID: &m.roleBinding.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("taking the mailbox from the agent of member %s: %w", member, err)
	}
	return nil
}

// copyEndpoint tells the agent how the hub is reached. What it was told stays when
// the hub does not know any more.
func (r *reconciler) copyEndpoint(ctx context.Context, member string, m *mailbox) error {
	var err error
	switch {
	case m.endpoint == nil:
	case m.copied == nil:
		err = r.writer.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: v1.MailboxNamespace(member), Name: v1.HubConfigMap, Labels: mailboxLabels(member)},
			Data:       m.endpoint.Data,
		}, client.FieldOwner(v1.FieldManager))
	case !maps.Equal(m.copied.Data, m.endpoint.Data):
		changed := m.copied.DeepCopy()
		changed.Data = m.endpoint.Data
		err = r.writer.Update(ctx, changed, client.FieldOwner(v1.FieldManager))
	}
	if err != nil {
		return fmt.Errorf("telling the agent of member %s how the hub is reached: %w", member, err)
	}
	return nil
}

// retireJoin ends the join token once the agent has used the credential that was made
// with it: then it can be of use only to somebody else.
func (r *reconciler) retireJoin(ctx context.Context, member string, m *mailbox, holder string) error {
	if m.joining == nil || m.credential == nil || holder != string(m.credential.UID) {
		return nil
	}
	join := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.joining.Namespace, Name: m.joining.Name}}
	err := r.writer.Delete(ctx, join, client.Preconditions{UID: &m.joining.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("ending the join token of member %s: %w", member, err)
	}
	return nil
}

// joinedCondition says whether an agent has the mailbox.
func (m *mailbox) joinedCondition(member string) *metav1.Condition {
	switch {
	case m.credential != nil:
		return conditionOf(v1.ConditionJoined, metav1.ConditionTrue, v1.ReasonJoined,
			"A cluster joined at "+m.credential.CreationTimestamp.UTC().Format(time.RFC3339)+". If it was not the one that you expect, run kubectl myapp revoke "+member+".")
	case m.joining != nil:
		return conditionOf(v1.ConditionJoined, metav1.ConditionFalse, v1.ReasonAwaitingAgent,
			"There is a join token, and no cluster has joined with it yet: give kubectl myapp join the line that kubectl myapp token create has printed.")
	}
	return conditionOf(v1.ConditionJoined, metav1.ConditionFalse, v1.ReasonAwaitingAgent,
		"No cluster has joined: run kubectl myapp token create "+member+" on the hub.")
}

func (m *mailbox) conflictCondition(member string) *metav1.Condition {
	return condition(metav1.ConditionFalse, v1.ReasonNamespaceConflict, fmt.Sprintf(
		"Namespace %s exists on the hub and is not the mailbox of this member: delete the namespace, or register the cluster under another name.",
		v1.MailboxNamespace(member)))
}

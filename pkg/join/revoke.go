package join

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

// free sees to it that nobody has the member.
func free(ctx context.Context, hub client.Client, o TokenOptions) error {
	key := client.ObjectKey{Namespace: v1.MailboxNamespace(o.Member), Name: v1.CredentialSecret}
	err := hub.Get(ctx, key, &corev1.Secret{})
	switch {
	case err == nil && !o.Replace:
		return fmt.Errorf("a cluster has joined as member %s: to take that away from it and let a cluster join anew, add --replace", o.Member)
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("reading Secret %s: %w", key, err)
	case !o.Replace:
		return nil
	}
	taken := err == nil
	if err := Revoke(ctx, hub, o.Member); err != nil {
		return err
	}
	if taken {
		// The agent of before could still ask for a token that is bound to what comes next.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tokenCache):
		}
	}
	if o.Accepted {
		return SetAccepted(ctx, hub, o.Member, true)
	}
	return nil
}

// Revoke takes the member away from whoever has it or could join as it. From then on
// the hub writes nothing to the mailbox, for a watch that has begun goes on, and no
// request of an agent of it succeeds more than some ten seconds later. What runs there
// runs on. Whoever joins next has to be accepted anew.
func Revoke(ctx context.Context, hub client.Client, member string) error {
	if err := SetAccepted(ctx, hub, member, false); client.IgnoreNotFound(err) != nil {
		return err
	}
	namespace := v1.MailboxNamespace(member)
	// The join token first, which could make the credential anew. The record ends it at
	// once, deleting its Secret only when the API server has forgotten that it was good.
	if err := record(ctx, hub, namespace, "", ""); client.IgnoreNotFound(err) != nil {
		return err
	}
	if err := deleteSecret(ctx, hub, namespace, v1.JoinSecret); err != nil {
		return err
	}
	return deleteSecret(ctx, hub, namespace, v1.CredentialSecret)
}

// SetAccepted says whether apps may be placed on a member.
func SetAccepted(ctx context.Context, hub client.Client, member string, accepted bool) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		m := &v1.MemberCluster{}
		if err := hub.Get(ctx, client.ObjectKey{Name: member}, m); err != nil {
			return fmt.Errorf("reading MemberCluster %s: %w", member, err)
		}
		if m.IsAccepted() == accepted {
			return nil
		}
		before := m.DeepCopy()
		m.Spec.Accepted = &accepted
		if err := hub.Patch(ctx, m, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			return fmt.Errorf("changing spec.accepted of MemberCluster %s: %w", member, err)
		}
		return nil
	})
}

func deleteSecret(ctx context.Context, hub client.Client, namespace, name string) error {
	err := hub.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Secret %s/%s: %w", namespace, name, err)
	}
	return nil
}

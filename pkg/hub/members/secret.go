package members

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/impersonate"
)

// defaultKey is the key within the Secret when none is named.
const defaultKey = "kubeconfig"

// credential is the outcome of looking at a member's kubeconfig Secret.
type credential struct {
	// problem says why there is no usable credential; nil when there is one.
	problem *metav1.Condition
	// hash identifies the kubeconfig and the namespace it is used for.
	hash string
	// fresh is set when the Secret was read just now; its content is kept
	// nowhere but in the connection.
	fresh *rest.Config
}

// secretSeen is what is remembered of the Secret, so that its content is read
// only when it can have changed.
type secretSeen struct {
	ref     v1.SecretKeyRef
	uid     types.UID
	version string
	outcome credential
}

// observeCredential looks at the Secret's metadata in the cache, and reads the
// Secret itself from the API server only when it changed or there is no
// connection with it.
func (r *reconciler) observeCredential(ctx context.Context, member *v1.MemberCluster, m *memory) (*credential, error) {
	if member.Spec.KubeconfigSecretRef == nil {
		return &credential{problem: missing("spec.kubeconfigSecretRef is not set: name the Secret with the kubeconfig.")}, nil
	}
	ref := *member.Spec.KubeconfigSecretRef
	if ref.Key == "" {
		ref.Key = defaultKey
	}
	key := client.ObjectKey{Namespace: r.namespace, Name: ref.Name}
	known := partial(secretKind)
	if err := r.reader.Get(ctx, key, known); apierrors.IsNotFound(err) {
		return r.noSecret(key, m), nil
	} else if err != nil {
		return nil, fmt.Errorf("reading the metadata of Secret %s of member %s: %w", key, member.Name, err)
	}
	if s := m.secret; s.ref == ref && s.uid == known.UID && s.version == known.ResourceVersion &&
		(s.outcome.problem != nil || r.provider.Has(member.Name, s.outcome.hash)) {
		return &s.outcome, nil
	}
	secret := &corev1.Secret{}
	if err := r.live.Get(ctx, key, secret); err != nil {
		// One that is not found is gone when the cache says so, too: an API server
		// that errs must not end a connection.
		return nil, fmt.Errorf("reading Secret %s of member %s: %w", key, member.Name, err)
	}
	read := readCredential(secret, ref, member)
	m.secret = secretSeen{ref: ref, uid: secret.UID, version: secret.ResourceVersion, outcome: *read}
	m.secret.outcome.fresh = nil
	return read, nil
}

func (r *reconciler) noSecret(key client.ObjectKey, m *memory) *credential {
	m.secret = secretSeen{}
	return &credential{problem: missing(fmt.Sprintf("Secret %s does not exist: create it with the kubeconfig of the cluster.", key))}
}

// readCredential is pure.
func readCredential(secret *corev1.Secret, ref v1.SecretKeyRef, member *v1.MemberCluster) *credential {
	data, ok := secret.Data[ref.Key]
	if !ok {
		return &credential{problem: missing(fmt.Sprintf("Secret %s/%s has no key %q: put the kubeconfig under this key, or set spec.kubeconfigSecretRef.key.",
			secret.Namespace, secret.Name, ref.Key))}
	}
	cfg, err := ParseKubeconfig(data)
	var refused *RefusedError
	if errors.As(err, &refused) {
		return &credential{problem: condition(metav1.ConditionFalse, v1.ReasonCredentialRefused,
			fmt.Sprintf("Secret %s/%s, key %q: %s.", secret.Namespace, secret.Name, ref.Key, refused.Error()))}
	}
	if tenants := member.Spec.TenantServiceAccount; tenants != "" {
		as, err := impersonate.ServiceAccounts(tenants, impersonate.OwnNamespace)
		if err != nil { // The API server lets no such thing through.
			return &credential{problem: condition(metav1.ConditionFalse, v1.ReasonCredentialRefused, "spec.tenantServiceAccount: "+err.Error()+".")}
		}
		cfg.Wrap(as)
	}
	sum := sha256.Sum256(slices.Concat([]byte(member.Spec.Namespace), []byte{0}, []byte(member.Spec.TenantServiceAccount), []byte{0}, data))
	return &credential{hash: hex.EncodeToString(sum[:]), fresh: cfg}
}

func missing(message string) *metav1.Condition {
	return condition(metav1.ConditionFalse, v1.ReasonCredentialMissing, message)
}

// decideConnection says how a Push member is doing. nil leaves the condition as
// it is: there is no result yet, and a restart of the hub is none.
func decideConnection(state ConnState) *metav1.Condition {
	switch state.Phase {
	case Connected:
		return condition(metav1.ConditionTrue, v1.ReasonConnected, "The member answers.")
	case Unreachable:
		return condition(metav1.ConditionUnknown, v1.ReasonUnreachable,
			state.Message+". Check the API server and the network from the hub to it; the hub keeps trying.")
	case Refused:
		return condition(metav1.ConditionFalse, v1.ReasonTooMuchSent,
			state.Message+". The hub does not listen to it and looks again every five minutes.")
	case CredentialRejected:
		return condition(metav1.ConditionFalse, v1.ReasonCredentialRejected, state.Message+".")
	}
	return nil
}

package identity

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Keys of the Secret on the own cluster. The first four and KeyJoinToken are what
// kubectl myapp join writes; the agent puts its token in the place of the join token.
const (
	// KeyMember is the name of the MemberCluster.
	KeyMember = "member"
	// KeyNamespace is the only namespace that the agent uses, if the member is one.
	KeyNamespace = "namespace"
	// KeyServer is the URL of the hub's API server.
	KeyServer = v1.HubServer
	// KeyCA are the certificates that the hub is verified with, in PEM form.
	KeyCA = v1.HubCA
	// KeyJoinToken is the token that the cluster joins with.
	KeyJoinToken = "join-token"
	// KeyToken is the agent's token.
	KeyToken = "token"
	// KeyCredential is the UID of the Secret that the agent's tokens are bound to.
	KeyCredential = "credential-uid"
)

// Credential is what an agent knows of the hub and of itself.
type Credential struct {
	// Member is the name of the MemberCluster, Namespace its spec.namespace or empty.
	Member, Namespace string
	// Server is the URL of the hub's API server, CA what it is verified with.
	Server string
	CA     []byte
	// JoinToken is there until the cluster has joined. It goes before Token: a cluster
	// that is joined again has both.
	JoinToken string
	// Token is the agent's own, and UID that of the Secret it is bound to.
	Token string
	UID   types.UID
}

// Joined is true when there is nothing left to do but to renew the token.
func (c Credential) Joined() bool { return c.JoinToken == "" && c.Token != "" }

// Store keeps the Credential in a Secret of the own cluster.
type Store struct {
	// Client reaches the own cluster.
	Client client.Client
	// Key is that of the Secret.
	Key types.NamespacedName
}

// Load reads the Credential. One that cannot be used is an error that says what to do.
func (s Store) Load(ctx context.Context) (Credential, error) {
	secret := &corev1.Secret{}
	if err := s.Client.Get(ctx, s.Key, secret); err != nil {
		if apierrors.IsNotFound(err) {
			return Credential{}, fmt.Errorf("there is no Secret %s on this cluster, by which it would know its hub: %s", s.Key, howToJoin)
		}
		return Credential{}, fmt.Errorf("reading Secret %s: %w", s.Key, err)
	}
	text := func(key string) string { return string(secret.Data[key]) }
	c := Credential{
		Member: text(KeyMember), Namespace: text(KeyNamespace),
		Server: text(KeyServer), CA: secret.Data[KeyCA],
		JoinToken: text(KeyJoinToken), Token: text(KeyToken), UID: types.UID(text(KeyCredential)),
	}
	for key, missing := range map[string]bool{KeyMember: c.Member == "", KeyServer: c.Server == "", KeyCA: len(c.CA) == 0} {
		if missing {
			return Credential{}, fmt.Errorf("the Secret %s has no %s: %s", s.Key, key, howToJoin)
		}
	}
	if c.JoinToken == "" && (c.Token == "" || c.UID == "") {
		return Credential{}, fmt.Errorf("the Secret %s has no token: %s", s.Key, howToJoin)
	}
	return c, nil
}

// CheckWritable fails if Save would for want of rights. It changes nothing.
func (s Store) CheckWritable(ctx context.Context) error {
	return s.update(ctx, func(*corev1.Secret) {}, client.DryRunAll)
}

// SaveToken keeps a token, and drops the join token for which the first was had.
func (s Store) SaveToken(ctx context.Context, token string, uid types.UID) error {
	return s.update(ctx, func(secret *corev1.Secret) {
		delete(secret.Data, KeyJoinToken)
		secret.Data[KeyToken], secret.Data[KeyCredential] = []byte(token), []byte(uid)
	})
}

// SaveHub keeps how the hub is reached.
func (s Store) SaveHub(ctx context.Context, server string, ca []byte) error {
	return s.update(ctx, func(secret *corev1.Secret) {
		secret.Data[KeyServer], secret.Data[KeyCA] = []byte(server), ca
	})
}

func (s Store) update(ctx context.Context, change func(*corev1.Secret), options ...client.UpdateOption) error {
	secret := &corev1.Secret{}
	if err := s.Client.Get(ctx, s.Key, secret); err != nil {
		return fmt.Errorf("reading Secret %s: %w", s.Key, err)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	change(secret)
	if err := s.Client.Update(ctx, secret, append(options, client.FieldOwner(v1.FieldManager))...); err != nil {
		return fmt.Errorf("writing Secret %s: %w", s.Key, err)
	}
	return nil
}

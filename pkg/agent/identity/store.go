package identity

import (
	"context"
	"errors"
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
	// KeyTokenMember is the member whose token KeyToken is. What kubectl myapp join
	// writes next may be about another member, and another hub.
	KeyTokenMember = "token-member"
	// KeyTokenServer is the URL of the hub that KeyToken is for.
	KeyTokenServer = "token-server"
	// KeyTokenCA are the certificates that that hub is verified with, in PEM form.
	KeyTokenCA = "token-certificate-authority"
)

// Credential is what an agent knows of the hub and of itself.
type Credential struct {
	// Member is the name of the MemberCluster, Namespace its spec.namespace or empty.
	Member, Namespace string
	// Server is the URL of the hub's API server, CA what it is verified with.
	Server string
	CA     []byte
	// JoinToken is there until the cluster has joined.
	JoinToken string
	// Token is the agent's own, and UID that of the Secret it is bound to.
	Token string
	UID   types.UID
	// before is what a cluster that is joined again has been till now, nil for nothing.
	// Its token is for its hub, and goes to no other.
	before *Credential
	// tried is the join token that the Secret has had at the start.
	tried string
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
	if c.JoinToken != "" {
		c.before = beforeOf(c, text(KeyTokenMember), text(KeyTokenServer), secret.Data[KeyTokenCA])
		c.Token, c.UID, c.tried = "", "", c.JoinToken
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

// beforeOf is what the token of a Secret with a join token was used for, as far as that
// is known.
func beforeOf(c Credential, member, server string, ca []byte) *Credential {
	if c.Token == "" || c.UID == "" || member == "" || server == "" || len(ca) == 0 {
		return nil
	}
	return &Credential{Member: member, Namespace: c.Namespace, Server: server, CA: ca, Token: c.Token, UID: c.UID, tried: c.JoinToken}
}

// CheckWritable fails if Save would for want of rights. It changes nothing.
func (s Store) CheckWritable(ctx context.Context) error {
	return s.update(ctx, func(*corev1.Secret) error { return nil }, client.DryRunAll)
}

// errRejoined says that the cluster was joined again since the process has started: what
// it has is of before.
var errRejoined = errors.New("the cluster was joined again in the meantime, and this agent is that of before: it has to be started anew")

// SaveToken keeps a token with what it is for, and drops the join token for which the
// first was had.
func (s Store) SaveToken(ctx context.Context, c Credential, token string) error {
	return s.update(ctx, func(secret *corev1.Secret) error {
		if err := c.mayReplace(secret); err != nil {
			return err
		}
		if len(secret.Data[KeyJoinToken]) > 0 {
			delete(secret.Data, KeyJoinToken)
			c.keepHub(secret)
		}
		c.keepWhose(secret)
		secret.Data[KeyToken], secret.Data[KeyCredential] = []byte(token), []byte(c.UID)
		return nil
	})
}

// SaveHub keeps how the hub of a Credential is reached.
func (s Store) SaveHub(ctx context.Context, c Credential) error {
	return s.update(ctx, func(secret *corev1.Secret) error {
		if err := c.mayReplace(secret); err != nil {
			return err
		}
		c.keepHub(secret)
		c.keepWhose(secret)
		return nil
	})
}

// mayReplace fails if the Secret has a join token that the process does not know, with
// another hub or member beside it.
func (c Credential) mayReplace(secret *corev1.Secret) error {
	is := func(key, value string) bool { return string(secret.Data[key]) == value }
	if is(KeyJoinToken, "") || is(KeyJoinToken, c.tried) ||
		is(KeyMember, c.Member) && is(KeyServer, c.Server) && is(KeyCA, string(c.CA)) {
		return nil
	}
	return errRejoined
}

func (c Credential) keepHub(secret *corev1.Secret) {
	secret.Data[KeyMember], secret.Data[KeyServer], secret.Data[KeyCA] = []byte(c.Member), []byte(c.Server), c.CA
}

func (c Credential) keepWhose(secret *corev1.Secret) {
	secret.Data[KeyTokenMember], secret.Data[KeyTokenServer], secret.Data[KeyTokenCA] = []byte(c.Member), []byte(c.Server), c.CA
}

func (s Store) update(ctx context.Context, change func(*corev1.Secret) error, options ...client.UpdateOption) error {
	secret := &corev1.Secret{}
	if err := s.Client.Get(ctx, s.Key, secret); err != nil {
		return fmt.Errorf("reading Secret %s: %w", s.Key, err)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	if err := change(secret); err != nil {
		return err
	}
	if err := s.Client.Update(ctx, secret, append(options, client.FieldOwner(v1.FieldManager))...); err != nil {
		return fmt.Errorf("writing Secret %s: %w", s.Key, err)
	}
	return nil
}

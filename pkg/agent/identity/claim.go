package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

const howToJoin = "run kubectl myapp token create on the hub, and kubectl myapp join with what it prints on this cluster"

// requestTimeout bounds a request for a token.
const requestTimeout = 10 * time.Second

var (
	// ErrRefused says that the hub does not accept the token any more.
	ErrRefused = errors.New("the hub does not accept the token of this cluster, which has expired or was revoked: " + howToJoin)
	// ErrTaken says that somebody has joined with the join token already.
	ErrTaken = errors.New("a cluster has joined the hub with this join token, or as this member, already: if it was not this one, run kubectl myapp revoke on the hub; then " + howToJoin)
)

// Claim makes the credential in the mailbox with the join token, and asks for the
// first token that is bound to it.
func Claim(ctx context.Context, c Credential) (token string, uid types.UID, err error) {
	hub, err := hubClient(c, func(config *rest.Config) { config.Wrap(bearer(c.Server, func() string { return c.JoinToken })) })
	if err != nil {
		return "", "", err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: v1.MailboxNamespace(c.Member), Name: v1.CredentialSecret,
		Labels: map[string]string{v1.LabelManagedBy: v1.ManagedBy, v1.LabelMember: c.Member},
	}}
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	switch err := hub.Create(bounded, secret); {
	case apierrors.IsAlreadyExists(err):
		return "", "", ErrTaken
	case apierrors.IsUnauthorized(err):
		return "", "", ErrRefused
	case apierrors.IsForbidden(err):
		return "", "", fmt.Errorf("%w (%w)", ErrRefused, err)
	case err != nil:
		return "", "", fmt.Errorf("joining the hub as member %s: %w", c.Member, err)
	}
	token, err = request(ctx, hub, c.Member, secret.UID, nil)
	return token, secret.UID, err
}

// renewal asks for the token after the one that is there. An API server that was given a
// new issuer for its tokens gives them for an audience that its admission policies may not
// know yet; for that of the last one it still does.
func renewal(ctx context.Context, hub client.Client, member string, uid types.UID, last string) (string, error) {
	token, err := request(ctx, hub, member, uid, nil)
	if !apierrors.IsForbidden(err) {
		return token, err
	}
	if was, unread := ClaimsOf(last); unread == nil && len(was.Audiences) > 0 {
		return request(ctx, hub, member, uid, was.Audiences)
	}
	return token, err
}

// request asks for a token of the agent's account that is bound to the credential, for
// the API server itself if audiences says nothing else.
func request(ctx context.Context, hub client.Client, member string, uid types.UID, audiences []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: v1.MailboxNamespace(member), Name: v1.AgentServiceAccount}}
	review := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences:         audiences,
		ExpirationSeconds: ptr.To(int64(v1.AgentTokenLife / time.Second)),
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Secret", Name: v1.CredentialSecret, UID: uid,
		},
	}}
	err := hub.SubResource("token").Create(ctx, account, review)
	switch {
	// Without the Secret, or with another one in its place, no token is ever given.
	case apierrors.IsUnauthorized(err), apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return "", fmt.Errorf("%w (%w)", ErrRefused, err)
	case err != nil:
		return "", fmt.Errorf("asking the hub for a token of member %s: %w", member, err)
	}
	return review.Status.Token, nil
}

// Config reaches the hub of a Credential. set puts the token in.
func (c Credential) config(set func(*rest.Config)) *rest.Config {
	config := &rest.Config{
		Host: c.Server, TLSClientConfig: rest.TLSClientConfig{CAData: c.CA},
		UserAgent: "myapp-agent", QPS: -1, // API priority and fairness does the rest.
	}
	set(config)
	return config
}

func hubClient(c Credential, set func(*rest.Config)) (client.Client, error) {
	config := c.config(set)
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, authenticationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("adding types to the scheme: %w", err)
		}
	}
	mapper := meta.NewDefaultRESTMapper(nil) // no discovery, to which a join token has no right
	for _, kind := range []string{"Secret", "ServiceAccount", "ConfigMap"} {
		mapper.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	made, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("making a client for the hub at %s: %w", c.Server, err)
	}
	return made, nil
}

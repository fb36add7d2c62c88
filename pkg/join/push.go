package join

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

// ManagedBy is the value of the label managed-by on what the plugin makes on a hub.
const ManagedBy = "kubectl-myapp"

const tokenPoll = 200 * time.Millisecond

// PushOptions say which cluster becomes a Push member.
type PushOptions struct {
	// Member is the name of the MemberCluster. Required.
	Member string
	// Namespace makes it a member of one namespace of the cluster.
	Namespace string
	// TenantServiceAccount is the ServiceAccount as which the hub acts in each namespace.
	// Default: itself.
	TenantServiceAccount string
	// Labels are those of the MemberCluster.
	Labels map[string]string
	// Server and CA are how the hub reaches the cluster's API server. Required.
	Server string
	CA     []byte
	// HubNamespace is the hub's own namespace. Required.
	HubNamespace string
	// Replace lets the member take the place of another one on the cluster.
	Replace bool
	// TokenTimeout is how long the cluster may take to make a token. Required.
	TokenTimeout time.Duration
}

// HubAccount is the account that the hub works with on a Push member.
func HubAccount(namespace string) string {
	if namespace == "" {
		return "myapp-hub"
	}
	return "myapp-hub-" + namespace
}

// tokenSecret is the Secret on a Push member with the token of the hub's account. It has
// no end of its own: deleting it ends it.
func tokenSecret(namespace string) *corev1.Secret {
	account := HubAccount(namespace)
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: Namespace, Name: account + "-token", Annotations: map[string]string{corev1.ServiceAccountNameKey: account},
		},
		Type: corev1.SecretTypeServiceAccountToken,
	}
}

// Push makes an account with rights on a cluster, and gives its token to the hub. apply
// puts an object on the cluster.
func Push(ctx context.Context, hub, member client.Client, o PushOptions, apply func(client.Client, client.Object) error) error {
	rights, err := RightsOf("push", o.Namespace, o.TenantServiceAccount)
	if err != nil {
		return err
	}
	hubID, err := HubID(ctx, hub, o.HubNamespace)
	if err != nil {
		return err
	}
	p := place{mode: v1.ModePush, namespace: o.Namespace}
	if err := p.checkHub(ctx, member); err != nil {
		return err
	}
	if !o.Replace {
		if err := p.checkJoin(ctx, member, o.Member, hubID); err != nil {
			return err
		}
	}
	belongsTo(rights, o.Member, hubID)
	for _, object := range rights {
		if err := apply(member, object); err != nil {
			return err
		}
	}
	secret := tokenSecret(o.Namespace)
	if o.Replace { // whoever had the place keeps no token
		if err := member.Delete(ctx, secret.DeepCopy()); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting Secret %s on the cluster: %w", client.ObjectKeyFromObject(secret), err)
		}
	}
	if err := member.Create(ctx, secret); client.IgnoreAlreadyExists(err) != nil {
		return fmt.Errorf("making Secret %s on the cluster: %w", client.ObjectKeyFromObject(secret), err)
	}
	token, err := waitForToken(ctx, member, client.ObjectKeyFromObject(secret), o.TokenTimeout)
	if err != nil {
		return err
	}
	config, err := kubeconfigOf(o, token)
	if err != nil {
		return err
	}
	for _, object := range []client.Object{
		&corev1.Secret{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{Namespace: o.HubNamespace, Name: kubeconfigSecret(o.Member), Labels: map[string]string{v1.LabelManagedBy: ManagedBy}},
			Data:       map[string][]byte{"kubeconfig": config},
		},
		&v1.MemberCluster{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1.GroupVersion.String(), Kind: "MemberCluster"},
			ObjectMeta: metav1.ObjectMeta{Name: o.Member, Labels: o.Labels},
			Spec: v1.MemberClusterSpec{
				Mode: v1.ModePush, Namespace: o.Namespace, TenantServiceAccount: o.TenantServiceAccount, KubeconfigSecretRef: &v1.SecretKeyRef{Name: kubeconfigSecret(o.Member), Key: "kubeconfig"},
			},
		},
	} {
		if err := apply(hub, object); err != nil {
			return err
		}
	}
	return nil
}

func kubeconfigSecret(member string) string { return member + "-kubeconfig" }

func waitForToken(ctx context.Context, member client.Client, key client.ObjectKey, timeout time.Duration) (string, error) {
	secret := &corev1.Secret{}
	err := poll(ctx, tokenPoll, timeout, func() (bool, error) {
		if err := member.Get(ctx, key, secret); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		return len(secret.Data[corev1.ServiceAccountTokenKey]) > 0, nil
	})
	if errors.Is(err, errTimeout) {
		return "", fmt.Errorf("the cluster has put no token into Secret %s within %s: check that its controller manager runs", key, timeout)
	}
	if err != nil {
		return "", fmt.Errorf("waiting for the token in Secret %s: %w", key, err)
	}
	return string(secret.Data[corev1.ServiceAccountTokenKey]), nil
}

func kubeconfigOf(o PushOptions, token string) ([]byte, error) {
	config := api.NewConfig()
	config.Clusters[o.Member] = &api.Cluster{Server: o.Server, CertificateAuthorityData: o.CA}
	config.AuthInfos[o.Member] = &api.AuthInfo{Token: token}
	config.Contexts[o.Member] = &api.Context{Cluster: o.Member, AuthInfo: o.Member}
	config.CurrentContext = o.Member
	text, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("writing the kubeconfig of member %s: %w", o.Member, err)
	}
	return text, nil
}

package join

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

const (
	// ShortestTTL is the shortest life of a token that an API server gives.
	ShortestTTL = 10 * time.Minute
	// LongestTTL is the longest life of a join token that the hub admits.
	LongestTTL = 24 * time.Hour

	mailboxPoll = 100 * time.Millisecond
	// policyTimeout is how long admission policies may take to be in force.
	policyTimeout = 10 * time.Second
	// tokenCache is how long an API server may take a token for good that is so no
	// more: its cache holds ten seconds.
	tokenCache = 12 * time.Second
)

// TokenOptions say what a join token is for.
type TokenOptions struct {
	// Member is the name of the MemberCluster. It is made if there is none. Required.
	Member string
	// Namespace makes a MemberCluster of one namespace, if it is made.
	Namespace string
	// Labels are those of the MemberCluster, if it is made.
	Labels map[string]string
	// Accepted is spec.accepted of the MemberCluster, if it is made or Replace is set.
	Accepted bool
	// Replace takes the member away from the agent that has it.
	Replace bool
	// TTL is the life of the token, between ShortestTTL and LongestTTL.
	TTL time.Duration
	// Server and CA are how agents reach the hub. Default: what the ConfigMap
	// hub-endpoint in HubNamespace says, which is made of them if it is not there.
	Server string
	CA     []byte
	// Insist fails if hub-endpoint says another server than Server.
	Insist bool
	// Reach is how the hub is reached from here. Default: as Server and CA say.
	Reach *rest.Config
	// HubNamespace is the hub's own namespace. Required.
	HubNamespace string
	// MailboxTimeout is how long to wait for the hub to make the mailbox. Required.
	MailboxTimeout time.Duration
}

// CreateToken makes a join token, and what has to be there for it.
func CreateToken(ctx context.Context, hub client.Client, o TokenOptions) (Line, error) {
	if o.TTL < ShortestTTL || o.TTL > LongestTTL {
		return Line{}, fmt.Errorf("a join token that lives for %s is too short or too long: give it between %s and %s (--ttl)", o.TTL, ShortestTTL, LongestTTL)
	}
	endpoint, err := ensureEndpoint(ctx, hub, o)
	if err != nil {
		return Line{}, err
	}
	member, err := ensureMember(ctx, hub, o)
	if err != nil {
		return Line{}, err
	}
	if err := waitForMailbox(ctx, hub, o); err != nil {
		return Line{}, err
	}
	if err := free(ctx, hub, o); err != nil {
		return Line{}, err
	}
	token, err := makeToken(ctx, hub, o)
	if err != nil {
		return Line{}, err
	}
	if err := checkPolicies(ctx, o, endpoint, token); err != nil {
		return Line{}, err
	}
	return Line{
		Member: o.Member, Namespace: member.Spec.Namespace, Token: token,
		Server: endpoint.Data[v1.HubServer], CA: []byte(endpoint.Data[v1.HubCA]),
	}, nil
}

// ensureEndpoint sees to it that the hub says how it is reached.
func ensureEndpoint(ctx context.Context, hub client.Client, o TokenOptions) (*corev1.ConfigMap, error) {
	endpoint := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: o.HubNamespace, Name: v1.HubConfigMap, Labels: map[string]string{v1.LabelManagedBy: v1.ManagedBy},
	}}
	key := client.ObjectKeyFromObject(endpoint)
	err := hub.Get(ctx, key, endpoint)
	if apierrors.IsNotFound(err) {
		if o.Server == "" || len(o.CA) == 0 {
			return nil, fmt.Errorf("there is no ConfigMap %s, and the kubeconfig does not say how agents reach the hub with a verified certificate: give --server and --ca-file", key)
		}
		endpoint.Data = map[string]string{v1.HubServer: o.Server, v1.HubCA: string(o.CA)}
		err = hub.Create(ctx, endpoint)
	}
	if err != nil {
		return nil, fmt.Errorf("reading or making ConfigMap %s, which says how agents reach the hub: %w", key, err)
	}
	if has := endpoint.Data[v1.HubServer]; o.Insist && has != o.Server {
		return nil, fmt.Errorf("ConfigMap %s says that clusters reach the hub at %s, not at %s: edit it, which those that have joined follow, or leave --server out", key, has, o.Server)
	}
	return endpoint, nil
}

func ensureMember(ctx context.Context, hub client.Client, o TokenOptions) (*v1.MemberCluster, error) {
	member := &v1.MemberCluster{}
	err := hub.Get(ctx, client.ObjectKey{Name: o.Member}, member)
	switch {
	case apierrors.IsNotFound(err):
		member = &v1.MemberCluster{
			ObjectMeta: metav1.ObjectMeta{Name: o.Member, Labels: o.Labels},
			Spec:       v1.MemberClusterSpec{Mode: v1.ModePull, Accepted: &o.Accepted, Namespace: o.Namespace},
		}
		if err := hub.Create(ctx, member); err != nil {
			return nil, fmt.Errorf("making MemberCluster %s: %w", o.Member, err)
		}
	case err != nil:
		return nil, fmt.Errorf("reading MemberCluster %s: %w", o.Member, err)
	case member.Spec.Mode != v1.ModePull:
		return nil, fmt.Errorf("MemberCluster %s is a %s member, which needs no agent and no join token: use kubectl myapp join --mode push, or another name", o.Member, member.Spec.Mode)
	case o.Namespace != "" && o.Namespace != member.Spec.Namespace:
		return nil, fmt.Errorf("MemberCluster %s is there already and its spec.namespace is %q, not %q: leave --member-namespace out, or use another name", o.Member, member.Spec.Namespace, o.Namespace)
	}
	return member, nil
}

// waitForMailbox waits until the hub has made what a cluster joins through.
func waitForMailbox(ctx context.Context, hub client.Client, o TokenOptions) error {
	key := client.ObjectKey{Namespace: v1.MailboxNamespace(o.Member), Name: v1.JoinServiceAccount}
	err := poll(ctx, mailboxPoll, o.MailboxTimeout, func() (bool, error) {
		err := hub.Get(ctx, key, &corev1.ServiceAccount{})
		return err == nil, client.IgnoreNotFound(err)
	})
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("the hub has not made the mailbox, namespace %s, within %s: check that the hub runs, and what kubectl describe mc %s says", key.Namespace, o.MailboxTimeout, o.Member)
	}
	if err != nil {
		return fmt.Errorf("waiting for ServiceAccount %s: %w", key, err)
	}
	return nil
}

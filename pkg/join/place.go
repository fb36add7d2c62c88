package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/identity"
)

// What an account on a cluster is for, as annotations of it. A cluster can be several
// members, and members of several hubs: a command that is given the wrong context must
// not take anything from another one.
const (
	annotationMember = v1.LabelMember
	// annotationHub is the hub's ID, where it is known.
	annotationHub = "example.com/hub"
)

// ErrTaken says that the place on a cluster belongs to another member.
var ErrTaken = errors.New("this cluster has it already")

// place is where on a cluster the account of a member is.
type place struct {
	mode v1.Mode
	// namespace is that of a namespaced member, else empty.
	namespace string
}

func (p place) account() string {
	if p.mode == v1.ModePush {
		return HubAccount(p.namespace)
	}
	return AgentName(p.namespace)
}

// belongsTo writes on the accounts among objects whose they are.
func belongsTo(objects []*unstructured.Unstructured, member, hub string) {
	for _, o := range objects {
		if o.GetKind() != "ServiceAccount" {
			continue
		}
		annotations := map[string]string{annotationMember: member}
		if hub != "" {
			annotations[annotationHub] = hub
		}
		o.SetAnnotations(annotations)
	}
}

// isOf is true for an account of a member. One that does not say whose it is counts as
// anybody's.
func isOf(account *corev1.ServiceAccount, member, hub string) bool {
	is := func(annotation, wanted string) bool {
		value := account.Annotations[annotation]
		return value == "" || wanted == "" || value == wanted
	}
	return is(annotationMember, member) && is(annotationHub, hub)
}

// CheckAgent fails if the agent that a Line asks for would take the place of one that is
// there for another member, or for another hub.
func CheckAgent(ctx context.Context, cluster client.Client, l Line) error {
	p := place{mode: v1.ModePull, namespace: l.Namespace}
	if err := checkPlace(ctx, cluster, p, l.Member, "", false); err != nil {
		return err
	}
	secret := &corev1.Secret{}
	err := cluster.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: p.account()}, secret)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking which hub the agent on this cluster has: %w", err)
	}
	// A hub may move or get another authority; one of which nothing is as before is another.
	if server := string(secret.Data[identity.KeyServer]); server != l.Server && !bytes.Equal(secret.Data[identity.KeyCA], l.CA) {
		return fmt.Errorf("%w: the agent here has joined the hub at %s, and this token is of the one at %s. Let the cluster leave that hub first; if it is the same hub, add --replace", ErrTaken, server, l.Server)
	}
	return nil
}

// checkPlace fails if a place on a cluster belongs to another member, or to the hub itself.
// certain wants the account to say that it is the member's, if it is there.
func checkPlace(ctx context.Context, cluster client.Client, p place, member, hub string, certain bool) error {
	account := &corev1.ServiceAccount{}
	key := client.ObjectKey{Namespace: Namespace, Name: p.account()}
	err := cluster.Get(ctx, key, account)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking whether ServiceAccount %s is on this cluster: %w", key, err)
	}
	// The hub's own account has the name of that on a Push member.
	if hub, err := isHub(ctx, cluster); err != nil {
		return err
	} else if hub && p.account() == HubAccount("") {
		return fmt.Errorf("%w: this cluster is a hub, and ServiceAccount %s is the hub's own. Check the context; a hub can be a Pull member, or one by --member-namespace", ErrTaken, key)
	}
	owner := account.Annotations[annotationMember]
	switch {
	case certain && owner == "":
		return fmt.Errorf("%w: ServiceAccount %s does not say whose it is. If it is of member %s, delete it there", ErrTaken, key, member)
	case isOf(account, member, hub):
		return nil
	case owner == member:
		return fmt.Errorf("%w: ServiceAccount %s is that of member %s of another hub. Check the contexts; if this cluster has changed hubs, let it leave the other one there first, or join it with --replace", ErrTaken, key, owner)
	}
	return fmt.Errorf("%w: ServiceAccount %s is that of member %s. Check the context; if this cluster is to be %s from now on, let the other leave first, on its hub: kubectl myapp leave %[3]s --member-context CONTEXT; or join it with --replace", ErrTaken, key, owner, member)
}

// isHub is true for a cluster that has MemberClusters.
func isHub(ctx context.Context, cluster client.Client) (bool, error) {
	err := cluster.List(ctx, &v1.MemberClusterList{}, client.Limit(1))
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking whether this cluster is a hub: %w", err)
	}
	return true, nil
}

// hubIdentity is the ConfigMap of the hub with its identity, and identityKey its key.
const hubIdentity, identityKey = "hub-identity", "hubID"

// HubID tells hubs apart. It survives a restore into another cluster.
func HubID(ctx context.Context, hub client.Client, namespace string) (string, error) {
	identity := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: namespace, Name: hubIdentity}
	if err := hub.Get(ctx, key, identity); err != nil {
		return "", fmt.Errorf("reading which hub this is, ConfigMap %s: %w", key, err)
	}
	return identity.Data[identityKey], nil
}

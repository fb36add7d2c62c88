package join

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	// annotationHub is the UID of the namespace kube-system of the hub, where it is known.
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

// placeOf is the place that an account is for.
func placeOf(account string) (place, bool) {
	for _, p := range []place{{mode: v1.ModePull}, {mode: v1.ModePush}} {
		name := p.account()
		if account == name {
			return p, true
		}
		if namespace, ok := strings.CutPrefix(account, name+"-"); ok {
			p.namespace = namespace
			return p, true
		}
	}
	return place{}, false
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
// everybody's: it was made before accounts did.
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
	if err := checkPlace(ctx, cluster, p, l.Member, ""); err != nil {
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

// checkPlace fails if a place on a cluster belongs to another member.
func checkPlace(ctx context.Context, cluster client.Client, p place, member, hub string) error {
	account := &corev1.ServiceAccount{}
	key := client.ObjectKey{Namespace: Namespace, Name: p.account()}
	err := cluster.Get(ctx, key, account)
	if apierrors.IsNotFound(err) || err == nil && isOf(account, member, hub) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking whether ServiceAccount %s is on this cluster: %w", key, err)
	}
	return fmt.Errorf("%w: ServiceAccount %s is that of member %s%s. Check the context; if this cluster is to be %s from now on, let %[3]s leave first (kubectl myapp leave %[3]s), or add --replace",
		ErrTaken, key, account.Annotations[annotationMember], ofHub(account, hub), member)
}

func ofHub(account *corev1.ServiceAccount, hub string) string {
	if other := account.Annotations[annotationHub]; hub != "" && other != "" && other != hub {
		return " of another hub"
	}
	return ""
}

// HubUID tells hubs apart: it is the UID of the namespace kube-system.
func HubUID(ctx context.Context, hub client.Client) (string, error) {
	system := &corev1.Namespace{}
	if err := hub.Get(ctx, client.ObjectKey{Name: "kube-system"}, system); err != nil {
		return "", fmt.Errorf("reading which hub this is, by namespace kube-system: %w", err)
	}
	return string(system.UID), nil
}

// placesOf are where on a cluster the accounts of a member are, and the other members
// that have accounts there.
func placesOf(ctx context.Context, cluster client.Client, member, hub string) (own []place, others []string, err error) {
	var accounts corev1.ServiceAccountList
	if err := cluster.List(ctx, &accounts, client.InNamespace(Namespace)); err != nil {
		return nil, nil, fmt.Errorf("listing the accounts in %s: %w", Namespace, err)
	}
	for i := range accounts.Items {
		account := &accounts.Items[i]
		p, ok := placeOf(account.Name)
		switch {
		case !ok:
		case isOf(account, member, hub):
			own = append(own, p)
		default:
			others = append(others, account.Annotations[annotationMember]+ofHub(account, hub))
		}
	}
	slices.Sort(others)
	return own, slices.Compact(others), nil
}

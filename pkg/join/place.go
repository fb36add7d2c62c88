package join

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
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

var (
	// ErrTaken says that the place on a cluster belongs to another member, or to a hub.
	ErrTaken = errors.New("the place on this cluster is taken")
	// ErrNotThere says that a member has nothing on a cluster.
	ErrNotThere = errors.New("nothing of the member is on this cluster")
)

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

// placeOf is the place that an account is at.
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
	if err := p.checkJoin(ctx, cluster, l.Member, ""); err != nil {
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

// CheckNoChart fails if Helm has installed the agent of a Line: what the plugin would make of
// it has not the values of its chart.
func CheckNoChart(ctx context.Context, cluster client.Client, l Line) error {
	deployment := &appsv1.Deployment{}
	key := client.ObjectKey{Namespace: Namespace, Name: AgentName(l.Namespace)}
	if err := cluster.Get(ctx, key, deployment); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("looking who has installed the agent, Deployment %s: %w", key, err)
	}
	if deployment.Labels[v1.LabelManagedBy] == "Helm" {
		return fmt.Errorf("the agent here is installed by Helm, which keeps its image, rights and arguments: add --secret-only, and restart it with kubectl rollout restart -n %s deployment/%s", key.Namespace, key.Name)
	}
	return nil
}

// checkJoin fails if a place belongs to another member, and says what to do.
func (p place) checkJoin(ctx context.Context, cluster client.Client, member, hub string) error {
	account, err := p.read(ctx, cluster)
	if err != nil || account == nil || isOf(account, member, hub) {
		return err
	}
	return fmt.Errorf("%w. Check the context. If this cluster is to be %s of this hub from now on, let the other leave first, on its hub (kubectl myapp leave %s --member-context CONTEXT), or add --replace",
		takenBy(account), member, account.Annotations[annotationMember])
}

// checkLeave fails if a place is not a member's, so that nothing is to be taken off there,
// and says what to do.
func (p place) checkLeave(ctx context.Context, cluster client.Client, member, hub string) error {
	const advice = "Check the context, or leave it out: then nothing is taken off the cluster"
	account, err := p.read(ctx, cluster)
	switch {
	case err != nil:
		return err
	case account == nil:
		return fmt.Errorf("%w: there is no ServiceAccount %s/%s. %s", ErrNotThere, Namespace, p.account(), advice)
	case !isOf(account, member, hub):
		return fmt.Errorf("%w. %s", takenBy(account), advice)
	}
	return p.checkHub(ctx, cluster)
}

// checkHub fails if a place has the name of a hub's own account, and the cluster is a hub.
func (p place) checkHub(ctx context.Context, cluster client.Client) error {
	if p.account() != HubAccount("") {
		return nil
	}
	if hub, err := isHub(ctx, cluster); err != nil || !hub {
		return err
	}
	return fmt.Errorf("%w: this cluster is a hub, and ServiceAccount %s/%s is the hub's own. Check the context; a hub can be a Pull member, or one by --member-namespace", ErrTaken, Namespace, p.account())
}

// read is the account at a place, nil if there is none.
func (p place) read(ctx context.Context, cluster client.Client) (*corev1.ServiceAccount, error) {
	account := &corev1.ServiceAccount{}
	key := client.ObjectKey{Namespace: Namespace, Name: p.account()}
	if err := cluster.Get(ctx, key, account); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading ServiceAccount %s of the cluster: %w", key, err)
	}
	return account, nil
}

func takenBy(account *corev1.ServiceAccount) error {
	return fmt.Errorf("%w: ServiceAccount %s/%s is that of member %s, of hub %s",
		ErrTaken, account.Namespace, account.Name, account.Annotations[annotationMember], cmp.Or(account.Annotations[annotationHub], "unknown"))
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

// HubID tells hubs apart. It survives a restore into another cluster.
func HubID(ctx context.Context, hub client.Client, namespace string) (string, error) {
	identity := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: namespace, Name: v1.HubIdentity}
	if err := hub.Get(ctx, key, identity); err != nil {
		return "", fmt.Errorf("reading which hub this is, ConfigMap %s: %w", key, err)
	}
	return identity.Data[v1.HubIdentityKey], nil
}

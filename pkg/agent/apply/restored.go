package apply

import (
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// newerThan finds an object of the app that a hub wrote which had got further
// than the one that orders now: the one that orders was restored from a backup,
// and its order is not carried out.
func (e *Engine) newerThan(owner Owner, observed Observed) (Change, bool) {
	for key, object := range observed.objects {
		if stamp := object.stamp(); stamp.Newer(owner.Stamp) {
			return restored(key.String(), stamp, owner), true
		}
	}
	return Change{}, false
}

func newerThan(owner Owner, name string, object metav1.Object) (Change, bool) {
	stamp := manifest.StampOf(object.GetAnnotations())
	if !stamp.Newer(owner.Stamp) {
		return Change{}, false
	}
	return restored(name, stamp, owner), true
}

// restored is the refusal to touch what a newer or another history of the hub
// has written.
func restored(name string, stamp manifest.Stamp, owner Owner) Change {
	what := fmt.Sprintf("generation %d of the MyApp (epoch %d), and the hub has generation %d (epoch %d)", stamp.Generation, stamp.Epoch, owner.Stamp.Generation, owner.Stamp.Epoch)
	if stamp.Generation == owner.Stamp.Generation && stamp.Epoch == owner.Stamp.Epoch {
		what += ", of another content"
	}
	return Change{
		Object: name, Action: Refused, Reason: v1.ReasonHubRestored, Retry: retryRejected,
		Message: Shorten(fmt.Sprintf("%s was written for %s: the hub was restored from a backup, and nothing is changed", name, what)),
	}
}

// precedes is true when the order was given before an object of another app of
// this name was written. In one history of the hub it cannot be: that app went
// before this one came, and an app that came later is of the future.
func (t target) precedes(theirs manifest.Stamp) (bool, error) {
	if theirs.Epoch != t.owner.Stamp.Epoch {
		return theirs.Epoch > t.owner.Stamp.Epoch, nil
	}
	var order metav1.PartialObjectMetadata
	if err := json.Unmarshal(t.Raw, &order); err != nil {
		return false, fmt.Errorf("reading the stamp of %s: %w", t.Manifest, err)
	}
	return LaterVersion(theirs.HubVersion, manifest.StampOf(order.Annotations).HubVersion), nil
}

// LaterVersion is true when a hub that gave out version a was further than one
// that gave out b. A version that is missing or cannot be read says nothing.
func LaterVersion(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}

// afterwards is the refusal to take what a later app of this name has.
func afterwards(t target, uid string) Change {
	change := refused(t.Manifest, v1.ReasonHubRestored, "it was written for a MyApp of this name that was made later (UID %s): the hub was restored from a backup, and nothing is changed", uid)
	change.Retry = retryRejected
	return change
}

// Lacks is true when the cache does not show an object of the manifests.
func (o Observed) Lacks(manifests []manifest.Manifest) bool {
	return slices.ContainsFunc(manifests, func(m manifest.Manifest) bool { return o.objects[keyOf(m)] == nil })
}

// Reached is how far a hub was at least when it wrote what the cache shows of it:
// the latest epoch, and the highest version in that. It is zero if there is nothing.
func (e *Engine) Reached(hubID string) Reached {
	var most Reached
	for _, watch := range e.shown() {
		for r := range watch.store.all() {
			if r.mark(v1.LabelHubID) == hubID {
				most = most.and(r.stamp())
			}
		}
	}
	return most
}

// Reached is a point in the history of a hub.
type Reached struct {
	Epoch   int64
	Version string
}

func (r Reached) and(stamp manifest.Stamp) Reached {
	if stamp.Epoch > r.Epoch || stamp.Epoch == r.Epoch && (r.Version == "" || LaterVersion(stamp.HubVersion, r.Version)) {
		return Reached{stamp.Epoch, stamp.HubVersion}
	}
	return r
}

// String says it for a person.
func (r Reached) String() string {
	return fmt.Sprintf("other objects on the member were written when the hub was at resourceVersion %s of epoch %d, which it has not reached", r.Version, r.Epoch)
}

// Older is the report of an order that is not carried out because its hub has
// not got as far as it was before.
func Older(reached Reached) v1.Feedback {
	return v1.Feedback{
		State: v1.FeedbackProgressing, Reason: v1.ReasonHubRestored,
		Message: reached.String() + ": the hub was restored from a backup, and nothing is changed",
	}
}

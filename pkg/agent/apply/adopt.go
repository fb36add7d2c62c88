package apply

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// adopt decides about an object that exists and is not the owner's, by the first
// line that holds:
//
//	the same app's, of an earlier epoch of this hub      take: the hub was restored, and released
//	the same app's, of a later time of this hub          leave: the hub was restored
//	the same app's, of another hub                       leave, and say how to take that hub's place
//	an app's, and it is not known of which hub           leave
//	this app's, for another member                       leave: both are the same place
//	that of an app of this name in another namespace     leave
//	another app's                                        leave
//	adoption: Never                                      leave
//	adoption: IfIdentical                                take, if only marks change
//	adoption: Always                                     take
//
// The last three are about what nobody marked, and what an earlier app of this
// name has left here, whose MyApp cannot exist any more. It is taken by UID: what
// takes its place meanwhile is not.
func (e *Engine) adopt(ctx context.Context, t target, live *metav1.PartialObjectMetadata) (Change, error) {
	labels, stamp := live.Labels, manifest.StampOf(live.Annotations)
	here := labels[v1.LabelMember] == e.member && e.appOf(newRecord(live)).NamespacedName == t.owner.key()
	switch {
	case labels[v1.LabelHubID] == "" && labels[v1.LabelAppUID] == "":
	case here && labels[v1.LabelHubID] == t.owner.HubID && stamp.Epoch < t.owner.Stamp.Epoch:
		return e.take(ctx, t, live)
	case here && labels[v1.LabelHubID] == t.owner.HubID:
		if later, err := t.precedes(stamp); err != nil || later {
			return afterwards(t, labels[v1.LabelAppUID]), err
		}
	case labels[v1.LabelHubID] == "":
		return refused(t.Manifest, v1.ReasonNotOwned,
			"it exists on the member and belongs to the app of UID %s, but of which hub is not known: its label %s is missing. Put that back, or delete the object there",
			labels[v1.LabelAppUID], v1.LabelHubID), nil
	case here:
		return refused(t.Manifest, v1.ReasonHubReplaced,
			"it belongs to the app of this name of hub %[1]s, which knew the cluster by this name too. If that hub is gone and this one takes its place, give this one its identity: set hubID to %[1]s and epoch to %[2]d in ConfigMap hub-identity of the hub's namespace, and restart the hub",
			labels[v1.LabelHubID], stamp.Epoch+1), nil
	default:
		return e.anothers(t, labels), nil
	}
	return e.adoptByPolicy(ctx, t, live)
}

// anothers is the refusal to take what belongs to an app that there may be, by labels.
func (e *Engine) anothers(t target, labels map[string]string) Change {
	switch {
	case labels[v1.LabelHubID] == t.owner.HubID && labels[v1.LabelAppUID] == string(t.owner.UID) &&
		labels[v1.LabelMember] != "" && labels[v1.LabelMember] != e.member:
		return refused(t.Manifest, v1.ReasonNotOwned,
			"it is there for member %[1]s of this hub: two MemberClusters, that one and %[2]s, are the same place. Place the app on only one of them, and register a place only once. If %[1]s is no more, register the place as %[1]s again, or delete the object there",
			labels[v1.LabelMember], e.member)
	case e.namespace != "" && labels[v1.LabelMember] == e.member && labels[v1.LabelApp] == t.owner.Name:
		return refused(t.Manifest, v1.ReasonNameConflict,
			"it belongs to the app of this name in namespace %s of the hub, and the member is one namespace, %s: rename one of the two apps, or let only one of them be placed here",
			labels[v1.LabelAppNamespace], e.namespace)
	default:
		return refused(t.Manifest, v1.ReasonNotOwned,
			"it exists on the member and belongs to app %s (UID %s) of hub %s. Delete or rename it there, or rename the MyApp",
			labels[v1.LabelApp], labels[v1.LabelAppUID], labels[v1.LabelHubID])
	}
}

// adoptByPolicy decides about what belongs to no app that there is.
func (e *Engine) adoptByPolicy(ctx context.Context, t target, live *metav1.PartialObjectMetadata) (Change, error) {
	switch t.policies.Adoption {
	case v1.AdoptAlways:
	case v1.AdoptIfIdentical:
		differing, err := e.differing(ctx, t, live.ResourceVersion)
		if err != nil {
			return Change{}, err
		}
		if len(differing) > 0 {
			return refused(t.Manifest, v1.ReasonNotOwned,
				"it exists on the member and is not identical: %s differ. Make them alike, set spec.adoption to Always, or delete it there", list(differing)), nil
		}
	default:
		return refused(t.Manifest, v1.ReasonNotOwned,
			"it exists on the member, and something else or an earlier app of this name made it. To take it over set spec.adoption to IfIdentical or Always; otherwise delete or rename it there, or rename the MyApp"), nil
	}
	return e.take(ctx, t, live)
}

// take takes over what was read.
func (e *Engine) take(ctx context.Context, t target, live *metav1.PartialObjectMetadata) (Change, error) {
	raw, err := e.adopting(ctx, t)
	if err != nil {
		return Change{}, err
	}
	change, err := e.put(ctx, t, newRecord(live), raw, Adopted)
	if err == nil {
		e.memory.setForeign(keyOf(t.Manifest), false)
	}
	return change, err
}

// adopting is what makes an object ours: the manifest, with the number of replicas
// that the object has if that is not ours.
func (e *Engine) adopting(ctx context.Context, t target) ([]byte, error) {
	if !t.leavesReplicas() {
		return t.Raw, nil
	}
	r, err := e.whole(t.GVK, t.Namespace)
	if err != nil {
		return nil, err
	}
	live, err := getWhole(ctx, r, t.Name)
	if err != nil || live == nil {
		return nil, fmt.Errorf("reading the replicas of %s: %w", t.Manifest, orGone(err))
	}
	d, err := deploymentOf(live)
	if err != nil {
		return nil, err
	}
	return t.yield(lostFields{}, showing(t.Manifest, recordOf(d)))
}

// A comparison costs the cluster a dry run. As long as neither side changes it is
// made again after compareFirst, and then less and less often.
const (
	compareFirst = 30 * time.Second
	compareMost  = 10 * time.Minute
)

// comparison is what differed between two things that were compared.
type comparison struct {
	of        string
	differing []string
	every     time.Duration
	next      time.Time
}

// again is the comparison after one more.
func (c comparison) again(of string, differing []string, now time.Time) comparison {
	every := compareFirst
	if c.of == of {
		every = min(2*c.every, compareMost)
	}
	return comparison{of: of, differing: differing, every: every, next: now.Add(every)}
}

// differing are the fields in which the version of an object is not as wanted. The
// same two are not compared again at once.
func (e *Engine) differing(ctx context.Context, t target, version string) ([]string, error) {
	if c, ok := e.memory.comparisonOf(t.Manifest, version, time.Now()); ok {
		return c.differing, nil
	}
	differing, err := e.compare(ctx, t)
	if err == nil && len(differing) > 0 {
		e.memory.setCompared(t.Manifest, version, differing, time.Now())
	}
	return differing, err
}

// compare gives the top-level fields, with those of the spec one by one, that an
// apply would change, marks left out.
func (e *Engine) compare(ctx context.Context, t target) ([]string, error) {
	r, err := e.whole(t.GVK, t.Namespace)
	if err != nil {
		return nil, err
	}
	live, err := getWhole(ctx, r, t.Name)
	if err != nil {
		return nil, fmt.Errorf("reading %s to compare it: %w", t.Manifest, classify(err))
	}
	if live == nil {
		return nil, fmt.Errorf("%s vanished while it was compared", t.Manifest)
	}
	raw, err := e.adopting(ctx, t)
	if err != nil {
		return nil, err
	}
	after, err := dryRun(ctx, r, t.Name, raw)
	if err != nil {
		return nil, err
	}
	return differences(live, after), nil
}

func differences(live, after *unstructured.Unstructured) []string {
	before, then := comparable(live), comparable(after)
	var paths []string
	for _, key := range union(before, then) {
		if apiequality.Semantic.DeepEqual(before[key], then[key]) {
			continue
		}
		a, aIsMap := before[key].(map[string]any)
		b, bIsMap := then[key].(map[string]any)
		if !aIsMap || !bIsMap {
			paths = append(paths, "/"+key)
			continue
		}
		for _, inner := range union(a, b) {
			if !apiequality.Semantic.DeepEqual(a[inner], b[inner]) {
				paths = append(paths, "/"+key+"/"+inner)
			}
		}
	}
	return paths
}

// comparable is an object without what an apply always changes or never does.
func comparable(o *unstructured.Unstructured) map[string]any {
	content := maps.Clone(o.Object)
	delete(content, "status")
	delete(content, "metadata")
	content["labels"] = unmarked(o.GetLabels())
	content["annotations"] = unmarked(o.GetAnnotations())
	return content
}

// unmarked are labels or annotations without the hub's marks.
func unmarked(all map[string]string) map[string]any {
	rest := map[string]any{}
	for key, value := range all {
		if !strings.HasPrefix(key, "example.com/") && key != v1.LabelManagedBy && key != "app.kubernetes.io/name" && key != "deployment.kubernetes.io/revision" {
			rest[key] = value
		}
	}
	return rest
}

func union(a, b map[string]any) []string {
	keys := map[string]struct{}{}
	for k := range a {
		keys[k] = struct{}{}
	}
	for k := range b {
		keys[k] = struct{}{}
	}
	return slices.Sorted(maps.Keys(keys))
}

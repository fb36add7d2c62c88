package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/fields"
)

// replicasField is the field of a Deployment that autoscalers change.
const replicasField = "/spec/replicas"

// lostFields are fields of a manifest that the object no longer has from us.
type lostFields struct {
	// ignored may be changed by others.
	ignored []fields.Path
	// others are drift.
	others []fields.Path
}

// taken are the ignored fields that somebody else has. Where nothing of an element
// of a list is ours, it is new or was taken out: nobody has its fields, and it
// cannot be made without them.
func (l lostFields) taken() []fields.Path {
	return slices.DeleteFunc(slices.Clone(l.ignored), fields.Path.ElementLost)
}

// lost finds the fields of a manifest that somebody has taken from us. A change
// of a value takes its field from whoever applied it, so no values are compared.
func (e *Engine) lost(t target, known *record) (lostFields, error) {
	tree := known.note(annotationFields)
	if e.memory.isClean(t.Manifest, tree) {
		return lostFields{}, nil
	}
	paths, err := fields.Lost(t.Raw, tree)
	if err != nil {
		return lostFields{}, fmt.Errorf("comparing the fields of %s: %w", t.Manifest, err)
	}
	if len(paths) == 0 {
		e.memory.setClean(t.Manifest, tree)
		return lostFields{}, nil
	}
	ignored := t.ignored()
	var lost lostFields
	for _, path := range paths {
		switch {
		case isStamp(path):
		case fields.Covers(ignored, path):
			lost.ignored = append(lost.ignored, path)
		case !e.memory.neverHad(t.Manifest, path):
			lost.others = append(lost.others, path)
		}
	}
	return lost, nil
}

// isStamp is true for the stamps: they say how far the hub was when it wrote, and
// an object of an earlier version of the hub lacks some.
func isStamp(path fields.Path) bool {
	name, ok := strings.CutPrefix(path.String(), "/metadata/annotations/")
	if !ok {
		return false
	}
	switch strings.ReplaceAll(name, "~1", "/") {
	case v1.AnnotationAppGeneration, v1.AnnotationAppSpecHash, v1.AnnotationHubEpoch, v1.AnnotationHubVersion:
		return true
	}
	return false
}

// ignored are the paths of the object that others may change.
func (t target) ignored() []string {
	var paths []string
	for _, i := range t.policies.Drift.Ignore {
		if i.Kind == t.GVK.Kind && (i.Group == "" || i.Group == t.GVK.Group) && (i.Name == "" || i.Name == t.Name) {
			paths = append(paths, i.Fields...)
		}
	}
	return paths
}

// yield is the manifest without the fields that belong to others by now. An
// ignored number of replicas that nobody has taken yet stays what it is: given
// up, it would fall to one. It is sent with the version that had it, so that the
// number of a cache that is behind is not forced on whoever has scaled since, and
// with a note if it is not that of the manifest, whose hash does not tell.
func (t target) yield(lost lostFields, observed Observed) ([]byte, error) {
	raw := t.Raw
	if theirs := lost.taken(); len(theirs) > 0 {
		without, err := fields.Remove(raw, theirs)
		if err != nil {
			return nil, fmt.Errorf("leaving out ignored fields of %s: %w", t.Manifest, err)
		}
		raw = without
	}
	d := observed.Deployment(t.Name)
	if !t.leavesReplicas() || d == nil || d.Spec.Replicas == nil {
		return raw, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var object map[string]any
	if err := decoder.Decode(&object); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", t.Manifest, err)
	}
	spec, _ := object["spec"].(map[string]any)
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	wanted, has := spec["replicas"]
	if !has || annotations == nil {
		return raw, nil
	}
	if number := strconv.Itoa(int(*d.Spec.Replicas)); fmt.Sprint(wanted) != number {
		annotations[v1.AnnotationKeptReplicas] = number
	}
	spec["replicas"], metadata["resourceVersion"] = *d.Spec.Replicas, d.ResourceVersion
	return json.Marshal(object)
}

// leavesReplicas is true for a Deployment whose number of replicas is not ours.
func (t target) leavesReplicas() bool {
	return t.GVK == deploymentGVK && slices.Contains(t.ignored(), replicasField)
}

// wantsReplicas is true for a Deployment that was written with the number that it
// had, when it is to have ours again. Where somebody has taken the number since,
// it is drift.
func (t target) wantsReplicas(known *record, lost lostFields) bool {
	kept := known.note(v1.AnnotationKeptReplicas) != ""
	// Anybody can set it; it counts only if we did.
	kept = kept && strings.Contains(known.note(annotationFields), `"f:`+v1.AnnotationKeptReplicas+`"`)
	return kept && !t.leavesReplicas() && !slices.ContainsFunc(lost.others, func(p fields.Path) bool { return p.String() == replicasField })
}

// drifted deals with fields that somebody has changed, by the first line that
// holds:
//
//	mode Correct, and corrected not long ago    wait
//	the cluster never keeps the fields          nothing
//	all were changed back                       make them ours again, which changes no value
//	mode Report                                 report
//	the API server accepts the correction       corrected
//	it refuses it                               report, and try again as after a correction
//
// Nothing of this keeps the objects after it from being tried.
func (e *Engine) drifted(ctx context.Context, t target, known *record, lost lostFields, observed Observed) (Change, error) {
	now, report := time.Now(), t.policies.Drift.Mode == v1.DriftReport
	if wait := e.memory.correctionDue(t.Manifest, now); wait > 0 && !report {
		return e.memory.waiting(t.Manifest, wait), nil
	}
	found, err := e.describeDrift(ctx, t, known, lost.others)
	if err != nil {
		return Change{}, err
	}
	if found.never {
		return e.memory.quiet(t.Manifest, now), nil
	}
	message := found.message
	if report && message != "" {
		return Change{Object: t.String(), Action: Drifted, Reason: v1.ReasonDrifted, Message: message}, nil
	}
	raw, err := t.yield(lost, observed)
	if err != nil {
		return Change{}, err
	}
	if message == "" {
		return e.put(ctx, t, known, raw, Updated)
	}
	change, err := e.put(ctx, t, known, raw, Corrected)
	if refusal, refused := lasting(err); refused {
		e.memory.corrected(t.Manifest, Shorten(message+". It cannot be corrected: "+err.Error()), refusal, now)
		return e.memory.waiting(t.Manifest, e.memory.correctionDue(t.Manifest, now)), nil
	}
	if err != nil || change.Action != Corrected {
		return change, err
	}
	corrections.WithLabelValues(e.member).Inc()
	e.memory.corrected(t.Manifest, message, "", now)
	contested := e.memory.quiet(t.Manifest, now)
	change.Reason, change.Message, change.Retry = contested.Reason, contested.Message, contested.Retry
	if change.Reason == "" {
		change.Detail = message
	}
	return change, nil
}

// lasting is the reason of a refusal that waiting for a deletion does not end.
func lasting(err error) (reason string, ok bool) {
	var refusal *RefusedError
	if !errors.As(err, &refusal) || refusal.Reason == v1.ReasonTerminating {
		return "", false
	}
	return refusal.Reason, true
}

// describeDrift says by a live read what was changed and by whom. The same fields
// of the same state of an object are looked at only once.
func (e *Engine) describeDrift(ctx context.Context, t target, known *record, lost []fields.Path) (found, error) {
	state := known.version
	for _, path := range lost {
		state += " " + path.String()
	}
	if f, ok := e.memory.described(t.Manifest, state); ok {
		return f, nil
	}
	r, err := e.whole(t.GVK, t.Namespace)
	if err != nil {
		return found{}, err
	}
	live, err := getWhole(ctx, r, t.Name)
	if err != nil || live == nil {
		return found{}, fmt.Errorf("reading what was changed in %s: %w", t.Manifest, orGone(err))
	}
	f := t.describe(live, lost)
	if !e.memory.knowsBaseline(t.Manifest) {
		if f, err = e.tried(ctx, t, live, lost, f); err != nil {
			return found{}, err
		}
	}
	e.memory.setDescribed(t.Manifest, state, f)
	return f, nil
}

// describe says which of the lost fields have another value than we want.
func (t target) describe(live *unstructured.Unstructured, lost []fields.Path) found {
	var parts []string
	for _, d := range fields.Differences(t.Raw, live.Object, lost) {
		if d.Same {
			continue
		}
		by := strings.Join(fields.Owners(live.GetManagedFields(), v1.FieldManager, d.Path), ", ")
		if by == "" {
			by = "nobody"
		}
		parts = append(parts, fmt.Sprintf("%s is %s (set by %s), wanted %s", d.Path, d.Found, by, d.Wanted))
	}
	if len(parts) == 0 {
		return found{}
	}
	return found{message: Shorten(t.String() + " was changed on the member: " + list(parts))}
}

// tried is what is left of drift when a dry run has shown which fields the cluster
// does not keep: a webhook may drop the record of what is ours. An engine that has
// not applied the content itself cannot know. A dry run that is refused shows
// nothing.
func (e *Engine) tried(ctx context.Context, t target, live *unstructured.Unstructured, lost []fields.Path, f found) (found, error) {
	r, err := e.whole(t.GVK, t.Namespace)
	if err != nil {
		return found{}, err
	}
	raw, err := t.WithMetadata("uid", string(live.GetUID()))
	if err != nil {
		return found{}, err
	}
	after, err := dryRun(ctx, r, t.Name, raw)
	switch {
	case Unreachable(err):
		return found{}, fmt.Errorf("trying what the cluster makes of %s: %w", t.Manifest, err)
	case err != nil:
		return f, nil
	}
	base, ok := e.memory.baselineOf(t.Manifest, t.Raw, fields.Ours(after.GetManagedFields(), v1.FieldManager))
	if !ok {
		return f, nil
	}
	e.memory.setBaseline(t.Manifest, base)
	kept := slices.DeleteFunc(slices.Clone(lost), func(p fields.Path) bool { return e.memory.neverHad(t.Manifest, p) })
	if len(kept) == 0 {
		return found{never: true}, nil
	}
	return t.describe(live, kept), nil
}

// list joins what is worth reading of many.
func list(parts []string) string {
	const most = 3
	s := strings.Join(parts[:min(most, len(parts))], "; ")
	if more := len(parts) - most; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

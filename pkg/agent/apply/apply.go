package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// target is one object to be applied.
type target struct {
	manifest.Manifest
	owner    Owner
	policies v1.Policies
}

// applyOne decides about one object by the first line that holds:
//
//	the cluster does not show it           create, if nothing else has the name
//	it is being deleted                    wait
//	it has other content                   update
//	it has a number of replicas that was
//	kept for others and is ours again      update
//	fields of ours were changed            drift: correct or report
//	otherwise                              unchanged, no request
//
// An update that is refused ends the pass: the objects after it may need what it
// should have. A correction that is refused does not.
func (e *Engine) applyOne(ctx context.Context, t target, observed Observed) (Change, error) {
	known := observed.objects[keyOf(t.Manifest)]
	newer := e.memory.newer(keyOf(t.Manifest), known)
	if newer != nil && !e.hasMarks(newer, t.owner) {
		newer = nil // of an earlier app of this name
	}
	if newer != nil {
		known = newer
	}
	switch {
	case known == nil:
		return e.create(ctx, t, observed)
	case known.deleted != nil:
		return terminating(t.Manifest), nil
	}
	if err := e.giveBack(ctx, t); err != nil {
		return Change{}, err
	}
	change, err := e.decide(ctx, t, known, observed)
	change.Unseen = newer != nil && change.Action == Unchanged
	return change, err
}

// decide is applyOne about an object that is there.
func (e *Engine) decide(ctx context.Context, t target, known *record, observed Observed) (Change, error) {
	lost, err := e.lost(t, known)
	if err != nil {
		return Change{}, err
	}
	if known.note(v1.AnnotationContentHash) != t.Hash || t.wantsReplicas(known, lost) {
		return e.update(ctx, t, known, lost, observed)
	}
	if len(lost.others) > 0 {
		return e.drifted(ctx, t, known, lost, observed)
	}
	return e.memory.quiet(t.Manifest, time.Now()), nil
}

// create applies an object that the cache does not show. If it exists all the
// same, a live read decides. What is known to be somebody else's is read first,
// so that waiting for it costs no write.
func (e *Engine) create(ctx context.Context, t target, observed Observed) (Change, error) {
	if e.memory.isForeign(keyOf(t.Manifest)) {
		if change, exists, err := e.existing(ctx, t, observed); exists || err != nil {
			return change, err
		}
	}
	first, err := t.WithMetadata("resourceVersion", createOnly)
	if err != nil {
		return Change{}, err
	}
	err = e.write(ctx, t.Manifest, first, true)
	if apierrors.IsNotFound(err) {
		if err := e.makeNamespace(ctx, t.Namespace, err); err != nil {
			return Change{}, err
		}
		err = e.write(ctx, t.Manifest, first, true)
	}
	if err == nil {
		e.memory.wroteAll(t.Manifest)
	}
	if !apierrors.IsConflict(err) {
		return Change{Object: t.String(), Action: Created}, err
	}
	change, exists, err := e.existing(ctx, t, observed)
	if err == nil && !exists {
		err = fmt.Errorf("%s vanished while it was being applied", t.Manifest)
	}
	return change, err
}

// existing decides by a live read about an object that the cache does not show.
func (e *Engine) existing(ctx context.Context, t target, observed Observed) (change Change, exists bool, err error) {
	r, err := e.resource(t.GVK, t.Namespace)
	if err != nil {
		return Change{}, false, err
	}
	live, err := get(ctx, r, t.Name)
	e.memory.setForeign(keyOf(t.Manifest), live != nil && !e.ours(live, t.owner))
	switch {
	case err != nil:
		return Change{}, false, classify(err)
	case live == nil:
		return Change{}, false, nil
	case live.DeletionTimestamp != nil:
		return terminating(t.Manifest), true, nil
	case !e.ours(live, t.owner) && !e.unmarked(live, t.owner):
		change, err = e.adopt(ctx, t, live)
		return change, true, err
	}
	if newer, ok := newerThan(t.owner, t.String(), live); ok {
		return newer, true, nil
	}
	if e.ours(live, t.owner) && live.Annotations[v1.AnnotationContentHash] == t.Hash {
		return Change{Object: t.String(), Action: Unchanged}, true, nil
	}
	change, err = e.decideLive(ctx, t, live.UID, observed)
	return change, true, err
}

// decideLive decides by a live read about an object of ours that the cache does
// not show.
func (e *Engine) decideLive(ctx context.Context, t target, uid types.UID, observed Observed) (Change, error) {
	r, err := e.whole(t.GVK, t.Namespace)
	if err != nil {
		return Change{}, err
	}
	live, err := getWhole(ctx, r, t.Name)
	if err != nil || live == nil {
		return Change{}, fmt.Errorf("reading %s: %w", t.Manifest, orGone(err))
	}
	if live.GetUID() != uid {
		return Change{}, fmt.Errorf("%s was replaced while it was read", t.Manifest)
	}
	known := newRecord(live)
	if t.GVK == deploymentGVK {
		d, err := deploymentOf(live)
		if err != nil {
			return Change{}, err
		}
		known = recordOf(d)
		observed = showing(t.Manifest, known)
	}
	return e.decide(ctx, t, known, observed)
}

func deploymentOf(live *unstructured.Unstructured) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, d); err != nil {
		return nil, fmt.Errorf("reading Deployment %s/%s: %w", live.GetNamespace(), live.GetName(), err)
	}
	return d, nil
}

// update applies an object of other content. Fields that others may change stay
// with whoever changed them.
func (e *Engine) update(ctx context.Context, t target, known *record, lost lostFields, observed Observed) (Change, error) {
	raw, err := t.yield(lost, observed)
	if err != nil {
		return Change{}, err
	}
	return e.put(ctx, t, known, raw, Updated)
}

// put applies an object that exists; the UID keeps it from being recreated. Where
// drift is reported, what others own stays theirs, but not of what is adopted:
// about that the policy has decided already. Where it may be forced, so may lists
// that do not fit beside those of others.
func (e *Engine) put(ctx context.Context, t target, known *record, raw []byte, action Action) (Change, error) {
	m := t.Manifest
	m.Raw = raw
	later, err := m.WithMetadata("uid", string(known.uid))
	if err != nil {
		return Change{}, err
	}
	force := action == Adopted || t.policies.Drift.Mode != v1.DriftReport
	err = e.write(ctx, t.Manifest, later, force)
	if err == nil && bytes.Equal(raw, t.Raw) {
		e.memory.wroteAll(t.Manifest)
	}
	if force && apierrors.IsInvalid(err) && !isReplaced(err) {
		err = e.takeOver(ctx, t, known, later, action, err)
	}
	if owners := conflicts(err); len(owners) > 0 {
		return refused(t.Manifest, v1.ReasonConflict, "others own fields that the app sets, and spec.drift.mode is Report: %s. Let them give the fields up, list the fields in spec.drift.ignore, or set spec.drift.mode to Correct", list(owners)), nil
	}
	return Change{Object: t.String(), Action: action}, err
}

// lacksNamespace is true for the refusal to make something in a namespace that does
// not exist.
func lacksNamespace(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}

// makeNamespace makes the namespace in which something was to be made and, as missing
// says, could not. That of a namespaced member belongs to others.
func (e *Engine) makeNamespace(ctx context.Context, name string, missing error) error {
	if e.namespace != "" && !lacksNamespace(missing) {
		return classify(missing) // its kind may be gone, or a proxy be wrong
	}
	if e.namespace != "" {
		return &RefusedError{Reason: v1.ReasonNamespaceMissing, Err: fmt.Errorf("the member is namespace %s of its cluster, which does not exist: create it there: %w", e.namespace, missing)}
	}
	r, err := e.resource(namespaceGVK, "")
	if err != nil {
		return err
	}
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Namespace",
		"metadata": map[string]any{
			"name": name, "resourceVersion": createOnly,
			"labels": map[string]any{v1.LabelManagedBy: v1.ManagedBy},
		},
	})
	if err != nil {
		return fmt.Errorf("encoding Namespace %s: %w", name, err)
	}
	if err := e.mayWrite(); err != nil {
		return err
	}
	if _, err := patch(ctx, r, name, raw, true); err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("creating Namespace %s: %w", name, err)
	}
	return nil // A conflict: another request has made it.
}

// write applies an object and remembers what became of it.
func (e *Engine) write(ctx context.Context, m manifest.Manifest, raw []byte, force bool) error {
	r, err := e.resource(m.GVK, m.Namespace)
	if err != nil {
		return err
	}
	if err := e.mayWrite(); err != nil {
		return err
	}
	written, err := patch(ctx, r, m.Name, raw, force)
	if err == nil {
		e.memory.wrote(m, raw, written)
	}
	return err
}

// conflicts are the fields that others own, from the answer to an apply without
// force: ".spec.replicas (kubectl-edit)". There are none in the answer to a
// precondition that failed.
func conflicts(err error) []string {
	status, ok := apiStatus(err)
	if !ok || !apierrors.IsConflict(err) || status.Details == nil {
		return nil
	}
	var fields []string
	for _, cause := range status.Details.Causes {
		if cause.Type == metav1.CauseTypeFieldManagerConflict {
			fields = append(fields, cause.Field+" ("+cause.Message+")")
		}
	}
	return fields
}

func terminating(m manifest.Manifest) Change {
	change := refused(m, v1.ReasonTerminating, "it is being deleted on the member; it is applied again once it is gone")
	change.Retry = RetryTerminating
	return change
}

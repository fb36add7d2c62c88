package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/fields"
)

// takeOver is the second try of an apply that the API server has refused as
// invalid. Somebody may have changed the key of a list element, a Service's port,
// say: an apply makes our element again and leaves theirs beside it. So the lists
// that lack elements of ours are recorded as ours, and applied once more: that
// removes what we do not list. If that fails, the record is put back, at the latest
// in the next pass, so that nothing of others goes with the next apply.
//
// It is done no more often than a correction, and counts as one. What is refused
// because of the content alone costs one read.
func (e *Engine) takeOver(ctx context.Context, t target, known *record, sent []byte, action Action, refusal error) error {
	now := time.Now()
	if e.memory.correctionDue(t.Manifest, now) > 0 {
		return refusal
	}
	whole, err := e.whole(t.GVK, t.Namespace)
	if err != nil {
		return err
	}
	live, err := getWhole(ctx, whole, t.Name)
	if err != nil || live == nil {
		return fmt.Errorf("reading whose the lists of %s are: %w", t.Manifest, orGone(err))
	}
	before := live.GetManagedFields()
	lost, err := fields.Lost(sent, fields.Ours(before, v1.FieldManager))
	if err != nil {
		return fmt.Errorf("comparing the fields of %s: %w", t.Manifest, err)
	}
	taken, changed, err := fields.TakeOver(before, v1.FieldManager, lost)
	if err != nil {
		return fmt.Errorf("taking over lists of %s: %w", t.Manifest, err)
	}
	if !changed {
		return refusal
	}
	r, err := e.resource(t.GVK, t.Namespace)
	if err != nil {
		return err
	}
	if err := e.mayWrite(); err != nil {
		return err
	}
	// Remembered first: the answer may be lost.
	e.memory.setTaking(keyOf(t.Manifest), &taking{uid: known.uid, taken: taken, before: before})
	written, err := setManagedFields(ctx, r, t.Name, known.uid, live.GetResourceVersion(), taken)
	if err != nil {
		return fmt.Errorf("taking over lists of %s: %w", t.Manifest, err)
	}
	e.memory.setTaking(keyOf(t.Manifest), &taking{uid: known.uid, taken: written.ManagedFields, before: before})
	err = e.write(ctx, t.Manifest, sent, true)
	if err == nil {
		e.memory.setTaking(keyOf(t.Manifest), nil)
	} else if err := e.giveBack(ctx, t); err != nil {
		logf.FromContext(ctx).Error(err, "Cannot give lists back that did not help; it is tried again", "object", t.String())
	}
	reason, refused := lasting(err)
	if action != Corrected && (refused || err == nil) {
		message := t.String() + " was changed on the member: its lists have other elements"
		if refused {
			message += ". It cannot be corrected: " + err.Error()
		}
		e.memory.corrected(t.Manifest, Shorten(message), reason, now)
	}
	return err
}

// taking is a takeover whose apply has not succeeded.
type taking struct {
	uid types.UID
	// before is the record as it was, taken as it was made.
	before, taken []metav1.ManagedFieldsEntry
}

// giveBack puts the record back of a takeover that failed, if it is still the one
// that was made. It is done while the hub holds, too: it ends what was begun.
func (e *Engine) giveBack(ctx context.Context, t target) error {
	pending := e.memory.takingOf(keyOf(t.Manifest))
	if pending == nil {
		return nil
	}
	r, err := e.resource(t.GVK, t.Namespace)
	if err != nil {
		return err
	}
	live, err := get(ctx, r, t.Name)
	switch {
	case err != nil:
		return fmt.Errorf("looking whose the lists of %s are: %w", t.Manifest, classify(err))
	case live == nil:
		return nil // If it is there all the same, a later pass sees it.
	}
	if live.UID == pending.uid && fields.Equal(fields.Ours(live.ManagedFields, v1.FieldManager), fields.Ours(pending.taken, v1.FieldManager)) {
		if _, err := setManagedFields(ctx, r, t.Name, live.UID, live.ResourceVersion, fields.GiveBack(live.ManagedFields, pending.taken, pending.before)); err != nil {
			return fmt.Errorf("giving back lists of %s: %w", t.Manifest, err)
		}
	}
	e.memory.setTaking(keyOf(t.Manifest), nil)
	return nil
}

// setManagedFields records whose the fields of an object are. A conflict is an
// error: the object has changed since it was read.
func setManagedFields(ctx context.Context, r metadata.ResourceInterface, name string, uid types.UID, version string, entries []metav1.ManagedFieldsEntry) (*metav1.PartialObjectMetadata, error) {
	raw, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": uid, "resourceVersion": version, "managedFields": entries}})
	if err != nil {
		return nil, fmt.Errorf("encoding managed fields: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	written, err := r.Patch(ctx, name, types.MergePatchType, raw, metav1.PatchOptions{FieldManager: v1.FieldManager})
	return written, classify(err)
}

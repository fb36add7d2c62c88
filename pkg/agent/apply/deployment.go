package apply

import (
	"unique"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// deployment is what a record keeps of a Deployment beside its metadata: what health
// reads of spec and status.
type deployment struct {
	replicas, progressDeadline                       *int32
	observedGeneration                               int64
	existing, updated, ready, available, unavailable int32
	conditions                                       unique.Handle[conditions]
}

// conditions are those that say something about the health of a Deployment, in the
// order of conditionTypes.
type conditions [5]condition

type condition struct {
	status          corev1.ConditionStatus
	reason, message string
}

func conditionTypes() [5]appsv1.DeploymentConditionType {
	return [5]appsv1.DeploymentConditionType{
		appsv1.DeploymentAvailable, appsv1.DeploymentProgressing, appsv1.DeploymentReplicaFailure,
		"Reconciling", "Stalled", // kstatus heeds them on objects of any kind
	}
}

func newDeployment(d *appsv1.Deployment) *deployment {
	var kept conditions
	for i, t := range conditionTypes() {
		for _, c := range d.Status.Conditions {
			if c.Type == t {
				kept[i] = condition{c.Status, c.Reason, c.Message}
			}
		}
	}
	return &deployment{
		replicas: copied(d.Spec.Replicas), progressDeadline: copied(d.Spec.ProgressDeadlineSeconds),
		observedGeneration: d.Status.ObservedGeneration,
		existing:           d.Status.Replicas, updated: d.Status.UpdatedReplicas, ready: d.Status.ReadyReplicas,
		available: d.Status.AvailableReplicas, unavailable: d.Status.UnavailableReplicas,
		conditions: unique.Make(kept),
	}
}

// copied keeps the number and not what it is a part of.
func copied(n *int32) *int32 {
	if n == nil {
		return nil
	}
	return ptr.To(*n)
}

// asDeployment is the Deployment with what is known of it.
func (r *record) asDeployment() *appsv1.Deployment {
	d := r.deployment
	out := &appsv1.Deployment{
		ObjectMeta: *r.metadata(),
		Spec:       appsv1.DeploymentSpec{Replicas: d.replicas, ProgressDeadlineSeconds: d.progressDeadline},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: d.observedGeneration, Replicas: d.existing, UpdatedReplicas: d.updated,
			ReadyReplicas: d.ready, AvailableReplicas: d.available, UnavailableReplicas: d.unavailable,
		},
	}
	kept := d.conditions.Value()
	for i, t := range conditionTypes() {
		if kept[i] != (condition{}) {
			out.Status.Conditions = append(out.Status.Conditions, appsv1.DeploymentCondition{
				Type: t, Status: kept[i].status, Reason: kept[i].reason, Message: kept[i].message,
			})
		}
	}
	return out
}

package simulator

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// settled is true if the status says already what patch would make it say.
func settled(d *appsv1.Deployment, down bool) bool {
	want, up := pods(d, down)
	s := d.Status
	return s.ObservedGeneration == d.Generation &&
		s.Replicas == want && s.UpdatedReplicas == want && s.ReadyReplicas == up && s.AvailableReplicas == up
}

// pods are how many a Deployment has, and how many of them are ready: all, or none
// while it is down.
func pods(d *appsv1.Deployment, down bool) (all, ready int32) {
	all = ptr.Deref(d.Spec.Replicas, 1)
	if down {
		return all, 0
	}
	return all, all
}

// patch is the merge patch that makes a Deployment ready as it is now, or takes it
// down.
func patch(d *appsv1.Deployment, down bool) ([]byte, error) {
	all, ready := pods(d, down)
	available := appsv1.DeploymentCondition{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable"}
	if down {
		available.Status, available.Reason = corev1.ConditionFalse, "MinimumReplicasUnavailable"
	}
	// Zeros have to be said: a status leaves them out.
	b, err := json.Marshal(map[string]any{"status": map[string]any{
		"observedGeneration": d.Generation,
		"replicas":           all, "updatedReplicas": all, "readyReplicas": ready, "availableReplicas": ready,
		"conditions": []appsv1.DeploymentCondition{
			available, {Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
		},
	}})
	if err != nil {
		return nil, fmt.Errorf("encoding the status of Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	return b, nil
}

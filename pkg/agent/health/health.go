package health

import (
	"fmt"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/example/myapp-hub/api/v1"
)

// notShown is said of an object that does not carry the applied content yet.
const notShown = "applied; the cluster has not taken it up yet"

// Deployment is the feedback for an applied Deployment. observed is the object
// as the watch shows it, nil if it does not show it yet; wantHash is the content
// hash that was applied.
//
// Of the spec it reads replicas and, if it is there, progressDeadlineSeconds;
// of the status all but collisionCount.
func Deployment(observed *appsv1.Deployment, wantHash string) v1.Feedback {
	if observed == nil || observed.Annotations[v1.AnnotationContentHash] != wantHash {
		return progressing(notShown, observed)
	}
	result, err := computeDeployment(observed)
	if err != nil {
		return progressing("its state cannot be read: "+short(err.Error(), messageRunes), observed)
	}
	switch result.Status {
	case status.CurrentStatus:
		return feedback(v1.FeedbackReady, observed)
	case status.FailedStatus:
		f := feedback(v1.FeedbackFailed, observed)
		f.Reason, f.Message = v1.ReasonDeploymentFailed, result.Message
		if cause := refusedPods(observed); cause != "" {
			f.Message += "; " + cause
		}
		return f
	case status.TerminatingStatus:
		f := feedback(v1.FeedbackProgressing, observed)
		f.Reason, f.Message = v1.ReasonTerminating, terminating("Deployment "+observed.Name)
		return f
	default:
		message := readyOf(observed)
		if cause := refusedPods(observed); cause != "" {
			message = cause + "; " + message
		}
		return progressing(message, observed)
	}
}

func terminating(object string) string {
	return object + " is being deleted by someone; it is made again once it is gone"
}

func readyOf(d *appsv1.Deployment) string {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	return fmt.Sprintf("%d of %d pods ready, %d updated; to see why: kubectl get pods -n %s -l %s=%s on the member",
		d.Status.ReadyReplicas, want, d.Status.UpdatedReplicas, d.Namespace, v1.LabelApp, d.Labels[v1.LabelApp])
}

// refusedPods is why the cluster does not even make the pods, such as an
// exceeded quota, in the words of the Deployment's conditions. Empty if it does.
//
// It is no failure: the cluster goes on trying, and succeeds without anybody
// touching the app once there is room.
func refusedPods(d *appsv1.Deployment) string {
	for _, c := range d.Status.Conditions {
		refused := c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue ||
			c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse && c.Reason == "ReplicaSetCreateError"
		if refused && c.Message != "" {
			return short(stable(c.Message), causeRunes)
		}
	}
	return ""
}

func progressing(message string, observed *appsv1.Deployment) v1.Feedback {
	f := feedback(v1.FeedbackProgressing, observed)
	f.Reason, f.Message = v1.ReasonPodsNotReady, message
	return f
}

func feedback(state v1.FeedbackState, d *appsv1.Deployment) v1.Feedback {
	f := v1.Feedback{State: state}
	if d != nil {
		f.Replicas, f.ReadyReplicas = d.Status.Replicas, d.Status.ReadyReplicas
	}
	return f
}

func computeDeployment(d *appsv1.Deployment) (*status.Result, error) {
	return compute(&unstructured.Unstructured{Object: asRead(d)})
}

// asRead is what kstatus reads of a Deployment. A conversion of all of it takes ten
// times as long.
func asRead(d *appsv1.Deployment) map[string]any {
	metadata := map[string]any{"namespace": d.Namespace, "name": d.Name}
	if d.Generation != 0 {
		metadata["generation"] = d.Generation
	}
	if d.DeletionTimestamp != nil {
		metadata["deletionTimestamp"] = d.DeletionTimestamp.UTC().Format(time.RFC3339)
	}
	spec := map[string]any{}
	if d.Spec.Replicas != nil {
		spec["replicas"] = int64(*d.Spec.Replicas)
	}
	if d.Spec.ProgressDeadlineSeconds != nil {
		spec["progressDeadlineSeconds"] = int64(*d.Spec.ProgressDeadlineSeconds)
	}
	status := map[string]any{}
	for field, value := range map[string]int64{
		"observedGeneration": d.Status.ObservedGeneration, "replicas": int64(d.Status.Replicas),
		"updatedReplicas": int64(d.Status.UpdatedReplicas), "readyReplicas": int64(d.Status.ReadyReplicas),
		"availableReplicas": int64(d.Status.AvailableReplicas), "unavailableReplicas": int64(d.Status.UnavailableReplicas),
	} {
		if value != 0 { // as encoding leaves it out
			status[field] = value
		}
	}
	if len(d.Status.Conditions) > 0 {
		conditions := make([]any, 0, len(d.Status.Conditions))
		for _, c := range d.Status.Conditions {
			conditions = append(conditions, map[string]any{
				"type": string(c.Type), "status": string(c.Status), "reason": c.Reason, "message": c.Message,
			})
		}
		status["conditions"] = conditions
	}
	return map[string]any{
		"apiVersion": appsv1.SchemeGroupVersion.String(), "kind": "Deployment",
		"metadata": metadata, "spec": spec, "status": status,
	}
}

// compute is kstatus on any object. kstatus asserts types that hold for what an
// API server has validated; an object of another shape must not end the process.
func compute(u *unstructured.Unstructured) (result *status.Result, err error) {
	defer func() {
		if recover() != nil {
			result, err = nil, fmt.Errorf("its status is not of the form that a %s has", u.GetKind())
		}
	}()
	return status.Compute(u)
}

// Package health says how the workload of an app is doing, from the object as
// the cluster shows it.
//
// It is pure. It judges with kstatus, as kubectl, Flux and Argo CD users know
// it, and adds the one rule that an engine needs: an object that does not yet
// carry the content that was applied says nothing about that content.
package health

import (
	"fmt"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Deployment is the feedback for an applied Deployment. observed is the object
// as the watch shows it, nil if it does not show it yet; wantHash is the content
// hash that was applied.
func Deployment(observed *appsv1.Deployment, wantHash string) v1.Feedback {
	if observed == nil || observed.Annotations[v1.AnnotationContentHash] != wantHash {
		return progressing("applied; waiting for the cluster to show it", observed)
	}
	result, err := compute(observed)
	if err != nil {
		return progressing("its state cannot be read: "+err.Error(), observed)
	}
	switch result.Status {
	case status.CurrentStatus:
		return feedback(v1.FeedbackReady, observed)
	case status.FailedStatus:
		f := feedback(v1.FeedbackFailed, observed)
		f.Reason, f.Message = v1.ReasonDeploymentFailed, result.Message
		return f
	case status.TerminatingStatus:
		f := feedback(v1.FeedbackProgressing, observed)
		f.Reason, f.Message = v1.ReasonTerminating, fmt.Sprintf("Deployment %s is being deleted by someone; it is made again once it is gone", observed.Name)
		return f
	default:
		return progressing(readyOf(observed), observed)
	}
}

func readyOf(d *appsv1.Deployment) string {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	return fmt.Sprintf("%d of %d pods ready, %d updated; to see why: kubectl get pods -n %s -l %s=%s on the member",
		d.Status.ReadyReplicas, want, d.Status.UpdatedReplicas, d.Namespace, v1.LabelApp, d.Labels[v1.LabelApp])
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

func compute(d *appsv1.Deployment) (*status.Result, error) {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
	if err != nil {
		return nil, fmt.Errorf("converting Deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	u := &unstructured.Unstructured{Object: object}
	u.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("Deployment"))
	return status.Compute(u)
}

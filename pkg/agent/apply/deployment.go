package apply

import (
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// deployment is what the cache holds of a Deployment: what health and the engine
// read. The API's own type takes a kilobyte more, for pods that nobody looks at.
type deployment struct {
	metav1.ObjectMeta
	replicas, progressDeadline *int32
	status                     appsv1.DeploymentStatus
}

func newDeployment(d *appsv1.Deployment) *deployment {
	return &deployment{ObjectMeta: d.ObjectMeta, replicas: d.Spec.Replicas, progressDeadline: d.Spec.ProgressDeadlineSeconds, status: d.Status}
}

// whole is the Deployment with what is known of it.
func (d *deployment) whole() *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: d.ObjectMeta, Status: d.status,
		Spec: appsv1.DeploymentSpec{Replicas: d.replicas, ProgressDeadlineSeconds: d.progressDeadline},
	}
}

// GetObjectKind says nothing: the store that has it knows its kind.
func (d *deployment) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject is for those to whom it is a runtime.Object.
func (d *deployment) DeepCopyObject() runtime.Object {
	return newDeployment(d.whole().DeepCopy())
}

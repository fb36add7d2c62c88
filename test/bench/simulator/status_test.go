package simulator

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestPatchSettles(t *testing.T) {
	for _, tt := range []struct {
		reason     string
		deployment appsv1.Deployment
		settled    bool
	}{
		{"just made", appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 1}, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](3)}}, false},
		{"no replicas said: one", appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 1}}, false},
		{"ready at an earlier generation", appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Generation: 2},
			Status:     appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1},
		}, false},
		{"a pod that went away", appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Generation: 1},
			Status:     appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 1, UpdatedReplicas: 1},
		}, false},
		{"nothing is wanted", appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Generation: 1}, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](0)},
			Status: appsv1.DeploymentStatus{ObservedGeneration: 1},
		}, true},
	} {
		d := tt.deployment
		if settled(&d, false) != tt.settled {
			t.Errorf("%s: settled = %v", tt.reason, settled(&d, false))
		}
		for _, down := range []bool{false, true, false} {
			body, err := patch(&d, down)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(body, &d); err != nil {
				t.Fatal(err)
			}
			if !settled(&d, down) {
				t.Errorf("%s: the patch does not settle it, down %v: %s", tt.reason, down, body)
			}
		}
	}
}

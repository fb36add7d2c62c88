package health

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

// healthy is a Deployment of two pods that is as wanted, changed.
func healthy(change ...func(*appsv1.Deployment)) *appsv1.Deployment {
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Generation: 3, Annotations: map[string]string{v1.AnnotationContentHash: "h"}},
		Spec:       appsv1.DeploymentSpec{Replicas: ptr.To[int32](2)},
		Status: appsv1.DeploymentStatus{
			ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2,
			Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}},
		},
	}
	for _, c := range change {
		c(d)
	}
	return d
}

func TestDeployment(t *testing.T) {
	deleted := metav1.NewTime(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))
	for _, tt := range []struct {
		name, reason string
		observed     *appsv1.Deployment
		want         v1.FeedbackState
		why, says    string
		ready        int32
	}{
		{"ready", "all pods are updated and ready", healthy(), v1.FeedbackReady, "", "", 2},
		{"not shown", "the watch is behind", nil, v1.FeedbackProgressing, v1.ReasonPodsNotReady, "has not taken it up", 0},
		{"other content", "the health of other content says nothing about ours", healthy(func(d *appsv1.Deployment) { d.Annotations[v1.AnnotationContentHash] = "old" }),
			v1.FeedbackProgressing, v1.ReasonPodsNotReady, "has not taken it up", 2},
		{"no hash", "the annotation was taken off", healthy(func(d *appsv1.Deployment) { d.Annotations = nil }), v1.FeedbackProgressing, v1.ReasonPodsNotReady, "has not taken it up", 2},
		{"not observed", "the Deployment controller has not seen this generation", healthy(func(d *appsv1.Deployment) { d.Status.ObservedGeneration = 2 }),
			v1.FeedbackProgressing, v1.ReasonPodsNotReady, "2 of 2 pods ready, 2 updated", 2},
		{"pods start", "one pod is missing", healthy(func(d *appsv1.Deployment) { d.Status.ReadyReplicas = 1 }), v1.FeedbackProgressing, v1.ReasonPodsNotReady, "1 of 2 pods ready, 2 updated", 1},
		{"rolling", "old pods are ready, new ones are not there", healthy(func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 1 }), v1.FeedbackProgressing, v1.ReasonPodsNotReady, "2 of 2 pods ready, 1 updated", 2},
		{"old pods", "an old pod still runs", healthy(func(d *appsv1.Deployment) { d.Status.Replicas = 3 }), v1.FeedbackProgressing, v1.ReasonPodsNotReady, "", 2},
		{"one by default", "spec.replicas may be missing", healthy(func(d *appsv1.Deployment) { d.Spec.Replicas, d.Status.ReadyReplicas = nil, 0 }), v1.FeedbackProgressing, v1.ReasonPodsNotReady, "0 of 1", 0},
		{"scaled to none", "no pods is what was wanted", healthy(func(d *appsv1.Deployment) {
			d.Spec.Replicas = ptr.To[int32](0)
			d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.ReadyReplicas, d.Status.AvailableReplicas = 0, 0, 0, 0
		}), v1.FeedbackReady, "", "", 0},
		{"failed", "the cluster has given up", healthy(func(d *appsv1.Deployment) {
			d.Status.ReadyReplicas = 0
			d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded"})
		}), v1.FeedbackFailed, v1.ReasonDeploymentFailed, "deadline", 0},
		{"being deleted", "it comes back once it is gone", healthy(func(d *appsv1.Deployment) { d.DeletionTimestamp, d.Finalizers = &deleted, []string{"x"} }), v1.FeedbackProgressing, v1.ReasonTerminating, "Deployment web is being deleted", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var given *appsv1.Deployment
			if tt.observed != nil {
				given = tt.observed.DeepCopy()
			}
			got := Deployment(tt.observed, "h")
			if got.State != tt.want || got.Reason != tt.why || !strings.Contains(got.Message, tt.says) || got.ReadyReplicas != tt.ready {
				t.Errorf("%s: got %+v, want %s because of %q, %q", tt.reason, got, tt.want, tt.why, tt.says)
			}
			if diff := cmp.Diff(given, tt.observed); diff != "" {
				t.Errorf("the object is the cache's own and was changed:\n%s", diff)
			}
		})
	}
}

// TestReadyMeansReady: whatever a status says, Ready is said only of our
// content, seen by its controller, with every wanted pod ready and updated.
func TestReadyMeansReady(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string) int32 { return rapid.Int32Range(0, 3).Draw(t, name) }
		hash := rapid.SampledFrom([]string{"h", "old"}).Draw(t, "hash")
		d := healthy(func(d *appsv1.Deployment) {
			d.Annotations[v1.AnnotationContentHash] = hash
			d.Spec.Replicas = ptr.To(n("replicas"))
			d.Status.ObservedGeneration = rapid.Int64Range(2, 3).Draw(t, "observed")
			d.Status.Replicas, d.Status.UpdatedReplicas = n("pods"), n("updated")
			d.Status.ReadyReplicas, d.Status.AvailableReplicas = n("ready"), n("available")
		})
		f := Deployment(d, "h")
		if f.State == v1.FeedbackReady {
			if s := d.Status; hash != "h" || s.ObservedGeneration != 3 || s.ReadyReplicas < *d.Spec.Replicas || s.UpdatedReplicas < *d.Spec.Replicas || s.Replicas > *d.Spec.Replicas {
				t.Fatalf("Ready with %d wanted and %+v", *d.Spec.Replicas, s)
			}
			return
		}
		if f.Reason == "" || f.Message == "" {
			t.Fatalf("not ready without a reason: %+v", f)
		}
	})
}

// TestAsRead: what kstatus says of a Deployment is what it says of the whole of it.
func TestAsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := func(name string) int32 { return rapid.Int32Range(0, 3).Draw(t, name) }
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Generation: int64(count("generation"))}}
		if rapid.Bool().Draw(t, "deleted") {
			d.DeletionTimestamp = &metav1.Time{Time: time.Unix(1_700_000_000, 0)}
		}
		if rapid.Bool().Draw(t, "has replicas") {
			d.Spec.Replicas = ptr.To(count("wanted"))
		}
		if rapid.Bool().Draw(t, "has a deadline") {
			d.Spec.ProgressDeadlineSeconds = ptr.To(rapid.SampledFrom([]int32{0, 600, math.MaxInt32}).Draw(t, "deadline"))
		}
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: int64(count("observed")), Replicas: count("replicas"), UpdatedReplicas: count("updated"),
			ReadyReplicas: count("ready"), AvailableReplicas: count("available"), UnavailableReplicas: count("unavailable"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "conditions") {
			d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{
				Type:   rapid.SampledFrom([]appsv1.DeploymentConditionType{"Progressing", "Available", "ReplicaFailure", "Stalled", "Reconciling"}).Draw(t, "type"),
				Status: rapid.SampledFrom([]corev1.ConditionStatus{"True", "False", "Unknown"}).Draw(t, "status"),
				Reason: rapid.SampledFrom([]string{"", "NewReplicaSetAvailable", "ProgressDeadlineExceeded"}).Draw(t, "reason"), Message: "x",
			})
		}
		whole, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
		if err != nil {
			t.Fatal(err)
		}
		whole["apiVersion"], whole["kind"] = "apps/v1", "Deployment"
		want, wantErr := compute(&unstructured.Unstructured{Object: whole})
		got, err := computeDeployment(d)
		if diff := cmp.Diff(want, got); diff != "" || (err == nil) != (wantErr == nil) {
			t.Fatalf("of %+v (-whole +read), %v, %v:\n%s", d, wantErr, err, diff)
		}
	})
}

func BenchmarkDeployment(b *testing.B) {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Generation: 1, Annotations: map[string]string{v1.AnnotationContentHash: "h"}}}
	d.Spec.Replicas = ptr.To(int32(3))
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3, Conditions: []appsv1.DeploymentCondition{
		{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}, {Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"},
	}}
	b.ReportAllocs()
	for b.Loop() {
		if f := Deployment(d, "h"); f.State != v1.FeedbackReady {
			b.Fatalf("%+v", f)
		}
	}
}

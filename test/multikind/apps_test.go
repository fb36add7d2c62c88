package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
	"github.com/example/myapp-hub/test/multikind/kindfleet"
	"github.com/example/myapp-hub/test/scenario"
)

// scenarios are those of every kind of fleet.
func scenarios(t *testing.T, w world) {
	for _, s := range scenario.All() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, w.World) })
	}
}

// sample is deploy/samples/web.yaml with an image that is there: its pods run, and its
// Service answers in each cluster.
func sample(t *testing.T, w world) {
	text, err := os.ReadFile(filepath.Join(expect.Root(t), "deploy", "samples", "web.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	app := &v1.MyApp{}
	if err := yaml.UnmarshalStrict(text, app); err != nil {
		t.Fatal(err)
	}
	app.Namespace, app.Spec.Image = expect.OwnNamespace(t, w.Fleet), w.Images.First
	key := client.ObjectKeyFromObject(app)
	expect.Create(t, w.Fleet, app)
	expect.Ready(t, w.Fleet, w.Soon, key, w.World.Members...)
	for _, m := range w.World.Members {
		if got := w.fetch(t, m, key); got != "hello from version "+kindfleet.First+"\n" {
			t.Errorf("the Service on %s answers %q", m, got)
		}
	}
	w.Remove(t, key)
}

// fetch asks the Service of an app, from a pod beside it.
func (w world) fetch(t *testing.T, member string, app types.NamespacedName) string {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: app.Namespace, Name: "client"},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyOnFailure, // name servers may lag behind a new Service
			Containers: []corev1.Container{{
				Name: "web", Image: w.Images.First, ImagePullPolicy: corev1.PullNever,
				Args: []string{"get", "http://" + app.Name + "." + app.Namespace + ".svc.cluster.local/"},
			}},
		},
	}
	c := w.Client(member)
	if err := c.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	fleet.Eventually(t, w.Soon, "an answer of the Service on "+member, func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodSucceeded {
			return fmt.Errorf("the client is %s: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
		}
		return nil
	})
	out, err := expect.Kubectl(t, w.Kubeconfig(member), "", "logs", "-n", app.Namespace, pod.Name)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := c.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(out, "\n")
	return lines[max(0, len(lines)-2)]
}

// webhook shows that the API server asks the hub in its pod, by a certificate that the hub
// has made: an app that no member could run is refused when it is written.
func webhook(t *testing.T, w world) {
	app := expect.App(expect.OwnNamespace(t, w.Fleet), "web")
	app.Spec.Overrides = []v1.Override{{Patches: []v1.Patch{{Target: v1.PatchTarget{Kind: "Deployment"}, Patch: []v1.PatchOperation{{Op: "remove", Path: "/nothing"}}}}}}
	fleet.Eventually(t, w.Soon, "a refusal by the hub's webhook", func(ctx context.Context) error {
		err := w.Client(fleet.HubName).Create(ctx, app.DeepCopy(), client.DryRunAll)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "patches") {
			return fmt.Errorf("the answer is %w", err)
		}
		return nil
	})
	// It has nothing to do with anything else.
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: app.Namespace, Name: "other"}}
	if err := w.Client(fleet.HubName).Create(t.Context(), other); err != nil {
		t.Error(err)
	}
}

// badRelease rolls out a version that is never ready, member by member: it is rolled back,
// and of the version before no pod has ended.
func badRelease(t *testing.T, w world) {
	app := w.web(t, expect.WithService, withProbe, func(a *v1.MyApp) {
		a.Spec.Replicas = ptr.To[int32](2)
		a.Spec.Rollout = &v1.Rollout{
			Type: v1.RolloutProgressive, Steps: []v1.RolloutStep{{Name: "one", MaxConcurrent: ptr.To(intstr.FromInt32(1))}},
			OnFailure: v1.RolloutRollback, ProgressDeadlineSeconds: ptr.To[int32](30),
		}
	})
	before := w.pods(t, app.Namespace)
	expect.Edit(t, w.Fleet, app, func(a *v1.MyApp) { a.Spec.Image = kindfleet.WebImage(kindfleet.Broken) })
	expect.That(t, w.Fleet, 2*w.Soon, app, "is rolled back", func(a *v1.MyApp) error {
		if a.Status.Rollout == nil || a.Status.Rollout.Phase != v1.RolloutRolledBack {
			return fmt.Errorf("the rollout is %+v", a.Status.Rollout)
		}
		return nil
	})
	fleet.Eventually(t, w.Soon, "the pods of the version before, alone", func(context.Context) error {
		if after := w.pods(t, app.Namespace); !slices.Equal(before, after) {
			return fmt.Errorf("pods before:\n%s\nand after:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
		return nil
	})
	w.Remove(t, app)
}

// withProbe has pods be ready when they say so.
func withProbe(app *v1.MyApp) {
	app.Spec.Ports = []v1.Port{{Name: "http", ContainerPort: 8080}}
	app.Spec.Probes = &v1.Probes{Readiness: &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("http")}},
		PeriodSeconds: 1,
	}}
}

// autoscaler has a HorizontalPodAutoscaler on each member, and the hub leaves the number of
// pods to it.
func autoscaler(t *testing.T, w world) {
	app := w.web(t, func(a *v1.MyApp) {
		a.Spec.Replicas = nil
		a.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}}
		a.Spec.Autoscaling = &v1.Autoscaling{MinReplicas: ptr.To[int32](2), MaxReplicas: 4, TargetCPUUtilization: ptr.To[int32](70)}
	})
	for _, m := range w.World.Members {
		hpa := &autoscalingv2.HorizontalPodAutoscaler{}
		if err := w.Client(m).Get(t.Context(), app, hpa); err != nil {
			t.Errorf("the autoscaler on %s: %v", m, err)
			continue
		}
		if *hpa.Spec.MinReplicas != 2 || hpa.Spec.MaxReplicas != 4 || hpa.Spec.ScaleTargetRef.Name != app.Name {
			t.Errorf("the autoscaler on %s is %+v", m, hpa.Spec)
		}
	}
	w.Remove(t, app)
}

// faults has a member's node lose its network and lose its power in the midst of an update,
// and come back. One that hangs is among the scenarios of every kind of fleet.
func faults(t *testing.T, w world) {
	for _, fault := range kindfleet.Faults()[1:] {
		t.Run(fault.Name, func(t *testing.T) {
			cutting := w.World
			cutting.Cut = cut(w.Fleet, fault)
			scenario.PartitionDuringUpdate(t, cutting)
		})
	}
}

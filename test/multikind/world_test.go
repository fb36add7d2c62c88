package main

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
)

// web makes an app in a namespace of the test's own, and waits until it is Ready on all
// members.
func (w world) web(t *testing.T, edits ...func(*v1.MyApp)) types.NamespacedName {
	t.Helper()
	return w.webIn(t, expect.OwnNamespace(t, w.Fleet), "web", edits...)
}

func (w world) webIn(t *testing.T, namespace, name string, edits ...func(*v1.MyApp)) types.NamespacedName {
	t.Helper()
	app := expect.App(namespace, name, append([]func(*v1.MyApp){func(a *v1.MyApp) { a.Spec.Image = w.Images.First }}, edits...)...)
	expect.Create(t, w.Fleet, app)
	key := client.ObjectKeyFromObject(app)
	expect.Ready(t, w.Fleet, w.Soon, key, w.World.Members...)
	return key
}

// pods names the pods of a namespace on all members with how often they were restarted, but
// for those of apps that are left out.
func (w world) pods(t *testing.T, namespace string, without ...string) []string {
	t.Helper()
	var names []string
	for _, m := range w.World.Members {
		var pods corev1.PodList
		if err := w.Client(m).List(t.Context(), &pods, client.InNamespace(namespace)); err != nil {
			t.Fatalf("listing pods of %s: %v", m, err)
		}
		for _, p := range pods.Items {
			if slices.Contains(without, p.Labels["app.kubernetes.io/name"]) || slices.Contains(without, p.Labels[v1.LabelApp]) {
				continue
			}
			var restarts int32
			for _, c := range p.Status.ContainerStatuses {
				restarts += c.RestartCount
			}
			names = append(names, fmt.Sprintf("%s %s %s restarted %d times", m, p.Name, p.UID, restarts))
		}
	}
	slices.Sort(names)
	return names
}

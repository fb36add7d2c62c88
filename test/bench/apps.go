package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	v1 "github.com/example/myapp-hub/api/v1"
)

// driving is how many requests of the driver are under way at the same time.
const driving = 16

// spec is that of every app: one Deployment and one Service.
func spec(image string) v1.MyAppSpec {
	return v1.MyAppSpec{
		Image:   image,
		Ports:   []v1.Port{{Name: "http", ContainerPort: 8080}},
		Service: &v1.Service{Ports: []v1.ServicePort{{Port: 80}}},
		Placement: &v1.Placement{ClusterSelector: &v1.ClusterSelector{
			MatchLabels: map[string]v1.LabelValue{setLabel: "whole"},
		}},
	}
}

// apps are the apps of one run of one contender, and when what became of them.
type apps struct {
	world     *world
	contender contender
	namespace string
	n         int
	stop      context.CancelFunc
	factory   dynamicinformer.DynamicSharedInformerFactory

	mu    sync.Mutex
	begun map[string]time.Time // when the driver asked for the present state
	ready map[string]map[int64]time.Time
}

// watch begins a run: it knows from now on when an app became ready.
func watch(ctx context.Context, w *world, c contender, namespace string, n int) (*apps, error) {
	a := &apps{world: w, contender: c, namespace: namespace, n: n, begun: map[string]time.Time{}, ready: map[string]map[int64]time.Time{}}
	ctx, a.stop = context.WithCancel(ctx)
	a.factory = dynamicinformer.NewFilteredDynamicSharedInformerFactory(w.driver, 0, namespace, nil)
	informer := a.factory.ForResource(c.resource).Informer()
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: a.saw, UpdateFunc: func(_, now any) { a.saw(now) },
	}); err != nil {
		return nil, err
	}
	a.factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("watching the apps of %s: %w", c.name, ctx.Err())
	}
	return a, nil
}

// close ends the watch.
func (a *apps) close() {
	a.stop()
	a.factory.Shutdown()
}

func (a *apps) saw(object any) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok || !isReady(u) {
		return
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.ready[u.GetName()]
	if at == nil {
		at = map[int64]time.Time{}
		a.ready[u.GetName()] = at
	}
	if _, ok := at[u.GetGeneration()]; !ok {
		at[u.GetGeneration()] = now
	}
}

// isReady is true when the app says that it is ready as its spec is now.
func isReady(u *unstructured.Unstructured) bool {
	status := struct {
		Conditions []metav1.Condition `json:"conditions"`
	}{}
	content, _ := u.Object["status"].(map[string]any)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, &status); err != nil {
		return false
	}
	for _, c := range status.Conditions {
		if c.Type == "Ready" {
			return c.Status == metav1.ConditionTrue && c.ObservedGeneration == u.GetGeneration()
		}
	}
	return false
}

func (a *apps) name(i int) string { return fmt.Sprintf("app-%03d", i) }

// each does something for every app, several at a time, and notes when.
func (a *apps) each(ctx context.Context, do func(ctx context.Context, name string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(driving)
	for i := range a.n {
		group.Go(func() error {
			name := a.name(i)
			a.mu.Lock()
			a.begun[name] = time.Now()
			a.mu.Unlock()
			return do(ctx, name)
		})
	}
	return group.Wait()
}

// create creates all apps.
func (a *apps) create(ctx context.Context) error {
	s := spec("registry.example.com/web:1")
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&s)
	if err != nil {
		return err
	}
	return a.each(ctx, func(ctx context.Context, name string) error {
		u := object(a.contender.resource.GroupVersion().String(), a.contender.kind, a.namespace, name, map[string]any{"spec": runtime.DeepCopyJSON(content)})
		_, err := a.world.driver.Resource(a.contender.resource).Namespace(a.namespace).Create(ctx, u, metav1.CreateOptions{})
		return err
	})
}

// changeImage gives all apps another image.
func (a *apps) changeImage(ctx context.Context) error {
	body := []byte(`{"spec":{"image":"registry.example.com/web:2"}}`)
	return a.each(ctx, func(ctx context.Context, name string) error {
		_, err := a.world.driver.Resource(a.contender.resource).Namespace(a.namespace).Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{})
		return err
	})
}

// waitReady waits until all apps are ready at a generation.
func (a *apps) waitReady(ctx context.Context, generation int64) error {
	missing := 0
	err := eventually(ctx, 10*time.Minute, "the apps", func(context.Context) (bool, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		missing = a.n
		for i := range a.n {
			if _, ok := a.ready[a.name(i)][generation]; ok {
				missing--
			}
		}
		return missing == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%d of %d apps of %s in namespace %s are not ready: %w", missing, a.n, a.contender.name, a.namespace, err)
	}
	return nil
}

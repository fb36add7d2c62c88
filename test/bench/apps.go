package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
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

// spec is that of every app: one Deployment, and one Service if asked for.
func spec(image string, service bool) v1.MyAppSpec {
	s := v1.MyAppSpec{
		Image: image,
		Ports: []v1.Port{{Name: "http", ContainerPort: 8080}},
		Placement: &v1.Placement{ClusterSelector: &v1.ClusterSelector{
			MatchLabels: map[string]v1.LabelValue{setLabel: "whole"},
		}},
	}
	if service {
		s.Service = &v1.Service{Ports: []v1.ServicePort{{Port: 80}}}
	}
	return s
}

// image is the one that apps have at a generation.
func image(generation int64) string { return fmt.Sprintf("registry.example.com/web:%d", generation) }

// apps are the apps of one run of one contender, and when what became of them.
type apps struct {
	world     *world
	contender contender
	namespace string
	n         int
	// lone apps have a Deployment and nothing else.
	lone    bool
	stop    context.CancelFunc
	factory dynamicinformer.DynamicSharedInformerFactory

	mu    sync.Mutex
	begun map[string]time.Time // when the driver asked for the present state
	ready map[string]map[int64]time.Time
	// listen is told of every status that is seen, if it is set.
	listen func(app string, status v1.MyAppStatus, now time.Time)
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
	now := time.Now()
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return
	}
	status, ok := statusOf(u)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.listen != nil {
		a.listen(u.GetName(), status, now)
	}
	if !isReady(status, u.GetGeneration()) {
		return
	}
	at := a.ready[u.GetName()]
	if at == nil {
		at = map[int64]time.Time{}
		a.ready[u.GetName()] = at
	}
	if _, ok := at[u.GetGeneration()]; !ok {
		at[u.GetGeneration()] = now
	}
}

// onStatus has every status that is seen from now on told to listen, one at a time;
// nil ends it.
func (a *apps) onStatus(listen func(app string, status v1.MyAppStatus, now time.Time)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.listen = listen
}

// statusOf reads the status; C0's has the same schema.
func statusOf(u *unstructured.Unstructured) (status v1.MyAppStatus, ok bool) {
	content, ok := u.Object["status"].(map[string]any)
	if !ok {
		return status, false
	}
	return status, runtime.DefaultUnstructuredConverter.FromUnstructured(content, &status) == nil
}

// isReady is true when the app says that it is ready as its spec is now.
func isReady(status v1.MyAppStatus, generation int64) bool {
	c := meta.FindStatusCondition(status.Conditions, v1.ConditionReady)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == generation
}

// name is another one in each run: on a namespaced member all runs share a namespace.
func (a *apps) name(i int) string { return fmt.Sprintf("%s-%03d", a.namespace, i) }

// key is an app's namespace and name.
func (a *apps) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: a.namespace, Name: name}
}

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
	s := spec(image(1), !a.lone)
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
	return a.each(ctx, func(ctx context.Context, name string) error { return a.setImage(ctx, name, 2) })
}

// setImage gives an app the image of a generation, which it has then.
func (a *apps) setImage(ctx context.Context, name string, generation int64) error {
	body := fmt.Appendf(nil, `{"spec":{"image":%q}}`, image(generation))
	_, err := a.world.driver.Resource(a.contender.resource).Namespace(a.namespace).Patch(ctx, name, types.MergePatchType, body, metav1.PatchOptions{})
	return err
}

// patience is how long all apps may take: there may be 100,000 objects to write.
func (a *apps) patience() time.Duration {
	return 5*time.Minute + time.Duration(a.n*len(a.world.members))*objectsPerApp*10*time.Millisecond
}

// waitReady waits until all apps are ready at a generation.
func (a *apps) waitReady(ctx context.Context, generation int64) error {
	missing := 0
	err := eventually(ctx, a.patience(), "the apps", func(context.Context) (bool, error) {
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

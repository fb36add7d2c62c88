package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/example/myapp-hub/test/bench/floor/plan"
)

func floors() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: plan.Group, Version: plan.Version, Resource: plan.Resource}
}

// hub is the cluster that has the Floors.
type hub struct {
	floor   *floor
	writes  metadata.Interface
	factory dynamicinformer.DynamicSharedInformerFactory
	synced  cache.InformerSynced
	queue   workqueue.TypedRateLimitingInterface[version]
}

func newHub(kubeconfig string, f *floor) (*hub, error) {
	cfg, err := load(kubeconfig)
	if err != nil {
		return nil, err
	}
	reads, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to the hub: %w", err)
	}
	writes, err := metadata.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to the hub: %w", err)
	}
	h := &hub{
		floor: f, writes: writes, factory: dynamicinformer.NewDynamicSharedInformerFactory(reads, 0),
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[version]()),
	}
	informer := h.factory.ForResource(floors()).Informer()
	h.synced = informer.HasSynced
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: h.saw, UpdateFunc: func(_, now any) { h.saw(now) },
		DeleteFunc: func(object any) {
			if key, err := cache.DeletionHandlingObjectToName(object); err == nil {
				f.forget(key.AsNamespacedName())
			}
		},
	})
	return h, err
}

func (h *hub) start(ctx context.Context) error {
	h.factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), h.synced) {
		return fmt.Errorf("listing the Floors: %w", ctx.Err())
	}
	for range slotsPerMember {
		go h.work(ctx)
	}
	return nil
}

func (h *hub) saw(object any) {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return
	}
	image, _, err := unstructured.NestedString(u.Object, "spec", "image")
	if err != nil {
		return // its schema does not allow it
	}
	h.floor.want(version{
		key: types.NamespacedName{Namespace: u.GetNamespace(), Name: u.GetName()},
		uid: u.GetUID(), image: image, generation: u.GetGeneration(),
	})
}

func (h *hub) work(ctx context.Context) {
	for {
		v, done := h.queue.Get()
		if done || ctx.Err() != nil {
			return
		}
		if err := h.report(ctx, v); err != nil {
			complain(err)
			h.queue.AddRateLimited(v)
		} else {
			h.queue.Forget(v)
		}
		h.queue.Done(v)
	}
}

// report is the one status patch.
func (h *hub) report(ctx context.Context, v version) error {
	n := len(h.floor.members)
	body, err := json.Marshal(map[string]any{"status": map[string]any{
		"observedGeneration": v.generation,
		"conditions": []metav1.Condition{{
			Type: "Ready", Status: metav1.ConditionTrue, Reason: "Ready", ObservedGeneration: v.generation,
			Message: fmt.Sprintf("ready on %d of %d members", n, n), LastTransitionTime: metav1.NewTime(time.Now()),
		}},
	}})
	if err != nil {
		return fmt.Errorf("encoding the status of %s: %w", v.key, err)
	}
	_, err = h.writes.Resource(floors()).Namespace(v.key.Namespace).Patch(ctx, v.key.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: plan.Manager}, "status")
	if err != nil {
		return fmt.Errorf("reporting %s: %w", v.key, err)
	}
	return nil
}

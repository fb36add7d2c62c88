package apply

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/health"
)

// Pods that are not ready are asked why after diagnoseAfter, and then less and
// less often.
const (
	diagnoseAfter = 5 * time.Second
	diagnoseMost  = 5 * time.Minute
	// diagnosePods and diagnoseEvents bound what is read.
	diagnosePods   = 50
	diagnoseEvents = 200
)

// patience is the history of an app whose pods are not ready.
type patience struct {
	since, looked time.Time
	every         time.Duration
	cause         string
}

// Diagnose adds to a report of pods that are not ready the most useful cause,
// from the pods and their events. It asks the cluster only once the pods have
// not been ready for a while, and says when to come back, zero for never.
func (e *Engine) Diagnose(ctx context.Context, owner Owner, f v1.Feedback) (v1.Feedback, time.Duration) {
	if f.Reason != v1.ReasonPodsNotReady && f.Reason != v1.ReasonDeploymentFailed {
		e.memory.setPatience(owner.UID, nil)
		return f, 0
	}
	now, p := time.Now(), e.memory.patienceWith(owner.UID)
	if p == nil {
		p = &patience{since: now, every: diagnoseAfter}
	}
	if now.Sub(p.since) >= diagnoseAfter && now.Sub(p.looked) >= p.every {
		cause, err := e.cause(ctx, owner)
		if err != nil {
			logf.FromContext(ctx).V(1).Info("Cannot see why pods are not ready", "error", err.Error())
		} else {
			p.cause = cause
		}
		p.looked, p.every = now, min(2*p.every, diagnoseMost)
	}
	e.memory.setPatience(owner.UID, p)
	if p.cause != "" {
		f.Message = Shorten(p.cause + "; " + f.Message)
	}
	next := p.looked.Add(p.every)
	if p.looked.IsZero() {
		next = p.since.Add(diagnoseAfter)
	}
	return f, max(time.Second, next.Sub(now))
}

// cause reads the app's pods and their warnings.
func (e *Engine) cause(ctx context.Context, owner Owner) (string, error) {
	var pods []corev1.Pod
	err := listInto(ctx, e, "pods", e.home(owner), metav1.ListOptions{
		LabelSelector: e.podsOf(owner).String(), Limit: diagnosePods, ResourceVersion: "0",
	}, &pods)
	if err != nil {
		return "", err
	}
	if cause := health.Cause(pods, nil); cause != "" {
		return cause, nil
	}
	var events []corev1.Event
	err = listInto(ctx, e, "events", e.home(owner), metav1.ListOptions{
		FieldSelector: fields.Set{"type": corev1.EventTypeWarning, "involvedObject.kind": "Pod"}.String(), Limit: diagnoseEvents,
	}, &events)
	if err != nil {
		return "", err
	}
	return health.Cause(pods, events), nil
}

// podsOf selects the owner's pods.
func (e *Engine) podsOf(owner Owner) labels.Set {
	pods := labels.Set{v1.LabelApp: owner.Name}
	if e.namespace != "" {
		pods[v1.LabelAppNamespace] = owner.Namespace
	}
	return pods
}

// listInto reads core objects of a namespace.
func listInto[T any](ctx context.Context, e *Engine, resource, namespace string, options metav1.ListOptions, into *[]T) error {
	ctx, cancel := context.WithTimeout(ctx, RequestTimeout)
	defer cancel()
	list, err := e.dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: resource}).Namespace(namespace).List(ctx, options)
	if err != nil {
		return fmt.Errorf("listing %s in %s: %w", resource, namespace, err)
	}
	for i := range list.Items {
		var item T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &item); err != nil {
			return fmt.Errorf("reading %s in %s: %w", resource, namespace, err)
		}
		*into = append(*into, item)
	}
	return nil
}

func (m *memory) patienceWith(app types.UID) *patience {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.patience[app]
}

func (m *memory) setPatience(app types.UID, p *patience) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p == nil {
		delete(m.patience, app)
		return
	}
	m.patience[app] = p
}

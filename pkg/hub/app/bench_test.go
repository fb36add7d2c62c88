package app

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
)

// hub is a cache with one app, its revision and members, which reads cost as much
// of as of the real one. What else a pass might call panics.
type hub struct {
	client.Client
	app       *v1.MyApp
	members   []*v1.MemberCluster
	revisions []runtime.Object
	reports   map[string]aggregate.Report
}

func (h *hub) Get(_ context.Context, _ client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	options := (&client.GetOptions{}).ApplyOptions(opts)
	if ptr.Deref(options.UnsafeDisableDeepCopy, false) {
		*o.(*v1.MyApp) = *h.app
	} else {
		h.app.DeepCopyInto(o.(*v1.MyApp))
	}
	return nil
}

func (h *hub) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	objects := h.revisions
	if _, ok := list.(*v1.MemberClusterList); ok {
		objects = make([]runtime.Object, 0, len(h.members))
		for _, m := range h.members {
			objects = append(objects, m)
		}
	}
	return meta.SetList(list, objects)
}

func (h *hub) Of(types.UID) map[string]aggregate.Report { return h.reports }
func (h *hub) Forget(types.UID)                         {}
func (h *hub) ForgetMember(types.UID, string)           {}

// settled is a hub on which an app is ready on the first rows of the members.
func settled(b *testing.B, rows, members int) (*hub, *Reconciler) {
	s := world()
	h := &hub{app: s.app, reports: s.reports}
	h.app.Finalizers, h.app.ResourceVersion = []string{v1.Finalizer}, "100"
	for i := range members {
		m := &v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("member-%04d", i), Labels: map[string]string{"env": "dev", "region": "eu"}}}
		if i < rows {
			m.Labels["env"] = "prod"
		}
		m.Status.Conditions = []metav1.Condition{{Type: v1.ConditionReady, Status: "True", Reason: "Connected", Message: "it answers"}}
		h.members = append(h.members, m)
	}
	r := &Reconciler{Client: h, Reports: h, Clock: testingclock.NewFakePassiveClock(noon.Time)}
	for range 2 {
		s, err := r.observe(b.Context(), client.ObjectKeyFromObject(h.app))
		if err != nil {
			b.Fatal(err)
		}
		d := s.pass(b, noon)
		s.says2(h)
		h.app.Status = s.app.Status
		h.revisions = []runtime.Object{&appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: d.revision.Name}, Data: runtime.RawExtension{Raw: d.revision.Data}}}
	}
	return h, r
}

// says2 makes every member report that it is ready.
func (s *snapshot) says2(h *hub) {
	for _, row := range s.app.Status.Placements {
		h.reports[row.Cluster] = aggregate.Report{Decision: row.Decision, Feedback: v1.Feedback{
			State: v1.FeedbackReady, AppliedHash: "h", Replicas: row.Replicas, ReadyReplicas: row.Replicas, Message: "2 of 2 pods are ready"}}
	}
}

// BenchmarkPass is one pass over an app about which there is nothing new, as most
// passes are.
func BenchmarkPass(b *testing.B) {
	for _, rows := range []int{5, 1000} {
		b.Run(fmt.Sprintf("%d rows of 1000 members", rows), func(b *testing.B) {
			h, r := settled(b, rows, 1000)
			request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(h.app)}
			b.ReportAllocs()
			for b.Loop() {
				if result, err := r.Reconcile(b.Context(), request); err != nil || result.RequeueAfter != 0 {
					b.Fatalf("%+v, %v", result, err)
				}
			}
		})
	}
}

// BenchmarkStatusPatch is the body of the write that one more report leads to.
func BenchmarkStatusPatch(b *testing.B) {
	h, _ := settled(b, 1000, 1000)
	next := h.app.Status.DeepCopy()
	next.Placements[500].State, next.Placements[500].LastTransitionTime = v1.PlacementProgressing, metav1.NewTime(noon.Add(time.Hour))
	b.ReportAllocs()
	var data []byte
	for b.Loop() {
		var err error
		if data, err = statusPatch(h.app, next); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(data)), "B/patch")
	if !json.Valid(data) {
		b.Fatal("not JSON")
	}
}

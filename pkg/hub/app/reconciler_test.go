package app

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	"github.com/example/myapp-hub/pkg/flush"
	"github.com/example/myapp-hub/pkg/hub/aggregate"
)

// hub is a cache with one app, its revision and members, which reads cost as much
// of as of the real one. Its answers to writes are decoded into what was sent, as a
// client does: into the memory that is there.
type hub struct {
	client.Client
	writes    int
	app       *v1.MyApp
	members   []*v1.MemberCluster
	revisions []runtime.Object
	reports   map[string]aggregate.Report
}

func (h *hub) Get(_ context.Context, _ client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if namespace, ok := o.(*metav1.PartialObjectMetadata); ok {
		namespace.Name = h.app.Namespace
		return nil
	}
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
	switch list.(type) {
	case *v1.PlacementQuotaList:
		objects = nil
	case *v1.MemberClusterList:
		objects = make([]runtime.Object, 0, len(h.members))
		for _, m := range h.members {
			objects = append(objects, m)
		}
	}
	return meta.SetList(list, objects)
}

func (h *hub) LastStoreSyncResourceVersion() string { return "100" }

func (h *hub) Of(types.UID) map[string]aggregate.Report { return h.reports }
func (h *hub) Forget(types.UID)                         {}
func (h *hub) ForgetMember(types.UID, string)           {}

// settled is a hub on which an app is ready on the first rows of the members.
func settled(t testing.TB, rows, members int) (*hub, *Reconciler) {
	t.Helper()
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
	r.fleets.watch(h)
	for range 2 {
		s, err := r.observe(t.Context(), client.ObjectKeyFromObject(h.app))
		if err != nil {
			t.Fatal(err)
		}
		d := s.pass(t, noon)
		h.allReady(s)
		h.app.Status = s.app.Status
		h.revisions = []runtime.Object{&appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: d.revision.Name}, Data: runtime.RawExtension{Raw: d.revision.Data}}}
	}
	return h, r
}

// allReady makes every member report that the app is ready.
func (h *hub) allReady(s *snapshot) {
	for _, row := range s.app.Status.Placements {
		h.reports[row.Cluster] = aggregate.Report{Decision: row.Decision, Feedback: v1.Feedback{
			State: v1.FeedbackReady, AppliedHash: "h", Replicas: row.Replicas, ReadyReplicas: row.Replicas, Message: "2 of 2 pods are ready"}}
	}
}

func (h *hub) Create(context.Context, client.Object, ...client.CreateOption) error { return nil }

func (h *hub) Patch(_ context.Context, o client.Object, _ client.Patch, _ ...client.PatchOption) error {
	h.writes++
	o.SetResourceVersion("101")
	if app, ok := o.(*v1.MyApp); ok {
		for i := range app.Status.Placements {
			row := &app.Status.Placements[i]
			row.Message = "decoded"
			if row.LastReportTime != nil {
				*row.LastReportTime = metav1.Time{}
			}
		}
		for i := range app.Status.Conditions {
			app.Status.Conditions[i].Message = "decoded"
		}
		app.Spec.Placement.ClusterSelector.MatchLabels["env"] = "decoded"
	}
	return nil
}

func (h *hub) Status() client.SubResourceWriter { return statusWriter{hub: h} }

type statusWriter struct {
	client.SubResourceWriter
	hub *hub
}

func (w statusWriter) Patch(ctx context.Context, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
	return w.hub.Patch(ctx, o, p)
}

// TestPassLeavesTheCacheAlone: a pass reads the cache's own objects, which others
// read at the same time.
func TestPassLeavesTheCacheAlone(t *testing.T) {
	h, r := settled(t, 4, 6)
	for _, step := range []struct {
		what   string
		event  func()
		writes int
	}{
		{"nothing is new", func() {}, 0},
		{"a member reports", func() {
			h.reports["member-0001"] = aggregate.Report{Decision: 1, Feedback: v1.Feedback{State: v1.FeedbackFailed, Message: "no space"}}
		}, 1},
		{"one falls silent", func() {
			h.app.Status.Placements[2].State = v1.PlacementUnknown
			h.app.Status.Placements[2].LastReportTime = &noon
		}, 1},
		{"the finalizer is missing, and the image is new", func() { h.app.Finalizers, h.app.Generation, h.app.Spec.Image = nil, 2, "web:2" }, 2},
		{"it is deleted", func() { h.app.Finalizers, h.app.DeletionTimestamp = []string{v1.Finalizer}, &noon }, 1},
		{"and gone from every member", func() { h.app.Status.Placements = nil }, 1},
	} {
		step.event()
		h.writes = 0
		r.own.Forget(h.app.UID)
		r.windows.Forget(client.ObjectKeyFromObject(h.app))
		app, members := h.app.DeepCopy(), slices.Clone(h.members)
		for i := range members {
			members[i] = members[i].DeepCopy()
		}
		for range 2 { // the second pass after its window, if it has to wait
			if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(h.app)}); err != nil {
				t.Fatal(err)
			}
			if h.writes > 0 {
				break
			}
			r.Clock.(*testingclock.FakePassiveClock).SetTime(r.Clock.Now().Add(flush.Longest))
		}
		if h.writes != step.writes {
			t.Errorf("%s: %d writes, want %d", step.what, h.writes, step.writes)
		}
		if diff := cmp.Diff(app, h.app) + cmp.Diff(members, h.members); diff != "" {
			t.Errorf("%s: what the cache holds was changed:\n%s", step.what, diff)
		}
	}
}

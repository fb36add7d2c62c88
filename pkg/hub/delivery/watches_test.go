package delivery

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	mcreconcile "sigs.k8s.io/multicluster-runtime/pkg/reconcile"

	v1 "github.com/example/myapp-hub/api/v1"
)

func placed(rows ...v1.PlacementRow) *v1.MyApp {
	return &v1.MyApp{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "u"}, Status: v1.MyAppStatus{Placements: rows}}
}

func TestChangedDecisions(t *testing.T) {
	eu := v1.PlacementRow{Cluster: "eu", State: v1.PlacementPending, Decision: 1}
	us := v1.PlacementRow{Cluster: "us", State: v1.PlacementReady, Decision: 7}
	ready, again, removing := eu, eu, eu
	ready.State, ready.ReadyReplicas, ready.Message, ready.AppliedHash = v1.PlacementReady, 3, "x", "h"
	again.Decision = 2
	removing.State = v1.PlacementRemoving
	paused, deleted, observed := placed(eu, us), placed(eu, us), placed(eu, us)
	observed.Status.ObservedGeneration = 2
	paused.Spec.Paused = true
	deleted.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	leaving := placed(removing, us)
	leaving.DeletionTimestamp = deleted.DeletionTimestamp
	given := leaving.DeepCopy()
	given.Annotations = map[string]string{v1.AnnotationForceRemove: "us, eu"}

	for _, tt := range []struct {
		reason        string
		before, after *v1.MyApp
		want          []string
	}{
		{"a new app: all its members", nil, placed(eu, us), []string{"eu", "us"}},
		{"nothing", placed(eu, us), placed(eu, us), nil},
		{"an observation is no decision, or each status would fan out to all", placed(eu, us), placed(ready, us), nil},
		{"a decision about one", placed(eu, us), placed(again, us), []string{"eu"}},
		{"a removal", placed(eu, us), placed(removing, us), []string{"eu"}},
		{"a new row", placed(us), placed(eu, us), []string{"eu"}},
		{"a row that is gone: what is left there is a stray", placed(eu, us), placed(us), []string{"eu"}},
		{"a spec that is observed: its policies count from now on", placed(eu, us), observed, []string{"eu", "us"}},
		{"pausing holds all", placed(eu, us), paused, []string{"eu", "us"}},
		{"and releases all", paused, placed(eu, us), []string{"eu", "us"}},
		{"a deletion frees what was held", placed(eu, us), deleted, []string{"eu", "us"}},
		{"a member that is given up while the app leaves it", leaving, given, []string{"eu"}},
	} {
		got := changedDecisions(tt.before, tt.after)
		slices.Sort(got)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

func newQueue(t *testing.T) queue {
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[mcreconcile.Request]())
	t.Cleanup(q.ShutDown)
	return q
}

func drain(q queue) (all []string) {
	for q.Len() > 0 {
		r, _ := q.Get()
		all = append(all, string(r.ClusterName)+" "+r.String())
		q.Done(r)
	}
	slices.Sort(all)
	return all
}

func TestEnqueueWork(t *testing.T) {
	work := func(namespace string) *v1.Work {
		return &v1.Work{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web-1"},
			Spec: v1.WorkSpec{App: v1.AppReference{Namespace: "shop", Name: "web"}}}
	}
	q := newQueue(t)
	enqueueWork(q, work("default"))
	if got := drain(q); got != nil {
		t.Errorf("a Work outside a mailbox is nobody's: %v", got)
	}
	enqueueWork(q, work(v1.MailboxNamespace("eu")))
	enqueue(q, placed(), []string{"eu", "us"})
	if got := drain(q); len(got) != 2 {
		t.Errorf("a Work and its app's row are one request: %v", got)
	}
}

// TestBelieved: an agent's report counts for the Work it was made of.
func TestBelieved(t *testing.T) {
	ready := v1.Feedback{State: v1.FeedbackReady, AppliedHash: "h", ReadyReplicas: 2}
	failed := v1.Feedback{State: v1.FeedbackFailed, Reason: v1.ReasonForbidden}
	stale := v1.Feedback{State: v1.FeedbackProgressing, Reason: v1.ReasonUpdating, Message: "in the mailbox; the agent has not applied it yet"}
	staleReady := stale
	staleReady.ReadyReplicas = 2
	for _, tt := range []struct {
		reason      string
		observed    int64
		says, want  v1.Feedback
		contentHash string
	}{
		{"about this Work and content", 3, ready, ready, "h"},
		{"about an older Work; the pods of before still count", 2, ready, staleReady, "h"},
		{"about other content", 3, ready, staleReady, "new"},
		{"a refusal has no content", 3, failed, failed, "h"},
		{"an old refusal", 2, failed, stale, "h"},
		{"nothing yet", 0, v1.Feedback{}, stale, "h"},
	} {
		w := &v1.Work{ObjectMeta: metav1.ObjectMeta{Generation: 3}, Status: v1.WorkStatus{ObservedGeneration: tt.observed, Feedback: tt.says}}
		if diff := cmp.Diff(tt.want, believed(w, tt.contentHash)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

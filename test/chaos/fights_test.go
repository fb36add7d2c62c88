package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// fight is what others do to an app's Deployment, and what may come of it in five
// minutes (in 25 seconds): corrections wait 0, 1, 10 and 60 s, and then 5 min.
type fight struct {
	name   string
	reason string
	has    []part
	// fight answers to a state of the Deployment; true if it wrote.
	fight func(*rival, *appsv1.Deployment) bool
	// least and most are how many writes the product makes, on each member.
	leastShort, mostShort, least, most int
	// ends is the app's state when the time is up: the reason of what is not as
	// wanted and what is said of it, or "" for Ready.
	ends, says string
}

var fights = []fight{
	{
		name: "image", reason: "who sets the image back at once wins, and it is said",
		fight:      func(r *rival, d *appsv1.Deployment) bool { return r.setImage(d) },
		leastShort: 3, mostShort: 3, least: 4, most: 5,
		ends: v1.ReasonContested, says: `/image is "theirs.example.com/web:1" (set by rival)`,
	},
	{
		name: "replicas", reason: "so does who scales what has no autoscaler",
		fight:      func(r *rival, d *appsv1.Deployment) bool { return *d.Spec.Replicas == 1 && r.scale(d, 3) },
		leastShort: 3, mostShort: 3, least: 4, most: 5,
		ends: v1.ReasonContested, says: "/spec/replicas is 3 (set by rival)",
	},
	{
		name: "autoscaled", reason: "an autoscaler has the last word about replicas",
		has: []part{scaler},
	},
	{
		name: "mutated", reason: "what a webhook of the member changes of every write is the member's",
	},
	{
		name: "truce", reason: "who gives up after three corrections is forgotten",
		fight:      func(r *rival, d *appsv1.Deployment) bool { return r.won.Load() < 3 && r.setImage(d) },
		leastShort: 3, mostShort: 3, least: 3, most: 3,
	},
}

// Others fight with the product over its objects, on a Push and on a Pull member:
// no endless writes, and it is said who is in the way.
func TestFights(t *testing.T) {
	shareMachine(t)
	members := []string{"push-1", "pull-1"}
	f := fleet.Start(t, fleet.Push("push-1"), fleet.Pull("pull-1"), labelled("push-1"), labelled("pull-1"))
	for _, m := range members {
		mutate(t, f.Cluster(m), "mutated")
	}
	w := newWorld(t, f, seed(t), members...)
	ends := marks(f)
	for _, c := range fights {
		app := &wish{name: c.name, replicas: 1, version: 1}
		for _, p := range c.has {
			app.has[p] = true
		}
		w.create(app)
	}
	for _, c := range fights {
		expect.Ready(t, f, soon, key(c.name), slices.Clone(members)...)
	}
	for _, m := range members {
		if d := expect.Deployment(t, f, m, key("mutated")); !isMutated(d) {
			t.Errorf("the webhook of %s has not changed the Deployment: %+v", m, d.Spec.Template.Spec.Containers)
		}
	}
	created := w.writes(ends)
	ends = marks(f)
	ctx, stop := context.WithCancel(t.Context())
	rivals := map[string]*rival{}
	for _, m := range members {
		for _, c := range fights {
			r := newRival(t, f.Cluster(m), c.name)
			rivals[m+" "+c.name] = r
			switch {
			case c.fight != nil:
				r.follow(ctx, func(d *appsv1.Deployment) bool { return c.fight(r, d) })
			case c.name == "autoscaled":
				r.playAutoscaler(ctx)
			default:
				close(r.done)
			}
		}
	}
	during := time.Duration(times(25, 300)) * time.Second
	fleet.Consistently(t, during, "rivals that can act", func(context.Context) error {
		for _, r := range rivals {
			if err := r.failed.Load(); err != nil {
				return *err
			}
		}
		return nil
	})
	written := w.writes(ends)
	for _, c := range fights {
		least, most := c.least, c.most
		if testing.Short() {
			least, most = c.leastShort, c.mostShort
		}
		for _, m := range members {
			if n := created[m+" "+c.name]; n != 1 {
				t.Errorf("%s: %d writes of Deployment %s on %s until it was ready, want its creation alone", c.reason, n, c.name, m)
			}
			n, won := written[m+" "+c.name], rivals[m+" "+c.name].won.Load()
			t.Logf("%-10s on %s: %d writes by the product, %d by the rival, in %s", c.name, m, n, won, during)
			if n < least || n > most {
				t.Errorf("%s: the product wrote Deployment %s on %s %d times in %s, want %d to %d", c.reason, c.name, m, n, during, least, most)
			}
		}
		if c.name == "truce" && testing.Short() {
			continue // it is believed a minute after the third correction
		}
		expect.That(t, f, soon, key(c.name), "says how it stands", func(a *v1.MyApp) error { return c.stands(a, members) })
	}
	stop()
	for _, r := range rivals {
		<-r.done
	}
}

// stands says how an app does not stand as it should when the time is up.
func (f fight) stands(app *v1.MyApp, members []string) error {
	if f.ends == "" {
		return expect.IsReady(app, slices.Clone(members)...)
	}
	applied := meta.FindStatusCondition(app.Status.Conditions, v1.ConditionApplied)
	stalled := meta.FindStatusCondition(app.Status.Conditions, v1.ConditionStalled)
	if applied == nil || applied.Status != metav1.ConditionFalse || applied.Reason != f.ends {
		return fmt.Errorf("Applied is %+v, want it False for %s", applied, f.ends)
	}
	if stalled == nil || stalled.Status != metav1.ConditionTrue || stalled.Reason != f.ends {
		return fmt.Errorf("Stalled is %+v, want it True for %s", stalled, f.ends)
	}
	for _, m := range members {
		if row := expect.Row(app, m); row == nil || row.Reason != f.ends || !strings.Contains(row.Message, f.says) {
			return fmt.Errorf("%s says %+v, want %q", m, row, f.says)
		}
	}
	return nil
}

// writes counts the product's writes of Deployments by member and name. One into a
// namespace that was not there yet has written nothing.
func (w *world) writes(since map[string]int64) map[string]int {
	w.t.Helper()
	count := map[string]int{}
	for _, m := range w.members {
		events, err := w.f.Cluster(m).AuditSince(since[m])
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range expect.Writes(events) {
			if e.Resource == "deployments" && e.Namespace == namespace && e.Code != http.StatusNotFound {
				count[m+" "+e.Name]++
			}
		}
	}
	return count
}

// rivalName is the field manager of rivals.
const rivalName = "rival"

// rival writes to an app's Deployment on a member.
type rival struct {
	client kubernetes.Interface
	name   string
	// won counts its writes.
	won    atomic.Int64
	failed atomic.Pointer[error]
	done   chan struct{}
}

func newRival(t *testing.T, c *fleet.Cluster, name string) *rival {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Admin())
	if err != nil {
		t.Fatal(err)
	}
	return &rival{client: client, name: name, done: make(chan struct{})}
}

// follow answers to every state of the Deployment until ctx ends.
func (r *rival) follow(ctx context.Context, fight func(*appsv1.Deployment) bool) {
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			states, err := r.client.AppsV1().Deployments(namespace).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + r.name})
			if err != nil {
				r.note(err)
				return
			}
			for e := range states.ResultChan() {
				if d, ok := e.Object.(*appsv1.Deployment); ok && e.Type != watch.Deleted && fight(d) {
					r.won.Add(1)
				}
			}
		}
	}()
}

// playAutoscaler scales up and down every other second, within the limits of the
// app's HorizontalPodAutoscaler; the real one has no metrics here.
func (r *rival) playAutoscaler(ctx context.Context) {
	go func() {
		defer close(r.done)
		ticker := time.NewTicker(2 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			d, err := r.client.AppsV1().Deployments(namespace).Get(ctx, r.name, metav1.GetOptions{})
			if err != nil {
				r.note(err)
				continue
			}
			if r.scale(d, 1+*d.Spec.Replicas%3) {
				r.won.Add(1)
			}
		}
	}()
}

// setImage sets an image of the rival's in the place of the app's.
func (r *rival) setImage(d *appsv1.Deployment) bool {
	const theirs = "theirs.example.com/web:1"
	if d.Spec.Template.Spec.Containers[0].Image == theirs {
		return false
	}
	// Of a state that is not the latest it makes nothing.
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"spec":{"template":{"spec":{"containers":[{"name":%q,"image":%q}]}}}}`, d.ResourceVersion, r.name, theirs)
	_, err := r.client.AppsV1().Deployments(namespace).Patch(context.Background(), r.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: rivalName})
	r.note(err)
	return err == nil
}

// scale scales as kubectl and autoscalers do.
func (r *rival) scale(d *appsv1.Deployment, replicas int32) bool {
	_, err := r.client.AppsV1().Deployments(namespace).UpdateScale(context.Background(), r.name, &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: r.name, ResourceVersion: d.ResourceVersion},
		Spec:       autoscalingv1.ScaleSpec{Replicas: replicas},
	}, metav1.UpdateOptions{FieldManager: rivalName})
	r.note(err)
	return err == nil
}

// note keeps an error that is not of a state that has passed.
func (r *rival) note(err error) {
	if err != nil && !apierrors.IsConflict(err) && !errors.Is(err, context.Canceled) {
		r.failed.Store(&err)
	}
}

// Package rotation tests that certificates are replaced while the fleet works, and that
// no app suffers.
package rotation

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	push = "push"
	pull = "pull"
	// apps that are changed all the time, and as many that are left alone.
	apps = 10
	soon = 60 * time.Second
)

// The authorities that issue the certificates of the hub's API server, of a Push
// member's and of a Pull member's are replaced one after another, with both trusted in
// between, while apps are changed all the time. Every change arrives, apps that nobody
// changes stay Ready, and their pods are those of before.
func TestCARotation(t *testing.T) {
	f := fleet.Start(t, fleet.Push(push), fleet.Labels(push, map[string]string{expect.NameLabel: push}),
		fleet.Pull(pull), fleet.Labels(pull, map[string]string{expect.NameLabel: pull}))
	expect.Namespace(t, f, "shop")
	for i := range apps {
		expect.Create(t, f, expect.App("shop", idle(i).Name, expect.On(push, pull)))
		expect.Create(t, f, expect.App("shop", busy(i).Name, expect.On(push, pull)))
	}
	for i := range apps {
		expect.Ready(t, f, soon, idle(i), push, pull)
		expect.Ready(t, f, soon, busy(i), push, pull)
	}
	before := pods(t, f)
	watch := startWatch(t, f)
	load := startLoad(t, f)

	for _, cluster := range []string{fleet.HubName, push, pull} {
		step := func(what string, do func(context.Context, string) error) {
			t.Helper()
			old := endpoint(t, f)
			if err := do(t.Context(), cluster); err != nil {
				t.Fatalf("%s: %s: %v", cluster, what, err)
			}
			takeover(t, f, cluster, old)
			load.mustGoOn(t, fmt.Sprintf("%s: %s", cluster, what))
		}
		step("both are trusted", f.TrustNextCA)
		step("the new one is shown", f.ServeByNextCA)
		step("the old one is forgotten", f.ForgetOldCA)
		f.Cluster(cluster).Break()
		load.mustGoOn(t, cluster+": everybody has connected again")
	}

	edits := load.stop()
	for i := range apps {
		expect.Ready(t, f, soon, busy(i), push, pull)
	}
	if failed := watch.stop(); len(failed) > 0 {
		t.Errorf("apps failed: %v", failed)
	}
	if diff := cmp.Diff(before, pods(t, f)); diff != "" {
		t.Errorf("pods of apps that nobody changed (-before +after):\n%s", diff)
	}
	t.Logf("3 authorities replaced, %d changes meanwhile, 0 of %d apps failed", edits, 2*apps)
}

func idle(i int) types.NamespacedName { return app("idle", i) }

func busy(i int) types.NamespacedName { return app("busy", i) }

func app(kind string, i int) types.NamespacedName {
	return types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("%s-%d", kind, i)}
}

func endpoint(t *testing.T, f *fleet.Fleet) map[string]string {
	t.Helper()
	said := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: fleet.HubNamespace, Name: v1.HubConfigMap}
	if err := f.Cluster(fleet.HubName).Client().Get(t.Context(), key, said); err != nil {
		t.Fatal(err)
	}
	return said.Data
}

// takeover does what kubelets do and what the manual asks for: an agent that has ended,
// because its hub is reached in another way, is started again, and what reads its own
// cluster's authority from a file is restarted.
func takeover(t *testing.T, f *fleet.Fleet, cluster string, before map[string]string) {
	t.Helper()
	agent := f.Agent(pull)
	restart := []*fleet.Process{}
	switch {
	case cluster == fleet.HubName:
		if !maps.Equal(before, endpoint(t, f)) {
			select {
			case <-agent.Exited():
			case <-time.After(soon):
				t.Fatalf("the agent does not take over how the hub is reached now:\n%s", agent.LogTail(20))
			}
			restart = append(restart, agent)
		}
		restart = append(restart, f.Hub())
	case cluster == pull:
		restart = append(restart, agent)
	}
	for _, p := range restart {
		if err := p.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// pods are the UIDs of the pods of the idle apps, by member and name.
func pods(t *testing.T, f *fleet.Fleet) map[string]types.UID {
	t.Helper()
	out := map[string]types.UID{}
	for _, member := range []string{push, pull} {
		for i := range apps {
			list := &corev1.PodList{}
			err := f.Cluster(member).Client().List(t.Context(), list, client.InNamespace("shop"), client.MatchingLabels{v1.LabelApp: idle(i).Name})
			if err != nil {
				t.Fatal(err)
			}
			for _, pod := range list.Items {
				out[member+"/"+pod.Name] = pod.UID
			}
		}
	}
	if len(out) < 2*apps {
		t.Fatalf("%d pods for %d apps on two members", len(out), apps)
	}
	return out
}

// load changes the busy apps, one after another, without end.
type load struct {
	fleet *fleet.Fleet
	end   context.CancelFunc
	done  sync.WaitGroup
	edits atomic.Int64
}

func startLoad(t *testing.T, f *fleet.Fleet) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{fleet: f, end: cancel}
	c := f.Cluster(fleet.HubName).Client()
	l.done.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			key := busy(i % apps)
			app := &v1.MyApp{}
			err := c.Get(ctx, key, app)
			if err == nil {
				app.Spec.Image = fmt.Sprintf("registry.example.com/web:%d", i+2)
				err = c.Update(ctx, app)
			}
			switch {
			case err == nil:
				l.edits.Add(1)
			case ctx.Err() == nil && !apierrors.IsConflict(err):
				t.Errorf("changing %s: %v", key, err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(300 * time.Millisecond): // the pace of the load
			}
		}
	})
	t.Cleanup(func() { l.stop() })
	return l
}

func (l *load) stop() int64 {
	l.end()
	l.done.Wait()
	return l.edits.Load()
}

// mustGoOn waits until every busy app has changed on both members twice: the first change
// may have been on its way before.
func (l *load) mustGoOn(t *testing.T, when string) {
	t.Helper()
	for range 2 {
		before := images(t, l.fleet)
		fleet.Eventually(t, soon, "changes arrive ("+when+")", func(context.Context) error {
			now := images(t, l.fleet)
			for where, image := range before {
				if now[where] == image {
					return fmt.Errorf("%s has %s, as before", where, image)
				}
			}
			return nil
		})
	}
}

// images of the busy apps, by member and name.
func images(t *testing.T, f *fleet.Fleet) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, member := range []string{push, pull} {
		list := &appsv1.DeploymentList{}
		if err := f.Cluster(member).Client().List(t.Context(), list, client.InNamespace("shop")); err != nil {
			t.Fatal(err)
		}
		for _, d := range list.Items {
			if strings.HasPrefix(d.Name, "busy-") {
				out[member+"/"+d.Name] = d.Spec.Template.Spec.Containers[0].Image
			}
		}
	}
	return out
}

// watch notes every app that nobody changes and that is not Ready at any time, and every
// app that is Stalled.
type watch struct {
	end    context.CancelFunc
	done   sync.WaitGroup
	failed map[string]string
}

func startWatch(t *testing.T, f *fleet.Fleet) *watch {
	t.Helper()
	c, err := client.NewWithWatch(f.Cluster(fleet.HubName).Admin(), client.Options{Scheme: f.Cluster(fleet.HubName).Client().Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	events, err := c.Watch(ctx, &v1.MyAppList{}, client.InNamespace("shop"))
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{end: cancel, failed: map[string]string{}}
	w.done.Go(func() {
		for event := range events.ResultChan() {
			app, ok := event.Object.(*v1.MyApp)
			switch {
			case ctx.Err() != nil:
				continue // it was told to end
			case !ok:
				w.failed["the watch"] = fmt.Sprint(event.Object)
				continue
			}
			idle := app.Spec.Image == expect.App("", "").Spec.Image
			for _, bad := range []struct {
				condition string
				status    metav1.ConditionStatus
			}{{v1.ConditionReady, metav1.ConditionTrue}, {v1.ConditionStalled, metav1.ConditionFalse}} {
				if bad.condition == v1.ConditionReady && !idle {
					continue
				}
				if is := meta.FindStatusCondition(app.Status.Conditions, bad.condition); is != nil && is.Status != bad.status {
					w.failed[app.Name] = fmt.Sprintf("%s=%s (%s: %s)", is.Type, is.Status, is.Reason, is.Message)
				}
			}
		}
		if ctx.Err() == nil {
			w.failed["the watch"] = "it ended before the test"
		}
	})
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *watch) stop() map[string]string {
	w.end()
	w.done.Wait()
	return w.failed
}

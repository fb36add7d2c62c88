package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// kinds are all faults that there are.
var kinds = []fleet.Fault{
	fleet.FaultUnauthorized, fleet.FaultForbidden, fleet.FaultNotFound, fleet.FaultConflict, fleet.FaultExpired,
	fleet.FaultTooManyRequests, fleet.FaultInternalError, fleet.FaultServiceUnavailable, fleet.FaultTimeout,
	fleet.FaultResetBefore, fleet.FaultResetAfter, fleet.FaultEmptyList, fleet.FaultIncompleteList,
	fleet.FaultTruncated, fleet.FaultCutWatch,
}

// probability that a request fails. A reset breaks all that is under way on a
// connection, so far more than this share of what the product does goes wrong.
const probability = 0.2

// Every kind of request of hub and agent fails in every way, while apps come,
// change and go. Nothing is deleted that nobody has ordered to go, apps that
// nobody edits keep every object, and when the faults are over everything is as
// asked for.
func TestFaults(t *testing.T) {
	shareMachine(t)
	rng := seed(t)
	members := []string{"push-1", "pull-1"}
	f := fleet.Start(t, fleet.Push("push-1"), fleet.Pull("pull-1"), labelled("push-1"), labelled("pull-1"), fleet.WithFaults())
	w := newWorld(t, f, rng, members...)
	for i := range 2 {
		control := everything(fmt.Sprintf("control-%d", i))
		control.control = true
		w.create(control)
	}
	for range 6 {
		w.step()
	}
	w.converged(time.Minute)
	ends, controls, pids := marks(f), w.controls(), productPids(f)

	want := 0
	for _, phase := range []struct {
		name             string
		cycles, injected int
		exempt           func(fleet.Request) bool
	}{
		{"everything fails", times(2, 12), times(65, 90), leaderElection},
		{"informers recover", times(1, 4), times(25, 30), informers},
	} {
		for cycle := range phase.cycles {
			for _, c := range f.Clusters() {
				f.Faults(c.Name()).Exempt(phase.exempt)
				f.Faults(c.Name()).Random(rng.Uint64(), probability, kinds...)
			}
			if cycle < 2 {
				cutWatches(f)
			}
			for range 10 {
				w.step()
			}
			want += phase.injected
			last := 0
			fleet.Eventually(t, 2*time.Minute, fmt.Sprintf("enough faults in cycle %d, where %s", cycle, phase.name), func(context.Context) error {
				n := injected(f).Total()
				if n >= want {
					return nil
				}
				if n == last { // nothing is asked for that could fail
					w.step()
				}
				last = n
				return fmt.Errorf("%d are injected, want %d", n, want)
			})
			if diff := cmp.Diff(controls, w.controls()); diff != "" {
				t.Fatalf("apps that nobody edits (-before +now):\n%s", diff)
			}
		}
	}
	if !testing.Short() {
		w.informersWork()
	}
	for _, c := range f.Clusters() {
		f.Faults(c.Name()).Clear()
	}
	cleared := time.Now()
	w.converged(time.Minute)
	t.Logf("converged %s after the faults; apps: %v", time.Since(cleared).Round(time.Millisecond), w.did)
	if diff := cmp.Diff(controls, w.controls()); diff != "" {
		t.Errorf("apps that nobody edits (-before +now):\n%s", diff)
	}
	notHeld(t, f)
	if diff := cmp.Diff(pids, productPids(f)); diff != "" {
		t.Errorf("processes (-before +now):\n%s", diff)
	}
	w.removeAll(time.Minute)
	t.Logf("%d deletions, each of them ordered", w.ledger.check(t, f, ends))
	report(t, f)
}

// leaderElection is spared: a hub that loses its lease ends and starts again,
// which is another test. Heartbeats are not.
func leaderElection(r fleet.Request) bool {
	return fleet.Leases(r) && r.Namespace == fleet.HubNamespace
}

// informers are spared at the end. One that was told in error that there is
// nothing believes it until its watch ends; and one that has failed often waits
// up to a minute, as client-go has it, before it tries again.
func informers(r fleet.Request) bool {
	return leaderElection(r) || r.Verb == "watch" || r.Verb == "list" && r.URL.Query().Get("resourceVersion") != ""
}

// informersWork waits until an app with objects of all kinds has come and gone. A
// removal is some thirty requests that must all succeed, so few of them fail now.
func (w *world) informersWork() {
	w.t.Helper()
	for _, c := range w.f.Clusters() {
		w.f.Faults(c.Name()).Random(w.rng.Uint64(), probability/10, kinds...)
	}
	canary := everything("canary")
	w.create(canary)
	expect.Ready(w.t, w.f, 2*time.Minute, key(canary.name), slices.Clone(w.members)...)
	w.remove(canary)
	fleet.Eventually(w.t, 2*time.Minute, "the canary to go", func(context.Context) error {
		if !w.isGone(canary.name) {
			return errors.New("it is still there")
		}
		return nil
	})
}

// cutWatches makes every informer list again.
func cutWatches(f *fleet.Fleet) {
	for _, c := range f.Clusters() {
		f.Faults(c.Name()).CutWatches()
	}
}

// controls are the UIDs and generations of all objects of the apps that nobody
// edits: what is deleted and made again has another.
func (w *world) controls() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for _, m := range w.members {
		for _, app := range w.apps {
			if !app.control {
				continue
			}
			for _, o := range app.objects() {
				live, err := expect.Object(w.t.Context(), w.f.Cluster(m), o.kind, key(o.name))
				if err != nil {
					w.t.Fatal(err)
				}
				if live != nil {
					all[m+" "+o.String()] = fmt.Sprintf("%s, generation %d", live.GetUID(), live.GetGeneration())
				}
			}
		}
	}
	return all
}

// productPids are the processes of hub and agents.
func productPids(f *fleet.Fleet) map[string]int {
	pids := map[string]int{"hub": f.Hub().Pid()}
	for _, c := range f.Clusters() {
		if agent := f.Agent(c.Name()); agent != nil {
			pids[agent.Name()] = agent.Pid()
		}
	}
	return pids
}

// injected are the faults on all clusters.
func injected(f *fleet.Fleet) fleet.Injected {
	all := fleet.Injected{}
	for _, c := range f.Clusters() {
		for what, n := range f.Faults(c.Name()).Injected() {
			all[what] += n
		}
	}
	return all
}

// report logs what was injected. What never befell anything proves nothing.
func report(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	all := injected(f)
	t.Logf("%d faults were injected", all.Total())
	for _, c := range f.Clusters() {
		here := f.Faults(c.Name()).Injected()
		t.Logf("%d on %s:\n%s", here.Total(), c.Name(), here)
	}
	if testing.Short() {
		return
	}
	if n := all.Total(); n < 1000 {
		t.Errorf("%d faults were injected, want 1000", n)
	}
	for _, kind := range kinds {
		if all.Of(kind) == 0 {
			t.Errorf("%s befell nothing", kind)
		}
	}
}

// notHeld fails the test if the hub holds: nothing that an API server says in
// error is evidence of a restore.
func notHeld(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	hub := f.Cluster(fleet.HubName).Client()
	var identity corev1.ConfigMap
	if err := hub.Get(t.Context(), types.NamespacedName{Namespace: fleet.HubNamespace, Name: "hub-identity"}, &identity); err != nil {
		t.Fatal(err)
	}
	if identity.Data["held"] != "" || identity.Data["epoch"] != "" && identity.Data["epoch"] != "0" {
		t.Errorf("the hub held: %v", identity.Data)
	}
}

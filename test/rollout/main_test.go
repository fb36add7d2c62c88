// Package rollout holds on real API servers what rollouts in steps promise: proof before
// the next step, the way back of those that got what is bad and of nobody else, and that
// neither a killed hub nor a member that cannot be reached changes the end.
package rollout

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/cli"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	namespace = "rollouts"
	// soon is ample for one step on a fleet that is well.
	soon = 60 * time.Second
)

// The members, and in which step each is.
var (
	members = []string{"pull-1", "pull-2", "push-1", "push-2", "push-3", "push-4"}
	canary  = "push-1"
	second  = []string{"pull-1", "push-2"}
)

var shared fleet.Shared

// metrics is the Prometheus that the hub may ask.
var metrics = newPrometheus()

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	shared.Main(m)
}

// sharedFleet is one fleet for all tests: each has an app of its own, and leaves members
// that answer.
func sharedFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	f := shared.Get(t, func() fleet.Config {
		cfg := fleet.Config{Webhook: true, HubArgs: []string{"--v=1", "--prometheus=" + metrics.URL}, AgentArgs: []string{fleet.QuickHeartbeat}}
		for _, name := range members {
			mode := fleet.ModePush
			if strings.HasPrefix(name, "pull") {
				mode = fleet.ModePull
			}
			cfg.Members = append(cfg.Members, fleet.MemberConfig{Name: name, Mode: mode, Labels: map[string]string{expect.NameLabel: name}})
		}
		return cfg
	})
	expect.Namespace(t, f, namespace)
	return f
}

// times is how often something is done.
func times(short, long int) int {
	if testing.Short() {
		return short
	}
	return long
}

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: name}
}

// threeSteps are the canary, two more, and all others.
func threeSteps() *v1.Rollout {
	return &v1.Rollout{
		Type: v1.RolloutProgressive, MaxUnavailable: ptr.To(intstr.FromInt32(2)), ProgressDeadlineSeconds: ptr.To[int32](15),
		OnFailure: v1.RolloutRollback,
		Steps: []v1.RolloutStep{
			{Name: "canary", ClusterNames: []string{canary}, SoakSeconds: ptr.To[int32](3)},
			{Name: "second", ClusterNames: second, Approval: v1.ApprovalRequired},
		},
	}
}

// created is an app that is ready everywhere.
func created(t *testing.T, f *fleet.Fleet, name string, rollout *v1.Rollout) types.NamespacedName {
	t.Helper()
	app := key(name)
	expect.Create(t, f, expect.App(namespace, name, func(a *v1.MyApp) { a.Spec.Rollout = rollout }))
	expect.Ready(t, f, soon, app, members...)
	return app
}

// removed ends an app.
func removed(t *testing.T, f *fleet.Fleet, app types.NamespacedName) {
	t.Helper()
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

func image(tag string) func(*v1.MyApp) {
	return func(a *v1.MyApp) { a.Spec.Image = "registry.example.com/web:" + tag }
}

// phase waits until the rollout is somewhere, for a reason if one is given.
func phase(t *testing.T, f *fleet.Fleet, app types.NamespacedName, is v1.RolloutPhase, reason string) {
	t.Helper()
	expect.That(t, f, soon, app, fmt.Sprintf("is %s %s", is, reason), func(a *v1.MyApp) error {
		r := a.Status.Rollout
		if a.Status.ObservedGeneration != a.Generation || r == nil || r.Phase != is || reason != "" && r.Reason != reason {
			return fmt.Errorf("the rollout is %+v", r)
		}
		return nil
	})
}

// plugin is kubectl myapp on the hub.
func plugin(t *testing.T, f *fleet.Fleet, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := cli.Command()
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "-n", namespace, "--kubeconfig", f.Cluster(fleet.HubName).Kubeconfig()))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func mustPlugin(t *testing.T, f *fleet.Fleet, args ...string) string {
	t.Helper()
	out, err := plugin(t, f, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// witness sees every version of an app that the hub's API server tells of, and notes what
// may not be: a member that has a revision before its step.
type witness struct {
	stop func()
	done chan struct{}

	mu       sync.Mutex
	problems []string
	versions int
	// first is the order in which members got the current revision.
	first []string
}

func watchOrder(t *testing.T, f *fleet.Fleet, app types.NamespacedName) *witness {
	t.Helper()
	c, err := client.NewWithWatch(f.Cluster(fleet.HubName).Admin(), client.Options{Scheme: f.Cluster(fleet.HubName).Client().Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	events, err := c.Watch(ctx, &v1.MyAppList{}, client.InNamespace(app.Namespace))
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for event := range events.ResultChan() {
			if a, ok := event.Object.(*v1.MyApp); ok && a.Name == app.Name {
				w.see(a)
			}
		}
	}()
	t.Cleanup(cancel)
	return w
}

func (w *witness) see(a *v1.MyApp) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.versions++
	has := func(name string) bool {
		row := expect.Row(a, name)
		return row != nil && row.Revision == a.Status.Revision
	}
	r := a.Status.Rollout
	if r == nil || r.Revision != a.Status.Revision || r.Phase != v1.RolloutProgressing {
		return
	}
	for _, name := range members {
		if !has(name) || slices.Contains(w.first, name+" "+r.Revision) {
			continue
		}
		w.first = append(w.first, name+" "+r.Revision)
		step := 2
		if name == canary {
			step = 0
		} else if slices.Contains(second, name) {
			step = 1
		}
		if is := r.CurrentStep; is != nil {
			step = min(step, int(is.Total)-1)
		}
		if len(r.CompletedSteps) < step {
			w.problems = append(w.problems, fmt.Sprintf("%s has %s while %d steps are done: %s", name, r.Revision, len(r.CompletedSteps), r.Message))
		}
	}
}

// end is what was seen.
func (w *witness) end(t *testing.T) []string {
	t.Helper()
	w.stop()
	<-w.done
	if w.versions == 0 {
		t.Error("the witness has seen nothing")
	}
	for _, p := range w.problems {
		t.Error(p)
	}
	return w.first
}

// noWrites holds when nothing was written about an app since a mark.
func noWrites(hub *fleet.Cluster, mark int64, app types.NamespacedName) func(context.Context) error {
	return func(context.Context) error {
		events, err := hub.AuditSince(mark)
		if err != nil {
			return err
		}
		writes := slices.DeleteFunc(expect.Writes(events), func(e fleet.AuditEvent) bool { return e.Namespace != app.Namespace || e.Name != app.Name })
		if len(writes) > 0 {
			return fmt.Errorf("%s", expect.Describe(writes))
		}
		return nil
	}
}

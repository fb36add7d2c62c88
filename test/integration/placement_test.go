package integration

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/cli"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// placedBy is an edit of an app's placement.
func placedBy(p v1.Placement) func(*v1.MyApp) {
	return func(a *v1.MyApp) { a.Spec.Placement = &p }
}

// drained drains a member until the test ends, or the function is called.
func drained(t *testing.T, f *fleet.Fleet, member string) (uncordon func()) {
	t.Helper()
	if out, err := kubectlMyapp(t, f, "drain", member, "--timeout", "0"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	uncordon = func() {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"taints":null}}`))
		if err := f.Cluster(fleet.HubName).Client().Patch(context.Background(), memberCluster(member), patch); err != nil {
			t.Errorf("taking the taints off %s: %v", member, err)
		}
	}
	t.Cleanup(uncordon)
	return uncordon
}

// pods are the replicas that a member's Deployment of an app asks for and has ready; -1
// if there is none.
func pods(ctx context.Context, f *fleet.Fleet, member string, app types.NamespacedName) (asked, ready int32) {
	d := &appsv1.Deployment{}
	if err := f.Cluster(member).Client().Get(ctx, app, d); err != nil || d.DeletionTimestamp != nil {
		return -1, 0
	}
	return ptr.Deref(d.Spec.Replicas, 1), d.Status.ReadyReplicas
}

// Every filter keeps an app away, and explain says which one and what would help.
func TestFiltersAreExplained(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	drained(t, f, "push-3")
	for name, c := range map[string]struct {
		p       v1.Placement
		reason  string
		changes string
	}{
		"names":      {v1.Placement{ClusterNames: []string{"push-1"}}, v1.ReasonNameMismatch, "add push-3 to spec.placement.clusterNames"},
		"labels":     {*expect.App(ns, "x", expect.On("push-1")).Spec.Placement, v1.ReasonNotChosen, "label example.com/name of push-3 is push-3, wanted push-1"},
		"expression": {v1.Placement{Expression: `cluster.name == "push-1"`}, v1.ReasonExpressionFalse, ""},
		"taint":      {v1.Placement{ClusterNames: []string{"push-1", "push-3"}}, v1.ReasonTaintNotTolerated, "tolerate example.com/drain:NoExecute for ever"},
		"number":     {v1.Placement{ClusterNames: []string{"push-1", "push-3"}, NumberOfClusters: ptr.To[int32](1), Tolerations: []v1.Toleration{{Operator: v1.TolerationExists}}, Preferences: []v1.ClusterPreference{{Weight: 9, ClusterSelector: v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{expect.NameLabel: "push-1"}}}}}, v1.ReasonNotNeeded, "raise spec.placement.numberOfClusters from 1 to 2"},
	} {
		app := key(ns, name)
		expect.Create(t, f, expect.App(ns, name, placedBy(c.p)))
		expect.Ready(t, f, soon, app, "push-1")
		out, err := kubectlMyapp(t, f, "explain", name, "-n", ns, "--cluster", "push-3")
		if err != nil || !strings.Contains(out, c.reason) || !strings.Contains(out, c.changes) {
			t.Errorf("%s: want %s and %q (%v):\n%s", name, c.reason, c.changes, err, out)
		}
		summary := ""
		for _, condition := range expect.Get(t, f, app).Status.Conditions {
			if condition.Type == v1.ConditionScheduled {
				summary = condition.Message
			}
		}
		if out, err = kubectlMyapp(t, f, "explain", name, "-n", ns); err != nil || !strings.Contains(out, summary) || strings.Count(out, "\n") < len(allMembers) {
			t.Errorf("%s: want %q and a line for each member (%v):\n%s", name, summary, err, out)
		}
	}
	for _, name := range []string{"names", "labels", "expression", "taint", "number"} {
		expect.Delete(t, f, key(ns, name))
		expect.Gone(t, f, soon, key(ns, name), allMembers...)
	}
}

// One on each side, falling back to the next group, and going home again.
func TestSpreadAndFallback(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	spread, groups := key(ns, "spread"), key(ns, "groups")
	expect.Create(t, f, expect.App(ns, spread.Name, placedBy(v1.Placement{
		NumberOfClusters: ptr.To[int32](2), Spread: []v1.SpreadConstraint{{TopologyKey: "mode"}},
	})))
	expect.That(t, f, soon, spread, "is Ready on a Push and a Pull member", func(a *v1.MyApp) error {
		var on []string
		for _, row := range a.Status.Placements {
			on = append(on, row.Cluster[:4])
		}
		if slices.Sort(on); strings.Join(on, " ") != "pull push" {
			return fmt.Errorf("it is on %v", on)
		}
		return expect.Condition(a, v1.ConditionReady, "True", v1.ReasonAllReady)
	})

	expect.Create(t, f, expect.App(ns, groups.Name, placedBy(v1.Placement{
		Groups: []v1.ClusterGroup{{Name: "home", ClusterNames: []string{"push-1"}}, {Name: "away", ClusterNames: []string{"push-2", "pull-1"}}},
	})))
	expect.Ready(t, f, soon, groups, "push-1")
	uncordon := drained(t, f, "push-1")
	expect.Ready(t, f, soon, groups, "push-2", "pull-1")
	uncordon()
	expect.Ready(t, f, soon, groups, "push-1")
	expect.Edit(t, f, groups, func(a *v1.MyApp) { a.Spec.Placement.FailBack = v1.FailBackNever })
	uncordon = drained(t, f, "push-1")
	expect.Ready(t, f, soon, groups, "push-2", "pull-1")
	uncordon()
	fleet.Consistently(t, 3*time.Second, "it does not go back by itself", func(context.Context) error {
		return expect.IsReady(expect.Get(t, f, groups), "push-2", "pull-1")
	})
	for _, app := range []types.NamespacedName{spread, groups} {
		expect.Delete(t, f, app)
		expect.Gone(t, f, soon, app, allMembers...)
	}
}

// Divided replicas are what the members' Deployments add up to, also through kubectl scale.
func TestDividedReplicas(t *testing.T) {
	f := sharedFleet(t)
	app := key(namespace(t, f), "web")
	members := []string{"pull-1", "push-1", "push-2"}
	adds := func(want int32, spare ...int32) {
		t.Helper()
		expect.That(t, f, soon, app, fmt.Sprintf("has %d pods in all", want), func(a *v1.MyApp) error {
			if err := expect.IsReady(a, members...); err != nil {
				return err
			}
			var each []int32
			sum := int32(0)
			for _, m := range members {
				asked, ready := pods(t.Context(), f, m, app)
				each, sum = append(each, ready), sum+ready
				if asked != ready {
					return fmt.Errorf("%s has %d of %d pods", m, ready, asked)
				}
			}
			slices.Sort(each)
			if sum != want || a.Status.Replicas != want || !slices.Equal(each, spare) {
				return fmt.Errorf("the pods are %v, and status.replicas is %d", each, a.Status.Replicas)
			}
			return nil
		})
	}
	expect.Create(t, f, expect.App(app.Namespace, app.Name, placedBy(v1.Placement{
		ClusterNames: members, ReplicaScheduling: &v1.ReplicaScheduling{Type: v1.ReplicasDivided},
	}), func(a *v1.MyApp) { a.Spec.Replicas = ptr.To[int32](7) }))
	adds(7, 2, 2, 3)
	mustKubectl(t, f.Cluster(fleet.HubName), "", "scale", "-n", app.Namespace, "myapp/web", "--replicas=3")
	adds(3, 1, 1, 1)
	mustKubectl(t, f.Cluster(fleet.HubName), "", "scale", "-n", app.Namespace, "myapp/web", "--replicas=1")
	adds(1, 0, 0, 1)
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

// While an app moves from a member that answers, never fewer pods are ready than wanted.
func TestMovesAreGentle(t *testing.T) {
	f := sharedFleet(t)
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, placedBy(v1.Placement{
		ClusterNames: []string{"push-1", "pull-1"}, NumberOfClusters: ptr.To[int32](1),
		Preferences: []v1.ClusterPreference{{Weight: 9, ClusterSelector: v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"mode": "push"}}}},
	}), func(a *v1.MyApp) { a.Spec.Replicas = ptr.To[int32](3) }))
	expect.Ready(t, f, soon, app, "push-1")

	watching, done := context.WithCancel(t.Context())
	fewest := make(chan int32)
	go func() {
		least := int32(3)
		for watching.Err() == nil {
			// First where it goes to: what is counted as gone from there is not yet elsewhere.
			_, there := pods(t.Context(), f, "pull-1", app)
			_, here := pods(t.Context(), f, "push-1", app)
			_, still := pods(t.Context(), f, "pull-1", app)
			least = min(least, here+max(there, still))
		}
		fewest <- least
	}()
	drained(t, f, "push-1")
	expect.Ready(t, f, soon, app, "pull-1")
	done()
	if least := <-fewest; least < 3 {
		t.Errorf("only %d of 3 pods were ready while it moved", least)
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, "push-1", "pull-1")
}

// A member that falls silent is left after the toleration, and when it is back nothing is
// there twice. When most of the fleet is silent, nobody is left.
func TestUnreachableMembersAreLeft(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	app := key(ns, "web")
	expect.Create(t, f, expect.App(ns, app.Name, placedBy(v1.Placement{
		ClusterNames: []string{"push-4", "pull-1"}, NumberOfClusters: ptr.To[int32](1),
		Preferences: []v1.ClusterPreference{{Weight: 9, ClusterSelector: v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"mode": "push"}}}},
	}), func(a *v1.MyApp) { a.Spec.Failover = &v1.Failover{TolerationSeconds: ptr.To[int64](15)} }))
	expect.Ready(t, f, soon, app, "push-4")

	f.Cluster("push-4").Partition()
	t.Cleanup(f.Cluster("push-4").Heal)
	expect.That(t, f, noticePush+soon, app, "is on pull-1, too", func(a *v1.MyApp) error {
		left, taken := expect.Row(a, "push-4"), expect.Row(a, "pull-1")
		if left == nil || left.State != v1.PlacementRemoving || left.Reason != v1.ReasonEvicted || taken == nil || taken.State != v1.PlacementReady {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	f.Cluster("push-4").Heal()
	expect.Ready(t, f, soon, app, "pull-1")
	if left := expect.Objects(t, f, "push-4", ns); len(left) > 0 {
		t.Errorf("push-4 still has %v", left)
	}

	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Placement.ClusterNames = []string{"push-4", "push-1"} })
	expect.That(t, f, soon, app, "is back on a Push member", func(a *v1.MyApp) error {
		if len(a.Status.Placements) != 1 || a.Status.Placements[0].Cluster == "pull-1" {
			return errors.New("it is not")
		}
		return expect.Condition(a, v1.ConditionReady, "True", v1.ReasonAllReady)
	})
	for _, m := range pushMembers {
		f.Cluster(m).Partition()
		t.Cleanup(f.Cluster(m).Heal)
	}
	expect.That(t, f, noticePush+soon, app, "says why nobody is left", func(a *v1.MyApp) error {
		for _, c := range a.Status.Conditions {
			if c.Type == v1.ConditionScheduled && strings.Contains(c.Message, "the hub may be cut off itself") {
				return nil
			}
		}
		return errors.New("it does not")
	})
	fleet.Consistently(t, 10*time.Second, "with four of six silent nobody is left", func(context.Context) error {
		if row := expect.Get(t, f, app).Status.Placements; len(row) != 1 || row[0].State != v1.PlacementUnknown {
			return fmt.Errorf("the rows are %+v", row)
		}
		return nil
	})
	for _, m := range pushMembers {
		f.Cluster(m).Heal()
	}
	expect.That(t, f, soon, app, "is Ready again", func(a *v1.MyApp) error { return expect.Condition(a, v1.ConditionReady, "True", v1.ReasonAllReady) })
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, allMembers...)
}

var planInMessage = regexp.MustCompile(`--plan ([0-9a-f]{12})`)

// An edit that would take the app off most members waits until somebody has said so.
func TestEditsOfMostMembersAreHeld(t *testing.T) {
	f := sharedFleet(t)
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, placedBy(v1.Placement{ClusterNames: allMembers})))
	expect.Ready(t, f, soon, app, allMembers...)
	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Placement.ClusterNames = []string{"push-1"} })
	var plan string
	expect.That(t, f, soon, app, "is held", func(a *v1.MyApp) error {
		if err := expect.Condition(a, v1.ConditionHeld, "True", v1.ReasonAwaitingAck); err != nil {
			return err
		}
		for _, c := range a.Status.Conditions {
			if found := planInMessage.FindStringSubmatch(c.Message); c.Type == v1.ConditionHeld && found != nil {
				plan = found[1]
				return nil
			}
		}
		return errors.New("no plan is named")
	})
	fleet.Consistently(t, 2*time.Second, "nobody loses the app", func(context.Context) error {
		for _, row := range expect.Get(t, f, app).Status.Placements {
			if row.State != v1.PlacementReady {
				return fmt.Errorf("%s is %s", row.Cluster, row.State)
			}
		}
		return nil
	})
	if out, err := kubectlMyapp(t, f, "ack", "web", "-n", app.Namespace, "--plan", "000000000000"); err == nil {
		t.Errorf("another plan is acknowledged: %s", out)
	}
	if out, err := kubectlMyapp(t, f, "ack", "web", "-n", app.Namespace, "--plan", plan); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	expect.Ready(t, f, soon, app, "push-1")
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, allMembers...)
}

// drain waits until the apps have left, uncordon lets them come again, and status shows it.
func TestDrainAndUncordon(t *testing.T) {
	f := sharedFleet(t)
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, placedBy(v1.Placement{ClusterNames: []string{"push-2", "pull-2"}})))
	expect.Ready(t, f, soon, app, "push-2", "pull-2")
	t.Cleanup(func() { _, _ = kubectlMyapp(t, f, "uncordon", "push-2") })
	out, err := kubectlMyapp(t, f, "drain", "push-2", "--timeout", "30s")
	if err != nil || !strings.Contains(out, app.String()+" has left") {
		t.Errorf("%v\n%s", err, out)
	}
	expect.Ready(t, f, soon, app, "pull-2")
	if out, err = kubectlMyapp(t, f, "clusters"); err != nil || !strings.Contains(out, "example.com/drain:NoExecute") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = kubectlMyapp(t, f, "status", "web", "-n", app.Namespace, "--objects"); err != nil || !strings.Contains(out, "pull-2") || !strings.Contains(out, "Deployment "+app.String()) {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = kubectlMyapp(t, f, "uncordon", "push-2"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	expect.Ready(t, f, soon, app, "push-2", "pull-2")
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, "push-2", "pull-2")
}

// plan says what apply then does, and with what code it ends.
func TestPlanSaysWhatHappens(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	app := key(ns, "web")
	file := func(on, image string) string {
		return fmt.Sprintf(`
apiVersion: example.com/v1
kind: MyApp
metadata: {name: web, namespace: %s}
spec: {image: "registry.example.com/%s", placement: {clusterNames: [%s]}}
`, ns, image, on)
	}
	plan := func(stdin string, args ...string) (string, int) {
		t.Helper()
		var out strings.Builder
		cmd := cli.Command()
		cmd.SetIn(strings.NewReader(stdin))
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(append([]string{"plan", "-f", "-", "--kubeconfig", f.Cluster(fleet.HubName).Kubeconfig()}, args...))
		err := cmd.ExecuteContext(t.Context())
		if err != nil && !errors.Is(err, cli.ErrDiffers) {
			out.WriteString(err.Error())
		}
		return out.String(), cli.ExitCode(err)
	}
	has := func(out string, code, want int, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !regexp.MustCompile(text).MatchString(out) {
				t.Errorf("no %q in\n%s", text, out)
			}
		}
		if code != want {
			t.Errorf("it ends with %d, not %d:\n%s", code, want, out)
		}
	}
	hub := f.Cluster(fleet.HubName)
	first := file("push-1, push-2", "web:1")
	out, code := plan(first)
	has(out, code, 1, `push-1 +joins +0 → 1`, `push-2 +joins`, `\+ .*image: registry.example.com/web:1`, `# on push-1, push-2, as rendered`)
	if out, err := kubectl(t, hub, "", "get", "myapp", "-n", ns, "web"); err == nil {
		t.Fatalf("planning has made it: %s", out)
	}
	mustKubectl(t, hub, first, "apply", "-f", "-")
	expect.Ready(t, f, soon, app, "push-1", "push-2")
	out, code = plan(first)
	has(out, code, 0, `nothing changes on any member`)

	second := file("push-2, pull-1", "web:2")
	out, code = plan(second)
	has(out, code, 1, `1 +pull-1 +joins`, `1 +push-1 +is to be left`, `2 +push-1 +leaves +1 → 0`, `1 +push-2 +updates`, `-.*web:1`, `\+.*web:2`)
	mustKubectl(t, hub, second, "apply", "-f", "-")
	expect.Ready(t, f, soon, app, "push-2", "pull-1")
	out, code = plan(second, "--delete")
	has(out, code, 1, `push-2 +leaves`, `pull-1 +leaves`)
	out, code = plan(strings.Replace(second, "{image", "{nonsense: 1, image", 1))
	has(out, code, 2, `nonsense`)
	out, code = plan(`{apiVersion: example.com/v1, kind: MemberCluster, metadata: {name: push-2}, spec: {taints: [{key: t, effect: NoExecute}]}}`)
	has(out, code, 1, regexp.QuoteMeta(app.String()), `push-2 +leaves`)
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, allMembers...)
}

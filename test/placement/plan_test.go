package placement

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/cli"
	"github.com/example/myapp-hub/pkg/hub/plan"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

var members = []string{"m-0", "m-1", "m-2", "m-3", "m-4", "m-5"}

// TestPlansComeTrue makes random edits of an app. Before each kubectl myapp plan says
// what becomes of every member; after kubectl apply that is so, and the hub asks for an
// acknowledgement exactly where the plan says so, by the same hash.
func TestPlansComeTrue(t *testing.T) {
	seed := rand.Uint64()
	if given, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = given
	}
	t.Logf("SEED=%d repeats this run", seed)
	d := dice{rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // chance, not secrets
	f := start(t, members...)
	expect.Namespace(t, f, namespace)
	started, held := time.Now(), 0
	for n := range times(15, 200) {
		file := d.app()
		said := planned(t, f, file)
		apply(t, f, file)
		for ; said.Hash != ""; held++ {
			said = acknowledged(t, f, file, said)
		}
		expect.That(t, f, 60*time.Second, key("web"), fmt.Sprintf("is as edit %d was planned:\n%s\n%s", n, file, describe(said)), func(a *v1.MyApp) error {
			return cameTrue(a, said)
		})
		if t.Failed() {
			t.Fatalf("edit %d:\n%s\nwas planned as\n%s", n, file, describe(said))
		}
	}
	t.Logf("%d plans came true in %s, %d of them after an acknowledgement", times(15, 200), time.Since(started).Round(time.Second), held)
	expect.Delete(t, f, key("web"))
	expect.Gone(t, f, 60*time.Second, key("web"), members...)
}

// outcome is what a plan says of the end.
type outcome struct {
	// has are the pods of the members for which something changes; -1 for none any more.
	has  map[string]int32
	Hash string
	was  map[string]int32 // what all members had before
}

// planned is what the plugin says.
func planned(t *testing.T, f *fleet.Fleet, file string) outcome {
	t.Helper()
	before := &v1.MyApp{}
	_ = f.Cluster(fleet.HubName).Client().Get(t.Context(), key("web"), before)
	o := outcome{has: map[string]int32{}, was: map[string]int32{}}
	for _, row := range before.Status.Placements {
		o.was[row.Cluster] = row.Replicas
	}
	var plans []plan.Plan
	out := run(t, f, file, "plan", "-f", "-", "-o", "json")
	if err := json.Unmarshal([]byte(out), &plans); err != nil || len(plans) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	o.Hash = plans[0].Hash
	for _, m := range plans[0].Members {
		switch m.Action {
		case plan.Leaves:
			o.has[m.Cluster] = -1
		case plan.Waits:
		case plan.Joins, plan.Scales, plan.Updates:
			o.has[m.Cluster] = m.To
		}
	}
	return o
}

// acknowledged waits until the hub asks for the plan that was said, and acknowledges it;
// what then happens was planned before.
func acknowledged(t *testing.T, f *fleet.Fleet, file string, said outcome) outcome {
	t.Helper()
	expect.That(t, f, 30*time.Second, key("web"), "is held for the plan\n"+file+"\n"+describe(said), func(a *v1.MyApp) error {
		c := meta.FindStatusCondition(a.Status.Conditions, v1.ConditionHeld)
		if c == nil || c.Status != "True" || !strings.Contains(c.Message, "--plan "+said.Hash) {
			return fmt.Errorf("held is %+v, and the plan %s", c, said.Hash)
		}
		return nil
	})
	mark := fmt.Sprintf("namespace: %s, annotations: {%s: %q}", namespace, v1.AnnotationAcknowledgedPlan, said.Hash)
	next := planned(t, f, strings.Replace(file, "namespace: "+namespace, mark, 1))
	run(t, f, "", "ack", "web", "-n", namespace, "--plan", said.Hash)
	return next
}

// cameTrue compares the rows with what was planned.
func cameTrue(a *v1.MyApp, said outcome) error {
	if a.Status.ObservedGeneration != a.Generation {
		return errors.New("the generation is not observed yet")
	}
	want := map[string]int32{}
	for name, pods := range said.was {
		want[name] = pods
	}
	for name, pods := range said.has {
		if want[name] = pods; pods < 0 {
			delete(want, name)
		}
	}
	is := map[string]int32{}
	for _, row := range a.Status.Placements {
		is[row.Cluster] = row.Replicas
		if row.State != v1.PlacementReady {
			return fmt.Errorf("%s is %s", row.Cluster, row.State)
		}
	}
	if fmt.Sprint(is) != fmt.Sprint(want) {
		return fmt.Errorf("the app is on %v, and was planned to be on %v", is, want)
	}
	return nil
}

func describe(o outcome) string { return fmt.Sprintf("was %v, then %v", o.was, o.has) }

// run is the plugin; a difference is no error.
func run(t *testing.T, f *fleet.Fleet, stdin string, args ...string) string {
	t.Helper()
	var out, problems bytes.Buffer
	cmd := cli.Command()
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&problems)
	cmd.SetArgs(append(args, "--kubeconfig", f.Cluster(fleet.HubName).Kubeconfig()))
	if err := cmd.ExecuteContext(t.Context()); err != nil && !errors.Is(err, cli.ErrDiffers) {
		t.Fatalf("%v: %v\n%s%s\n%s", args, err, out.String(), problems.String(), stdin)
	}
	return out.String()
}

// apply is kubectl apply.
func apply(t *testing.T, f *fleet.Fleet, file string) {
	t.Helper()
	if out, err := expect.Kubectl(t, f.Kubeconfig(fleet.HubName), file, "apply", "-f", "-"); err != nil {
		t.Fatalf("%v: %s\n%s", err, out, file)
	}
}

type dice struct{ *rand.Rand }

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

// app is a MyApp as a person would write it, with a placement of any kind.
func (d dice) app() string {
	var placement []string
	add := func(one string) { placement = append(placement, one) }
	if d.IntN(2) == 0 {
		names := slices.Clone(members)
		d.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		add("clusterNames: [" + strings.Join(names[:1+d.IntN(len(names))], ", ") + "]")
	}
	if d.IntN(3) == 0 {
		add("clusterSelector: {matchLabels: {" + pick(d, "region: eu", "region: us", "tier: gold") + "}}")
	}
	if d.IntN(4) == 0 {
		add(`expression: '` + pick(d, `int(cluster.labels["number"]) < 4`, `cluster.name != "m-2"`, `cluster.labels["tier"] in ["gold", "iron"]`) + `'`)
	}
	if d.IntN(2) == 0 {
		add(fmt.Sprint("numberOfClusters: ", 1+d.IntN(6)))
		if d.IntN(2) == 0 {
			add("spread: [{topologyKey: region, maxSkew: " + pick(d, "1", "2") + "}]")
		}
		if d.IntN(2) == 0 {
			add(fmt.Sprintf("preferences: [{clusterSelector: {matchLabels: {tier: gold}}, weight: %d}]", d.IntN(21)-10))
		}
	}
	if d.IntN(4) == 0 {
		add("groups: [{name: home, clusterSelector: {matchLabels: {region: " + pick(d, "eu", "us") + "}}}, {name: away}]")
		add("failBack: " + pick(d, "Always", "Never"))
	}
	if d.IntN(2) == 0 {
		add("replicaScheduling: {type: Divided" + pick(d, "", ", divide: Even", ", divide: Weighted, weights: [{clusterSelector: {matchLabels: {tier: gold}}, weight: 3}]") +
			pick(d, "", ", minPerCluster: 2") + pick(d, "", ", maxPerCluster: 4") + "}")
	}
	return fmt.Sprintf("apiVersion: example.com/v1\nkind: MyApp\nmetadata: {name: web, namespace: %s}\nspec:\n  image: registry.example.com/web:%d\n  replicas: %d\n  placement: {%s}\n",
		namespace, 1+d.IntN(2), d.IntN(9), strings.Join(placement, ", "))
}

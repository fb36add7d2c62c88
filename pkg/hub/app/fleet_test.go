package app

import (
	"context"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
)

// memberCache has MemberClusters, and counts how often they are listed.
type memberCache struct {
	client.Reader
	names   []string
	version string
	lists   int
	// during is called while a list is made, before it is read.
	during func()
}

func (c *memberCache) LastStoreSyncResourceVersion() string { return c.version }

func (c *memberCache) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	c.lists++
	if c.during != nil {
		c.during()
		c.during = nil
	}
	var objects []runtime.Object
	for _, name := range c.names {
		objects = append(objects, &v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return meta.SetList(list, objects)
}

// TestFleets: passes share a fleet until the cache has another, and none decides on
// one that is older than the cache.
func TestFleets(t *testing.T) {
	c := &memberCache{names: []string{"us", "eu"}}
	var f fleets
	for _, step := range []struct {
		what  string
		event func()
		lists int
		names []string
	}{
		{"nobody says when members change: each pass looks", func() {}, 2, []string{"eu", "us"}},
		{"the cache has seen nothing yet", func() { f.watch(c) }, 2, []string{"eu", "us"}},
		{"it has: the fleet is shared", func() { c.version = "5" }, 1, []string{"eu", "us"}},
		{"still", func() {}, 0, []string{"eu", "us"}},
		{"a member comes, and its event is under way", func() { c.names, c.version = append(c.names, "ap"), "6" }, 1, []string{"ap", "eu", "us"}},
		{"the event arrives", func() { f.changed() }, 1, []string{"ap", "eu", "us"}},
		{"a member goes", func() { c.names, c.version = c.names[1:], "7" }, 1, []string{"ap", "eu"}},
		{"one comes while the fleet is made, and shows at the latest next time", func() {
			c.version, c.during = "8", func() { c.names, c.version = append(c.names, "za"), "9" }
		}, 2, []string{"ap", "eu", "za"}},
		{"a store that was restored comes to the same version", func() { c.names = c.names[:1]; f.changed() }, 1, []string{"eu"}},
	} {
		step.event()
		c.lists = 0
		var got []string
		for range 2 {
			is, err := f.now(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			got = nil
			for _, m := range is.members {
				got = append(got, m.Name)
			}
			if len(is.clusters) != len(got) || len(is.reach) != len(got) {
				t.Errorf("%s: %d members, %d and %d", step.what, len(got), len(is.clusters), len(is.reach))
			}
		}
		if c.lists != step.lists || !slices.Equal(got, step.names) {
			t.Errorf("%s: %d lists, want %d; members %v, want %v", step.what, c.lists, step.lists, got, step.names)
		}
	}
}

// TestAllowedNamespacesThatCannotBeUsed are no order to remove anything, and admit nothing.
func TestAllowedNamespacesThatCannotBeUsed(t *testing.T) {
	member := func(name string, allowed *v1.ClusterSelector) v1.MemberCluster {
		return v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.MemberClusterSpec{AllowedNamespaces: allowed}}
	}
	broken := &v1.ClusterSelector{MatchExpressions: []v1.ClusterSelectorRequirement{{Key: "team", Operator: "Near"}}}
	f := fleetOf([]v1.MemberCluster{member("all", nil), member("broken", broken), member("new", broken)})
	in := placement.Input{
		Rules: placement.RulesOf(&v1.MyAppSpec{}), Members: f.members, Namespace: labels.Set{"team": "a"},
		Rows: []v1.PlacementRow{{Cluster: "all", State: v1.PlacementReady}, {Cluster: "broken", State: v1.PlacementReady}},
	}
	for i, want := range []placement.Outcome{placement.Run, placement.Keep, placement.Reject} {
		v := placement.Schedule(in).Verdicts[i]
		if v.Outcome != want || want != placement.Run && (v.Reason != v1.ReasonNamespaceNotAllowed || !strings.Contains(v.Message, "spec.allowedNamespaces of MemberCluster "+v.Cluster+" cannot be used: ")) {
			t.Errorf("%+v, want %v", v, want)
		}
	}
}

// TestEvenNumbersAreShared: not a map for each of many apps, nor one for ever.
func TestEvenNumbersAreShared(t *testing.T) {
	f := fleetOf([]v1.MemberCluster{{ObjectMeta: metav1.ObjectMeta{Name: "eu"}}})
	for n := range int32(3 * mostEven) {
		if got := f.numbers(&v1.MyAppSpec{Replicas: &n}); got["eu"] != n {
			t.Fatalf("%d wanted, got %v", n, got)
		}
		if len(f.even) > mostEven {
			t.Fatalf("%d maps are kept", len(f.even))
		}
	}
}

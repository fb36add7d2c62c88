package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// marks are offsets into the audit logs of some clusters.
type marks map[string]int64

func markAll(f *fleet.Fleet, clusters ...string) marks {
	m := marks{}
	for _, name := range clusters {
		m[name] = f.Cluster(name).AuditMark()
	}
	return m
}

func (m marks) since(t *testing.T, f *fleet.Fleet, cluster string) []fleet.AuditEvent {
	t.Helper()
	events, err := f.Cluster(cluster).AuditSince(m[cluster])
	if err != nil {
		t.Fatalf("reading the audit log of %s: %v", cluster, err)
	}
	return events
}

// Creating an app costs at most six writes on the hub, finalizer, revision and
// status together, however many Push members it has; on each member it costs
// exactly one write per object and no read. A namespace that is missing is found so
// by the first of them, and costs one more, as does its second try.
func TestCostOfCreation(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	for _, m := range pushMembers {
		expect.Member(t, f, soon, m, "is measured", expect.Measured) // which lists nodes and pods once
	}
	for _, c := range []struct {
		name   string
		want   map[string]int
		reason string
	}{
		{"first", map[string]int{"namespaces": 1, "deployments": 1, "services": 2}, "the namespace is missing on the members"},
		{"second", map[string]int{"deployments": 1, "services": 1}, "the namespace is there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := key(ns, c.name)
			before := markAll(f, append([]string{fleet.HubName}, pushMembers...)...)
			expect.Create(t, f, expect.App(ns, c.name, expect.WithService, expect.On(pushMembers...)))
			expect.Ready(t, f, soon, app, pushMembers...)
			settle(t, f, before, append([]string{fleet.HubName}, pushMembers...))

			writes := slices.DeleteFunc(expect.Writes(before.since(t, f, fleet.HubName)), func(e fleet.AuditEvent) bool {
				return e.Namespace != ns
			})
			t.Logf("%d hub writes", len(writes))
			if len(writes) > 6 {
				t.Errorf("%s: %d hub writes, want at most 6:\n%s", c.reason, len(writes), expect.Describe(writes))
			}
			for _, m := range pushMembers {
				writes := expect.Writes(before.since(t, f, m))
				got := map[string]int{}
				for _, w := range writes {
					got[w.Resource]++
				}
				if fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("%s: %s got these writes, want %v:\n%s", c.reason, m, c.want, expect.Describe(writes))
				}
				if reads := objectReads(before.since(t, f, m)); len(reads) > 0 {
					t.Errorf("%s: %s was asked for objects:\n%s", c.reason, m, expect.Describe(reads))
				}
			}
			expect.Delete(t, f, app)
			expect.Gone(t, f, soon, app, pushMembers...)
		})
	}
}

// objectReads are the product's reads of objects, one by one or in a list that no
// watch begins with.
func objectReads(events []fleet.AuditEvent) []fleet.AuditEvent {
	return slices.DeleteFunc(expect.ByProduct(events), func(e fleet.AuditEvent) bool {
		return e.Write() || e.Verb == "watch" || e.Resource == "" || e.Resource == "leases"
	})
}

// To a Pull member an app costs one Work and two reports at the most, and on the
// member one write per object.
func TestCostOfCreationOnPull(t *testing.T) {
	f := sharedFleet(t)
	app := key(namespace(t, f), "web")
	clusters := append([]string{fleet.HubName}, pullMembers...)
	before := markAll(f, clusters...)
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.WithService, expect.On(pullMembers...)))
	expect.Ready(t, f, soon, app, pullMembers...)
	settle(t, f, before, clusters)
	works, reports := 0, 0
	for _, w := range expect.Writes(before.since(t, f, fleet.HubName)) {
		switch {
		case w.Resource == "works" && w.Subresource == "status":
			reports++
		case w.Resource == "works":
			works++
		}
	}
	if works != len(pullMembers) || reports > 2*len(pullMembers) {
		t.Errorf("%d writes of Works and %d of their status for %d members; want one and at most two each", works, reports, len(pullMembers))
	}
	for _, m := range pullMembers {
		events := before.since(t, f, m)
		if writes := expect.Writes(events); len(writes) != 4 {
			t.Errorf("%s: want one write each of Namespace, Service and Deployment, and one that finds the namespace missing, got:\n%s", m, expect.Describe(writes))
		}
		if reads := objectReads(events); len(reads) > 0 {
			t.Errorf("%s was asked for objects:\n%s", m, expect.Describe(reads))
		}
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, pullMembers...)
}

// quiet is how long after its last cause the product may still write: what changes on
// members is reported every second, by agents and then by the hub.
const quiet = 3 * time.Second

// settle waits until the product has made no write for that long.
func settle(t *testing.T, f *fleet.Fleet, since marks, clusters []string) {
	t.Helper()
	count, quietSince := -1, time.Now()
	fleet.Eventually(t, soon, "a while without writes", func(context.Context) error {
		now := 0
		for _, c := range clusters {
			now += len(expect.Writes(since.since(t, f, c)))
		}
		if now != count {
			count, quietSince = now, time.Now()
		}
		if time.Since(quietSince) < quiet {
			return fmt.Errorf("%d writes so far", now)
		}
		return nil
	})
}

const (
	steadyApps = 20
	steadyTime = 60 * time.Second
	// steadyRequests are a few probes, and watches that ended and are begun again; one
	// for each app would be more.
	steadyRequests = 10
)

// With 20 apps on 4 members, 60 s in which nothing happens cost no write but
// leases and a few requests, and a hub that is killed and started again writes
// nothing, lists each kind once, and reads no object but the inventory.
func TestSteadyState(t *testing.T) {
	f := sharedFleet(t)
	ns := namespace(t, f)
	members := []string{"push-1", "push-2", "pull-1", "pull-2"}
	clusters := append([]string{fleet.HubName}, members...)
	var apps []types.NamespacedName
	started := markAll(f, clusters...)
	for i := range steadyApps {
		apps = append(apps, key(ns, fmt.Sprintf("app-%d", i)))
		expect.Create(t, f, expect.App(ns, apps[i].Name, expect.WithService, expect.On(members...)))
	}
	for _, app := range apps {
		expect.Ready(t, f, soon, app, members...)
	}
	settle(t, f, started, clusters)

	before := markAll(f, clusters...)
	noWrites := func(context.Context) error {
		for _, c := range clusters {
			if writes := expect.Writes(before.since(t, f, c)); len(writes) > 0 {
				return fmt.Errorf("writes on %s:\n%s", c, expect.Describe(writes))
			}
		}
		return nil
	}
	consistently(t, steadyTime, "a steady state", noWrites)
	for _, c := range clusters {
		events := slices.DeleteFunc(expect.ByProduct(before.since(t, f, c)), func(e fleet.AuditEvent) bool { return e.Resource == "leases" })
		if len(events) > steadyRequests {
			t.Errorf("%d requests to %s in %s, want at most %d:\n%s", len(events), c, steadyTime, steadyRequests, expect.Describe(events))
		}
	}

	before = markAll(f, clusters...)
	if err := f.Hub().Kill(); err != nil {
		t.Fatal(err)
	}
	if err := f.Hub().Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The new hub has worked once it has made another app Ready.
	probe := key(ns, "probe")
	expect.Create(t, f, expect.App(ns, probe.Name, expect.On("push-3")))
	expect.Ready(t, f, time.Minute, probe, "push-3")
	settle(t, f, before, clusters)
	for _, c := range clusters {
		writes := slices.DeleteFunc(expect.Writes(before.since(t, f, c)), func(e fleet.AuditEvent) bool {
			ofProbe := e.Name == probe.Name || e.Resource == "memberclusters" && e.Name == "push-3" || // its pod counts there
				e.Resource == "controllerrevisions" && len(e.Name) > 5 && e.Name[:5] == "probe"
			return ofProbe || e.Resource == "events" // client-go's leader election says who leads
		})
		if len(writes) > 0 {
			t.Errorf("the restart of the hub wrote on %s:\n%s", c, expect.Describe(writes))
		}
	}
	for _, m := range []string{"push-1", "push-2"} {
		begun := map[string]int{}
		for _, e := range expect.ByProduct(before.since(t, f, m)) {
			switch {
			case e.Verb == "watch" && e.Stage != "ResponseStarted": // one of the hub's that was killed
			case e.Verb == "list", e.Verb == "watch":
				begun[e.Verb+" "+e.Resource]++
			case e.Resource != "" && (e.Verb != "get" || e.Resource != "configmaps"):
				t.Errorf("the restart of the hub asked %s: %s", m, expect.Describe([]fleet.AuditEvent{e}))
			}
		}
		for what, n := range begun {
			if n > 1 {
				t.Errorf("the restart of the hub asked %s to %s %d times, want once", m, what, n)
			}
		}
	}

	apps = append(apps, probe)
	for _, app := range apps {
		expect.Delete(t, f, app)
	}
	for _, app := range apps {
		expect.Gone(t, f, soon, app, members...)
	}
}

// consistently is fleet.Consistently with a slower pace: each look reads logs.
func consistently(t *testing.T, during time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for end := time.Now().Add(during); time.Now().Before(end); <-ticker.C {
		if err := check(t.Context()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// An edit that renders the same objects writes nothing on members.
func TestPolicyEditCostsMembersNothing(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	clusters := append([]string{fleet.HubName}, members...)
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(members...)))
	expect.Ready(t, f, soon, app, members...)
	before := markAll(f, clusters...)
	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.DeletionPolicy = v1.DeletionOrphan })
	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.DeletionPolicy = v1.DeletionDelete })
	expect.Ready(t, f, soon, app, members...)
	settle(t, f, before, clusters)
	for _, m := range members {
		if writes := expect.Writes(before.since(t, f, m)); len(writes) > 0 {
			t.Errorf("%s:\n%s", m, expect.Describe(writes))
		}
	}
	for _, w := range expect.Writes(before.since(t, f, fleet.HubName)) {
		if w.Resource == "works" {
			t.Errorf("a Work was written: %s", expect.Describe([]fleet.AuditEvent{w}))
		}
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

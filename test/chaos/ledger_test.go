package chaos

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// ledger knows when the test ordered that an object go: because its app was
// deleted, or because the spec has it no longer. Each order explains one
// deletion, and only one that comes after it: to be deleted again the object
// must have been ordered, and made, again. But for a Work, which is an order: a
// hub that does not see it gives the order to leave once more.
type ledger map[thing][]time.Time

// thing is an object of a cluster.
type thing struct{ cluster, resource, namespace, name string }

func (t thing) String() string {
	return fmt.Sprintf("%s %s/%s on %s", t.resource, t.namespace, t.name, t.cluster)
}

func (l ledger) order(t thing) { l[t] = append(l[t], time.Now()) }

// unexplained are the deletions that no order explains. done is how many have
// been carried out.
func (l ledger) unexplained(cluster string, deletions []fleet.AuditEvent) (unexplained []string, done int) {
	deletions = slices.Clone(deletions)
	slices.SortStableFunc(deletions, func(a, b fleet.AuditEvent) int { return a.Time.Compare(b.Time) })
	count := map[thing]int{}
	for _, e := range deletions {
		what := thing{cluster, e.Resource, e.Namespace, e.Name}
		orders := l[what]
		explained := len(orders) > 0 && !e.Time.Before(orders[0])
		if e.Code == http.StatusOK || e.Code == http.StatusAccepted {
			if what.resource != "works" {
				explained = len(orders) > count[what] && !e.Time.Before(orders[count[what]])
			}
			count[what]++
			done++
		}
		if !explained {
			unexplained = append(unexplained, fmt.Sprintf("%s at %s by %s (%d), ordered at %v", what, e.Time, e.User, e.Code, orders))
		}
	}
	return unexplained, done
}

// deletions are those that the product has asked a cluster for. What apps have
// left of revisions on the hub is not counted: it keeps only the latest of them.
func deletions(c *fleet.Cluster, mark int64) ([]fleet.AuditEvent, error) {
	events, err := c.AuditSince(mark)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(expect.Writes(events), func(e fleet.AuditEvent) bool {
		return !strings.HasPrefix(e.Verb, "delete") || e.Resource == "controllerrevisions"
	}), nil
}

// check fails the test for every deletion that nobody has ordered, and returns
// how many there were in all.
func (l ledger) check(t *testing.T, f *fleet.Fleet, marks map[string]int64) int {
	t.Helper()
	total := 0
	for _, c := range f.Clusters() {
		events, err := deletions(c, marks[c.Name()])
		if err != nil {
			t.Fatal(err)
		}
		unexplained, done := l.unexplained(c.Name(), events)
		for _, u := range unexplained {
			t.Errorf("a deletion that nothing explains: %s", u)
		}
		total += done
	}
	return total
}

// gone orders that some of an app's objects go from the members.
func (w *world) gone(app *wish, objects []object) {
	for _, m := range w.members {
		for _, o := range objects {
			w.ledger.order(thing{m, o.resource, namespace, o.name})
			if o.kind == "Secret" && w.f.Agent(m) != nil {
				w.ledger.order(thing{fleet.HubName, "secrets", v1.MailboxNamespace(m), app.work() + "." + o.name})
			}
		}
	}
}

// left orders that an app go from the members, with the order to an agent.
func (w *world) left(app *wish) {
	w.gone(app, app.objects())
	for _, m := range w.members {
		if w.f.Agent(m) != nil {
			w.ledger.order(thing{fleet.HubName, "works", v1.MailboxNamespace(m), app.work()})
		}
	}
}

// work is the name of the app's Work.
func (w *wish) work() string { return v1.WorkName(namespace, w.name, w.uid) }

// marks are the ends of all audit logs.
func marks(f *fleet.Fleet) map[string]int64 {
	all := map[string]int64{}
	for _, c := range f.Clusters() {
		all[c.Name()] = c.AuditMark()
	}
	return all
}

// TestLedger: a ledger that explains everything would show nothing.
func TestLedger(t *testing.T) {
	what := thing{"eu-1", "services", namespace, "web"}
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	deletion := func(seconds, code int) fleet.AuditEvent {
		return fleet.AuditEvent{Time: at(seconds), Resource: what.resource, Namespace: what.namespace, Name: what.name, Code: code, Verb: "delete"}
	}
	for _, tt := range []struct {
		reason    string
		orders    []time.Time
		deletions []fleet.AuditEvent
		want      int
	}{
		{"ordered, then done", []time.Time{at(1)}, []fleet.AuditEvent{deletion(2, 200)}, 0},
		{"tried again until it is done", []time.Time{at(1)}, []fleet.AuditEvent{deletion(2, 409), deletion(3, 200), deletion(4, 404)}, 0},
		{"never ordered", nil, []fleet.AuditEvent{deletion(2, 200)}, 1},
		{"never ordered and refused", nil, []fleet.AuditEvent{deletion(2, 409)}, 1},
		{"before it was ordered", []time.Time{at(3)}, []fleet.AuditEvent{deletion(2, 200)}, 1},
		{"once more than ordered", []time.Time{at(1)}, []fleet.AuditEvent{deletion(2, 200), deletion(3, 200)}, 1},
		{"the second before the second order", []time.Time{at(1), at(9)}, []fleet.AuditEvent{deletion(2, 200), deletion(3, 200)}, 1},
		{"as often as ordered", []time.Time{at(1), at(3)}, []fleet.AuditEvent{deletion(2, 200), deletion(4, 200)}, 0},
	} {
		got, _ := ledger{what: tt.orders}.unexplained(what.cluster, tt.deletions)
		if len(got) != tt.want {
			t.Errorf("%s: %v; want %d", tt.reason, got, tt.want)
		}
	}
}

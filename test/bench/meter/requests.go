package meter

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// Request is what is counted together.
type Request struct {
	// Server is the API server that was asked.
	Server string
	// User is who asked.
	User string
	// Verb is that of RBAC, Resource the plural with its subresource, such as
	// myapps/status; of what is no resource it is the path, such as /version.
	Verb, Resource string
}

// Background is true for what is asked for at intervals, whether there is work
// or not: leases and probes, and who reads /metrics. It has a goal of its own.
func (r Request) Background() bool {
	switch r.Resource {
	case "leases", "tokenreviews", "subjectaccessreviews", "":
		return true
	}
	return r.Resource[0] == '/'
}

// Write is true for requests for a change. A review is created to ask a question,
// and the Event that says who leads is client-go's.
func (r Request) Write() bool {
	return fleet.AuditEvent{Verb: r.Verb}.Write() && !strings.HasSuffix(r.Resource, "reviews") && r.Resource != "events"
}

// Counts are numbers of requests.
type Counts map[Request]int

// Marks are the ends of the audit logs at a moment, by server.
type Marks map[string]int64

// Mark is the present.
func Mark(clusters []*fleet.Cluster) Marks {
	marks := Marks{}
	for _, c := range clusters {
		marks[c.Name()] = c.AuditMark()
	}
	return marks
}

// Since counts the requests that match of those that were answered after the marks
// were taken. A watch counts when it begins.
func Since(clusters []*fleet.Cluster, marks Marks, match func(fleet.AuditEvent) bool) (Counts, error) {
	counts := Counts{}
	for _, c := range clusters {
		err := c.EachAudit(marks[c.Name()], func(e fleet.AuditEvent) {
			if Counted(e) && match(e) {
				counts[requestOf(c.Name(), e)]++
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// Counted is true for one of the events that a request has. A watch that was
// refused never starts.
func Counted(e fleet.AuditEvent) bool {
	if e.Verb == "watch" && e.Code < 300 {
		return e.Stage == "ResponseStarted"
	}
	return e.Stage == "ResponseComplete"
}

func requestOf(server string, e fleet.AuditEvent) Request {
	r := Request{Server: server, User: e.User, Verb: e.Verb, Resource: e.Resource}
	switch {
	case r.Resource == "":
		r.Resource = e.RequestURI
	case e.Subresource != "":
		r.Resource += "/" + e.Subresource
	}
	return r
}

// Sum is the number of requests that match.
func (c Counts) Sum(match func(Request) bool) int {
	n := 0
	for r, count := range c {
		if match(r) {
			n += count
		}
	}
	return n
}

// By counts with the server renamed: members can be counted together.
func (c Counts) By(rename func(server string) string) Counts {
	out := Counts{}
	for r, count := range c {
		r.Server = rename(r.Server)
		out[r] += count
	}
	return out
}

// Sorted are the requests in an order that does not change.
func (c Counts) Sorted() []Request {
	return slices.SortedFunc(maps.Keys(c), func(a, b Request) int {
		return cmp.Or(cmp.Compare(a.Server, b.Server), cmp.Compare(a.User, b.User),
			cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Verb, b.Verb))
	})
}

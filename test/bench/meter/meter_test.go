package meter

import (
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

func TestRequestsAreCountedOnce(t *testing.T) {
	for _, tt := range []struct {
		reason string
		event  fleet.AuditEvent
		want   bool
	}{
		{"an answer", fleet.AuditEvent{Verb: "patch", Stage: "ResponseComplete", Code: 200}, true},
		{"a watch counts when it begins", fleet.AuditEvent{Verb: "watch", Stage: "ResponseStarted", Code: 200}, true},
		{"not once more when it ends", fleet.AuditEvent{Verb: "watch", Stage: "ResponseComplete", Code: 200}, false},
		{"one that was refused has no beginning", fleet.AuditEvent{Verb: "watch", Stage: "ResponseComplete", Code: 403}, true},
	} {
		if Counted(tt.event) != tt.want {
			t.Errorf("%s: %+v", tt.reason, tt.event)
		}
	}
}

func TestRequestsByKind(t *testing.T) {
	for _, tt := range []struct {
		reason            string
		event             fleet.AuditEvent
		resource          string
		background, write bool
	}{
		{"an object", fleet.AuditEvent{Verb: "create", Resource: "services"}, "services", false, true},
		{"a subresource is another thing", fleet.AuditEvent{Verb: "patch", Resource: "myapps", Subresource: "status"}, "myapps/status", false, true},
		{"a read", fleet.AuditEvent{Verb: "get", Resource: "namespaces"}, "namespaces", false, false},
		{"leader election", fleet.AuditEvent{Verb: "update", Resource: "leases"}, "leases", true, true},
		{"a question", fleet.AuditEvent{Verb: "create", Resource: "selfsubjectreviews"}, "selfsubjectreviews", false, false},
		{"who reads the metrics", fleet.AuditEvent{Verb: "create", Resource: "tokenreviews"}, "tokenreviews", true, false},
		{"who leads", fleet.AuditEvent{Verb: "create", Resource: "events"}, "events", false, false},
		{"a probe", fleet.AuditEvent{Verb: "get", RequestURI: "/version"}, "/version", true, false},
	} {
		r := requestOf("m-0", tt.event)
		if r.Resource != tt.resource || r.Background() != tt.background || r.Write() != tt.write {
			t.Errorf("%s: %+v, background %v, write %v", tt.reason, r, r.Background(), r.Write())
		}
	}
}

func TestCountsOfMembersTogether(t *testing.T) {
	c := Counts{
		{Server: "hub", Verb: "patch", Resource: "myapps/status"}: 1,
		{Server: "m-0", Verb: "patch", Resource: "services"}:      2,
		{Server: "m-1", Verb: "patch", Resource: "services"}:      3,
	}
	got := c.By(func(server string) string {
		if server == "hub" {
			return server
		}
		return "members"
	})
	want := Counts{
		{Server: "hub", Verb: "patch", Resource: "myapps/status"}: 1,
		{Server: "members", Verb: "patch", Resource: "services"}:  5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := got.Sum(func(r Request) bool { return r.Server == "members" }); n != 5 {
		t.Errorf("sum = %d", n)
	}
	if sorted := got.Sorted(); sorted[0].Server != "hub" || len(sorted) != 2 {
		t.Errorf("sorted = %v", sorted)
	}
}

func TestParseUsage(t *testing.T) {
	const stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 900 0 0 0 150 50 7 8 20 0 9 0 1000 123456 789\n"
	const status = "Name:\thub\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nRssAnon:\t   512 kB\n"
	got, err := parseUsage([]byte(stat), []byte(status))
	if err != nil {
		t.Fatal(err)
	}
	want := Usage{CPU: 2 * time.Second, RSS: 1 << 20, PeakRSS: 2 << 20, Anon: 512 << 10}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a program's name may have blanks and parentheses (-want +got):\n%s", diff)
	}
	for _, broken := range []string{"", "42 (a) S 1", "42 (a) S 1 42 42 0 -1 4194304 900 0 0 0 x y 7"} {
		if _, err := parseUsage([]byte(broken), nil); err == nil {
			t.Errorf("%q was understood", broken)
		}
	}
}

func TestEachConnection(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 12 1 0 20 4 30 10 -1
   2: 0100007F:D432 0100007F:1F90 06 00000000:00000000 00:00000000 00000000     0        0 0 3 0
`
	got := map[string]int{}
	if err := eachConnection(strings.NewReader(table), func(inode string, port int) { got[inode] = port }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{"12": 8080}, got); diff != "" {
		t.Errorf("who listens, and what is closed, is no connection (-want +got):\n%s", diff)
	}
}

func TestThisProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no /proc")
	}
	if err := ResetPeak(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	u, err := UsageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if u.RSS == 0 || u.PeakRSS < u.RSS/2 || u.Anon == 0 {
		t.Errorf("usage = %+v", u)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	ports, err := Connections(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if ports[port] != 1 {
		t.Errorf("connections to port %d: %v", port, ports)
	}
}

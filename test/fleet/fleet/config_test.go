package fleet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompleteMembers(t *testing.T) {
	for _, tt := range []struct {
		reason  string
		members []MemberConfig
		err     string
	}{
		{"two members", []MemberConfig{{Name: "eu-1"}, {Name: "us-1", Mode: ModePull}}, ""},
		{"the same twice", []MemberConfig{{Name: "eu-1"}, {Name: "eu-1"}}, "given twice"},
		{"the hub's name", []MemberConfig{{Name: "hub"}}, "another part of the fleet"},
		{"an agent's name", []MemberConfig{{Name: "agent-1"}}, "another part of the fleet"},
		{"capitals", []MemberConfig{{Name: "EU"}}, "no name for a member"},
		{"57 letters", []MemberConfig{{Name: strings.Repeat("a", 57)}}, "no name for a member"},
		{"a mode that is none", []MemberConfig{{Name: "eu-1", Mode: "Both"}}, `mode is "Both"`},
	} {
		got, err := completeMembers(tt.members)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v, want an error with %q", tt.reason, err, tt.err)
		}
		for _, m := range got {
			if m.Mode == "" {
				t.Errorf("%s: member %s has no mode", tt.reason, m.Name)
			}
		}
	}
}

func TestOptionsOfOneMemberAddUp(t *testing.T) {
	var c Config
	labels := map[string]string{"region": "eu"}
	for _, o := range []Option{Pull("eu-1"), Labels("eu-1", labels), Bare("eu-2"), Unjoined("eu-2")} {
		o(&c)
	}
	want := []MemberConfig{
		{Name: "eu-1", Mode: ModePull, Labels: labels},
		{Name: "eu-2", Bare: true, Unjoined: true},
	}
	if diff := cmp.Diff(want, c.Members); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestClaim(t *testing.T) {
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := claim(foreign); err == nil {
		t.Error("a directory with someone's files was claimed")
	}
	if !isFile(filepath.Join(foreign, "thesis.tex")) {
		t.Error("someone's file is gone")
	}

	ours := filepath.Join(t.TempDir(), "fleet")
	if err := claim(ours); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(ours, "old")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := claim(ours); err != nil || isFile(old) {
		t.Errorf("claiming the directory of an earlier fleet: %v, %s is there: %t", err, old, isFile(old))
	}
}

// A pid that has been given to another process since must not be killed.
func TestCleanupSparesStrangers(t *testing.T) {
	dir := t.TempDir()
	if err := writeRecords(dir, []processRecord{{Name: "etcd", Pid: os.Getpid()}}); err != nil {
		t.Fatal(err)
	}
	killed, err := Cleanup(dir) // would kill this test
	if err != nil || len(killed) > 0 {
		t.Errorf("killed %v, %v", killed, err)
	}
}

func TestParseManifests(t *testing.T) {
	got, err := parseManifests([]byte("# a comment\n---\nkind: A\n---\n---\nkind: B\nmetadata: {name: b}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range got {
		kinds = append(kinds, o.GetKind())
	}
	if diff := cmp.Diff([]string{"A", "B"}, kinds); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if _, err := parseManifests([]byte("kind: [")); err == nil {
		t.Error("no error for what is no YAML")
	}
}

func TestParseAudit(t *testing.T) {
	const whole = `{"stage":"ResponseComplete","stageTimestamp":"2026-01-02T03:04:05Z","verb":"patch","user":{"username":"ann"},` +
		`"objectRef":{"resource":"deployments","apiGroup":"apps","namespace":"shop","name":"web","subresource":"status"},"responseStatus":{"code":200}}`
	// The mark was taken in a line, and the last line is being written.
	var got []AuditEvent
	err := eachAudit(strings.NewReader(`ode":200}}`+"\n"+whole+"\n"+whole[:40]), func(e AuditEvent) { got = append(got, e) })
	if err != nil || len(got) != 1 {
		t.Fatalf("%v and %v, want one event", got, err)
	}
	e := got[0]
	if e.User != "ann" || e.Verb != "patch" || !e.Write() || e.APIGroup != "apps" || e.Resource != "deployments" ||
		e.Subresource != "status" || e.Namespace != "shop" || e.Name != "web" || e.Code != 200 || e.Time.IsZero() {
		t.Errorf("got %+v", e)
	}
	if err := eachAudit(strings.NewReader(whole+"\nnonsense\n"), func(AuditEvent) {}); err == nil {
		t.Error("no error for a line that is no event")
	}
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
	"github.com/example/myapp-hub/test/multikind/kindfleet"
)

// printedToken finds the join token that a command has printed.
var printedToken = regexp.MustCompile(`--token (\S+)`)

// installPage does what docs/install.md says, to the letter, on the clusters that have been
// left by the hub that was there.
func installPage(t *testing.T, w world) {
	w.forget(t)
	page, err := os.ReadFile(filepath.Join(expect.Root(t), "docs", "install.md"))
	if err != nil {
		t.Fatal(err)
	}
	env, err := w.Environment(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, command := range commands(string(page)) {
		if strings.HasPrefix(command, "make ") {
			continue // the suite has built it
		}
		started := time.Now()
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", command) //nolint:gosec // what the page says
		cmd.Dir, cmd.Env = expect.Root(t), env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("docs/install.md: $ %s\n%s\n%v", command, out, err)
		}
		if found := printedToken.FindSubmatch(out); found != nil {
			env = append(env, "TOKEN="+string(found[1]))
		} else {
			t.Logf("%.1f s: $ %s\n%s", time.Since(started).Seconds(), command, out)
		}
		ran++
	}
	if ran < 15 {
		t.Errorf("the page has %d commands only", ran)
	}
	err = w.Client(fleet.HubName).List(t.Context(), &v1.MyAppList{})
	if !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
		t.Errorf("MyApps are still known on the hub: %v", err)
	}
}

// commands are those in the console blocks of a page, each with what it reads from a here
// document.
func commands(page string) []string {
	var found []string
	inside, reading := false, false
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			inside, reading = line == "```console", false
		case inside && strings.HasPrefix(line, "$ "):
			found = append(found, strings.TrimPrefix(line, "$ "))
			reading = strings.HasSuffix(line, "<<EOF")
		case inside && reading:
			found[len(found)-1] += "\n" + line
			reading = line != "EOF"
		}
	}
	return found
}

// forget takes what is left of the members off the hub's cluster and theirs, as their users
// do.
func (w world) forget(t *testing.T) {
	t.Helper()
	if err := w.InstallHub(t.Context(), w.Current); err != nil {
		t.Fatal(err)
	}
	for _, m := range w.World.Members {
		if _, err := w.Plugin(t.Context(), fleet.HubName, "leave", m, "--member-kubeconfig="+w.Kubeconfig(m), "--yes"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Helm(t.Context(), w.Pull, "uninstall", kindfleet.AgentRelease, "--wait"); err != nil {
		t.Fatal(err)
	}
	w.uninstallHub(t)
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/multikind/kindfleet"
	"github.com/example/myapp-hub/test/scenario"
)

// Flags of the suite.
var (
	morePush = flag.Int("multikind.push", 1, "number of Push members, eu-1 and so on")
	morePull = flag.Int("multikind.pull", 1, "number of Pull members, us-1 and so on")
	from     = flag.String("multikind.from", "", "commit whose release is installed first and upgraded from; empty: the one in the file upgrade-from")
)

const (
	// Members that are always there, of each mode one.
	push, pull = "eu-1", "us-1"
	// soon is ample on real kubelets for anything that takes no timeout: a pod has half a
	// minute to end.
	soon = 90 * time.Second
	// How long the hub may take to notice a silent member: by probes and pings for Push, by
	// the lease for Pull.
	noticePush = 25 * time.Second
	noticePull = 3*kindfleet.Heartbeat + 15*time.Second
	// prompt is less than any silence was ever noticed after.
	prompt = 8 * time.Second
	// reserve is time enough for any step and for taking the fleet down.
	reserve = 8 * time.Minute
)

// TestMultikind plays all scenarios on one fleet, in an order: what was installed at first
// is upgraded, then everything happens to it, it is uninstalled, and in the end a reader of
// docs/install.md does it all by hand.
func TestMultikind(t *testing.T) {
	w := start(t)
	steps := []struct {
		name string
		run  func(*testing.T, world)
	}{
		{"Upgrade", upgrade},
		{"AtRest", atRest},
		{"Scenarios", scenarios},
		{"Sample", sample},
		{"Webhook", webhook},
		{"BadRelease", badRelease},
		{"Autoscaler", autoscaler},
		{"Faults", faults},
		{"NodeRestart", nodeRestart},
		{"PodsKilled", podsKilled},
		{"Uninstall", uninstall},
		{"InstallPage", installPage},
	}
	for _, step := range steps {
		if err := w.mayGoOn(t); err != nil {
			t.Fatalf("%s and what comes after it is left out: %v", step.name, err)
		}
		t.Run(step.name, func(t *testing.T) { step.run(t, w) })
	}
}

// mayGoOn says why no further step is begun: somebody has interrupted the suite, or it would
// have no time to clean up.
func (w world) mayGoOn(t *testing.T) error {
	if deadline, ok := t.Deadline(); ok && time.Until(deadline) < reserve {
		return fmt.Errorf("only %s are left until the deadline", time.Until(deadline).Round(time.Second))
	}
	return w.interrupted.Err()
}

// world is where the suite plays.
type world struct {
	*kindfleet.Fleet
	scenario.World
	// interrupted ends when somebody has lost patience.
	interrupted context.Context
}

// start makes the fleet, and takes it down with the test; nothing is left behind.
func start(t *testing.T) world {
	t.Helper()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	if err := kindfleet.Check(ctx); err != nil {
		t.Fatal(err)
	}
	root := expect.Root(t)
	dir, err := os.MkdirTemp("", "multikind-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tidy(t, dir) })
	cfg := kindfleet.Config{Root: root, Dir: dir, NodeImage: kindfleet.NodeImage(), Progress: os.Stderr}
	for _, of := range []struct {
		region string
		mode   v1.Mode
		count  int
	}{{"eu", v1.ModePush, *morePush}, {"us", v1.ModePull, *morePull}} {
		for i := range of.count {
			name := fmt.Sprintf("%s-%d", of.region, i+1)
			cfg.Members = append(cfg.Members, kindfleet.Member{Name: name, Mode: of.mode, Labels: map[string]string{expect.NameLabel: name}})
		}
	}
	if cfg.From, err = kindfleet.Checkout(ctx, cfg, previous(t, root)); err != nil {
		t.Fatal(err)
	}
	f, err := kindfleet.Up(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, f) })
	return world{f, scenario.World{
		Fleet: f, Push: push, Pull: pull, Members: f.Members(),
		Images: scenario.Images{First: kindfleet.WebImage(kindfleet.First), Second: kindfleet.WebImage(kindfleet.Second)},
		Soon:   soon, Prompt: prompt,
		Notice: map[string]time.Duration{push: noticePush, pull: noticePull},
		Cut:    cut(f, kindfleet.Faults()[0]),
	}, ctx}
}

// end takes the fleet down, after its logs were collected if the test has failed.
func end(t *testing.T, f *kindfleet.Fleet) {
	ctx := context.Background() // that of the test has ended
	if t.Failed() {
		t.Logf("logs are in %s", f.CollectLogs(ctx))
	}
	if err := f.Down(ctx); err != nil {
		t.Errorf("taking the fleet down: %v", err)
	}
	if left, err := f.Left(ctx); err != nil || len(left) > 0 {
		t.Errorf("in Docker there is still %v (%v)", left, err)
	}
}

// tidy removes the suite's files, but for the logs of one that has failed.
func tidy(t *testing.T, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, entry := range entries {
		if entry.Name() != kindfleet.Logs || !t.Failed() {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
	}
	if !t.Failed() {
		err = errors.Join(err, os.Remove(dir))
	}
	if err != nil {
		t.Error(err)
	}
}

// cut has a fault happen to a member until it is healed.
func cut(f *kindfleet.Fleet, fault kindfleet.Fault) func(*testing.T, string) func() {
	return func(t *testing.T, member string) func() {
		t.Helper()
		if err := f.Begin(t.Context(), member, fault); err != nil {
			t.Fatal(err)
		}
		healed := false
		return func() {
			if healed {
				return
			}
			healed = true
			if err := f.End(context.Background(), member, fault); err != nil {
				t.Errorf("ending %s of %s: %v", fault.Name, member, err)
			}
		}
	}
}

// previous is the commit whose release is upgraded from.
func previous(t *testing.T, root string) string {
	t.Helper()
	if *from != "" {
		return *from
	}
	text, err := os.ReadFile(filepath.Join(root, "test", "multikind", "upgrade-from"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	t.Fatal("test/multikind/upgrade-from names no commit")
	return ""
}

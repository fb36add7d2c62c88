package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The supervisor is this program again; in a test, the test's.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestUpFaultsDown(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { _, _ = run(context.Background(), dir, "down") })

	out := mustRun(t, dir, upArgs()...)
	if !strings.Contains(out, "API server ready") {
		t.Errorf("up shows no progress:\n%s", out)
	}
	if out := mustRun(t, dir, upArgs()...); !strings.Contains(out, "is up") {
		t.Errorf("up again says:\n%s", out)
	}
	mustFail(t, dir, "--no-controllers=true", "up")

	mustRun(t, dir, "crash", "hub")
	wantHub(t, dir, "down", "false")
	mustRun(t, dir, "restart", "hub")
	mustRun(t, dir, "partition", "hub")
	wantHub(t, dir, "running", "true")
	mustRun(t, dir, "heal", "hub")
	wantHub(t, dir, "running", "false")
	mustRun(t, dir, "crash", "hub-controller-manager")
	mustFail(t, dir, "no cluster and no process called eu-9", "crash", "eu-9")
	mustFail(t, dir, "is a process", "partition", "etcd")
	if log := strings.TrimSpace(mustRun(t, dir, "logs", "hub")); !fileExists(log) {
		t.Errorf("logs hub prints %q, which is no file", log)
	}

	mustRun(t, dir, "down")
	wantNothing(t, dir)
	mustFail(t, dir, "no fleet runs", "status")
	mustRun(t, dir, "down") // again: nothing to do
}

func TestASupervisorThatIsKilledTakesTheFleetWithIt(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { _, _ = run(context.Background(), dir, "down") })
	mustRun(t, dir, upArgs()...)
	c, err := newControl(dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.address()
	if err != nil {
		t.Fatal(err)
	}
	supervisor, err := os.FindProcess(a.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := supervisor.Kill(); err != nil {
		t.Fatal(err)
	}
	fleet.Eventually(t, 10*time.Second, "all processes to die", func(context.Context) error {
		if left := processesOf(t, dir); len(left) > 0 {
			return errors.New(strings.Join(left, "\n"))
		}
		return nil
	})
	mustFail(t, dir, "has died; use fleet down", "status")
	mustRun(t, dir, "down")
	mustRun(t, dir, upArgs()...) // in the same directory
}

func TestInterruptedUpLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := run(ctx, dir, upArgs()...)
		ended <- err
	}()
	fleet.Eventually(t, 10*time.Second, "the API server to start", func(context.Context) error {
		if !strings.Contains(strings.Join(processesOf(t, dir), "\n"), "kube-apiserver") {
			return errors.New("it has not")
		}
		return nil
	})
	interrupt()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("up returned %v", err)
	}
	wantNothing(t, dir)
}

func TestFailedUpSaysWhyAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	mustFail(t, dir, "there is no such file", "up", "--no-controllers", "--deploy-dir", t.TempDir())
	wantNothing(t, dir)
}

func TestSocketMovesWhenItsPathIsTooLong(t *testing.T) {
	for _, length := range []int{20, 200} {
		c, err := newControl(filepath.Join(t.TempDir(), strings.Repeat("x", length)))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.write(specFile, spec{}); err != nil { // makes the directory
			t.Fatal(err)
		}
		l, release, err := c.listen()
		if err != nil {
			t.Fatal(err)
		}
		path := l.Addr().String()
		if len(path) > maxSocketPath {
			t.Errorf("the socket's path has %d bytes: %s", len(path), path)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		release()
		if fileExists(path) || length == 200 && fileExists(filepath.Dir(path)) {
			t.Errorf("%s is left behind", path)
		}
	}
}

func upArgs() []string {
	return []string{"up", "--no-controllers", "--deploy-dir", filepath.Join("fleet", "testdata", "deploy")}
}

func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := newCommand()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "--dir", dir))
	err := cmd.ExecuteContext(ctx)
	return out.String(), err
}

func mustRun(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := run(t.Context(), dir, args...)
	if err != nil {
		t.Fatalf("fleet %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func mustFail(t *testing.T, dir, why string, args ...string) {
	t.Helper()
	if _, err := run(t.Context(), dir, args...); err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("fleet %s: %v, want an error with %q", strings.Join(args, " "), err, why)
	}
}

func wantHub(t *testing.T, dir, apiServer, partitioned string) {
	t.Helper()
	for line := range strings.Lines(mustRun(t, dir, "status")) {
		if f := strings.Fields(line); len(f) > 3 && f[0] == fleet.HubName {
			if f[2] != apiServer || f[3] != partitioned {
				t.Errorf("the hub is %s, partitioned %s; want %s and %s", f[2], f[3], apiServer, partitioned)
			}
			return
		}
	}
	t.Error("status does not show the hub")
}

func wantNothing(t *testing.T, dir string) {
	t.Helper()
	if left := processesOf(t, dir); len(left) > 0 {
		t.Errorf("left running:\n%s", strings.Join(left, "\n"))
	}
}

// processesOf lists the command lines that name dir.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Skip("no /proc here")
	}
	var out []string
	for _, file := range files {
		// A process that has just ended cannot be read.
		if b, err := os.ReadFile(file); err == nil && bytes.Contains(b, []byte(dir)) {
			out = append(out, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}

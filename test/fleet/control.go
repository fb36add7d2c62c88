package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// Files of the supervisor, in its directory.
const (
	addressFile = "address.json"
	specFile    = "spec.json"
	logFile     = "supervisor.log"
	socketFile  = "sock"
)

// maxSocketPath is what every system allows for the path of a unix socket.
const maxSocketPath = 100

// Phases of a fleet.
const (
	phaseStarting = "starting"
	phaseReady    = "ready"
	phaseFailed   = "failed"
	phaseStopping = "stopping"
)

// errNotRunning says that there is no supervisor.
var errNotRunning = errors.New("no fleet runs")

type address struct {
	Pid    int    `json:"pid"`
	Socket string `json:"socket"`
}

type status struct {
	Phase     string          `json:"phase"`
	Spec      spec            `json:"spec"`
	Clusters  []clusterStatus `json:"clusters"`
	Processes []processStatus `json:"processes"`
}

type clusterStatus struct {
	Name        string `json:"name"`
	Mode        string `json:"mode"`
	Partitioned bool   `json:"partitioned"`
	Pid         int    `json:"pid"` // of the API server; 0 if it does not run
	URL         string `json:"url"`
	Kubeconfig  string `json:"kubeconfig"`
}

type processStatus struct {
	Name string `json:"name"`
	Pid  int    `json:"pid"` // 0 if it does not run
	Log  string `json:"log"`
}

type faultRequest struct {
	Action string `json:"action"`
	Name   string `json:"name"`
}

type failure struct {
	Error string `json:"error"`
}

// control talks to the supervisor of a fleet.
type control struct {
	dir  string // absolute
	http *http.Client
}

func newControl(dir string) (*control, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("--dir %s: %w", dir, err)
	}
	c := &control{dir: abs}
	c.http = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // a supervisor that stops waits for no idle connection
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			a, err := c.address()
			if err != nil {
				return nil, err
			}
			return (&net.Dialer{}).DialContext(ctx, "unix", a.Socket)
		},
	}}
	return c, nil
}

func (c *control) file(name string) string { return filepath.Join(c.dir, fleet.SupervisorDir, name) }

// write stores a value as JSON; readers never see half of it.
func (c *control) write(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.MkdirAll(filepath.Dir(c.file(name)), 0o700); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := os.WriteFile(c.file(name)+".new", b, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return os.Rename(c.file(name)+".new", c.file(name))
}

func (c *control) read(name string, v any) error {
	b, err := os.ReadFile(c.file(name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("reading %s: %w", c.file(name), err)
	}
	return nil
}

func (c *control) readSpec() (s spec, err error) { return s, c.read(specFile, &s) }

// address of the supervisor that runs; errNotRunning if none does.
func (c *control) address() (a address, err error) {
	err = c.read(addressFile, &a)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return a, fmt.Errorf("%w in %s", errNotRunning, c.dir)
	case err != nil:
		return a, err
	case !c.alive(a.Pid):
		return a, fmt.Errorf("%w in %s: its supervisor (pid %d) has died; use fleet down", errNotRunning, c.dir, a.Pid)
	}
	return a, nil
}

// alive says whether a process is the supervisor of this directory.
func (c *control) alive(pid int) bool {
	return pid > 0 && strings.HasSuffix(fleet.CommandLine(pid), " "+strings.Join(serveArgs(c.dir), " "))
}

func serveArgs(dir string) []string { return []string{"serve", "--dir=" + dir} }

// newSocketPath is a path that is free, in the supervisor's directory if that
// is not too long.
func (c *control) newSocketPath() (string, error) {
	if a, err := c.address(); err == nil && a.Pid != os.Getpid() {
		return "", fmt.Errorf("a supervisor runs already in %s (pid %d)", c.dir, a.Pid)
	}
	path := c.file(socketFile)
	if len(path) <= maxSocketPath {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("removing an old control socket: %w", err)
		}
		return path, nil
	}
	tmp, err := os.MkdirTemp("", "fleet-")
	if err != nil {
		return "", fmt.Errorf("a directory for the control socket: %w", err)
	}
	return filepath.Join(tmp, socketFile), nil
}

// removeSocket removes the socket and the directory that was made for it.
func (c *control) removeSocket(path string) {
	if path == c.file(socketFile) {
		_ = os.Remove(path) // the listener may have done it
		return
	}
	_ = os.RemoveAll(filepath.Dir(path)) // litter in the temporary directory at worst
}

func (c *control) status(ctx context.Context) (s status, err error) {
	return s, c.call(ctx, http.MethodGet, "/status", nil, &s)
}

func (c *control) fault(ctx context.Context, action, name string) error {
	return c.call(ctx, http.MethodPost, "/faults", faultRequest{Action: action, Name: name}, nil)
}

func (c *control) addMember(ctx context.Context, m fleet.MemberConfig) error {
	return c.call(ctx, http.MethodPost, "/members", m, nil)
}

func (c *control) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if errors.Is(err, errNotRunning) {
		_, err = c.address() // without the noise of the request
		return err
	}
	if err != nil {
		return fmt.Errorf("asking the supervisor: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
			return fmt.Errorf("asking the supervisor: %s", resp.Status)
		}
		return errors.New(f.Error)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// follow shows the progress until the fleet is up, and returns why it is not.
func (c *control) follow(ctx context.Context, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://supervisor/progress", nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("asking the supervisor: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := json.NewDecoder(resp.Body)
	for {
		var l progressLine
		if err := lines.Decode(&l); err != nil {
			return fmt.Errorf("the supervisor stopped: %w; see %s", err, c.file(logFile))
		}
		switch {
		case l.Error != "":
			return errors.New(l.Error)
		case l.Done:
			return nil
		}
		if _, err := fmt.Fprintln(out, l.Line); err != nil {
			return err
		}
	}
}

const pollInterval = 20 * time.Millisecond

// waitUntil polls until the condition holds.
func waitUntil(ctx context.Context, timeout time.Duration, holds func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	supervisorStart = 10 * time.Second
	supervisorStop  = 60 * time.Second
)

// up starts a supervisor, or asks the one that runs for what is missing.
func up(ctx context.Context, c *control, wanted spec, out io.Writer) error {
	st, err := c.status(ctx)
	switch {
	case err == nil:
		return complete(ctx, c, st, wanted, out)
	case !errors.Is(err, errNotRunning):
		return err
	}
	started := time.Now()
	if err := start(ctx, c, wanted, out); err != nil {
		// Whatever the reason, Ctrl-C included, nothing may stay behind.
		return errors.Join(err, c.down(context.WithoutCancel(ctx), out))
	}
	_, err = fmt.Fprintf(out, "\nThe fleet is up after %.1f s. Try:\n  kubectl --kubeconfig %s get memberclusters\n",
		time.Since(started).Seconds(), relative(filepath.Join(c.dir, fleet.HubName+".kubeconfig")))
	return err
}

func start(ctx context.Context, c *control, wanted spec, out io.Writer) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	if wanted.Root, err = fleet.FindRoot(wd); err != nil {
		return err
	}
	if wanted.DeployDir != "" {
		if wanted.DeployDir, err = filepath.Abs(wanted.DeployDir); err != nil {
			return fmt.Errorf("--deploy-dir: %w", err)
		}
	}
	if err := c.write(specFile, wanted); err != nil {
		return err
	}
	exited, err := c.spawn()
	if err != nil {
		return err
	}
	err = waitUntil(ctx, supervisorStart, func() bool {
		_, err := c.address()
		return err == nil || closed(exited)
	})
	if err != nil {
		return fmt.Errorf("waiting for the supervisor: %w; see %s", err, c.file(logFile))
	}
	if closed(exited) {
		return fmt.Errorf("the supervisor ended at once; see %s", c.file(logFile))
	}
	return c.follow(ctx, out)
}

// spawn starts the supervisor, which outlives us; the channel is closed if it
// ends before we do.
func (c *control) spawn() (<-chan struct{}, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting the supervisor: %w", err)
	}
	log, err := os.OpenFile(c.file(logFile), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting the supervisor: %w", err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(exe, serveArgs(c.dir)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the supervisor: %w", err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // why it ended is in its log
		close(exited)
	}()
	return exited, nil
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// complete makes a running fleet what is wanted, where that takes no more than
// further members.
func complete(ctx context.Context, c *control, st status, wanted spec, out io.Writer) error {
	if st.Phase == phaseStarting {
		if err := c.follow(ctx, out); err != nil {
			return err
		}
		var err error
		if st, err = c.status(ctx); err != nil {
			return err
		}
	}
	if st.Phase != phaseReady {
		return fmt.Errorf("the fleet in %s is %s; wait for that, or take it down", c.dir, st.Phase)
	}
	missing, err := st.Spec.missing(wanted)
	if err != nil {
		return err
	}
	for _, m := range missing {
		if err := c.addMember(ctx, m); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "added %s\n", m.Name); err != nil {
			return err
		}
	}
	if st, err = c.status(ctx); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "The fleet in %s is up.\n\n", relative(c.dir)); err != nil {
		return err
	}
	return st.print(out)
}

// down stops the supervisor and what it owns, or what it has left behind.
func (c *control) down(ctx context.Context, out io.Writer) error {
	a, err := c.address()
	switch {
	case err == nil:
		if err := c.stopSupervisor(ctx, a); err != nil {
			return err
		}
	case !errors.Is(err, errNotRunning):
		return err
	}
	killed, err := fleet.Cleanup(c.dir)
	if err != nil {
		return err
	}
	if len(killed) > 0 {
		_, _ = fmt.Fprintf(out, "killed what was left: %s\n", strings.Join(killed, ", "))
	}
	if err := os.Remove(c.file(addressFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, err = fmt.Fprintf(out, "The fleet in %s is down.\n", relative(c.dir))
	return err
}

// stopSupervisor asks it to stop; it is killed if it has not in a minute.
func (c *control) stopSupervisor(ctx context.Context, a address) error {
	gone := func() bool { return !c.alive(a.Pid) }
	asked, cancel := context.WithTimeout(ctx, supervisorStart)
	defer cancel()
	err := c.call(asked, http.MethodPost, "/down", nil, nil)
	if err == nil {
		err = waitUntil(ctx, supervisorStop, gone)
	}
	if err == nil || gone() {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p, err := os.FindProcess(a.Pid)
	if err != nil {
		return fmt.Errorf("killing the supervisor: %w", err)
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing the supervisor: %w", err)
	}
	return waitUntil(ctx, supervisorStart, gone)
}

// relative shortens a path for people.
func relative(path string) string {
	wd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(wd, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// stopTimeout is how long Stop waits for a process to end by itself.
	stopTimeout = 5 * time.Second
	// readyTimeout is how long a process may take to become ready.
	readyTimeout = 60 * time.Second
	readyPoll    = 25 * time.Millisecond
)

// ErrRunning says that a process that was to be started runs already.
var ErrRunning = errors.New("already running")

// ExitedError says that a process ended while it was expected to become ready.
type ExitedError struct {
	// Process is its name, LogPath its log and Tail the log's last lines.
	Process, LogPath, Tail string
}

func (e *ExitedError) Error() string {
	return fmt.Sprintf("%s exited; the end of its log %s:\n%s", e.Process, e.LogPath, e.Tail)
}

// Is makes an ExitedError a port that was taken if the log says so.
func (e *ExitedError) Is(target error) bool {
	return target == errPortTaken && strings.Contains(e.Tail, "address already in use")
}

// Process is a child of the fleet that can be killed and started again with
// the same arguments. Its methods may be called from several goroutines.
type Process struct {
	// MetricsAddr, HealthAddr and WebhookAddr are host:port, empty where the
	// process serves none.
	MetricsAddr, HealthAddr, WebhookAddr string

	name  string
	path  string
	args  []string
	env   []string // added to that of the fleet
	log   string
	ready func(context.Context) error

	spawn    *spawner
	observed func()

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
}

// Name of the process, such as hub-controller, agent-us-1 or eu-1-apiserver.
func (p *Process) Name() string { return p.name }

// LogPath is the file that receives standard output and standard error; it is
// appended to over restarts.
func (p *Process) LogPath() string { return p.log }

// Start starts the process and returns without waiting for it to be ready. It
// fails with ErrRunning if it runs.
func (p *Process) Start() error {
	if err := p.launch(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.observed()
	return nil
}

func (p *Process) launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runningLocked() {
		return ErrRunning
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = append(cmd.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = childAttr()
	if err := p.spawn.start(cmd); err != nil {
		return err
	}
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(exited)
	}()
	return nil
}

func (p *Process) runningLocked() bool {
	if p.exited == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Running says whether the process exists.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.runningLocked()
}

// Pid of the process, 0 if it does not run.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.runningLocked() {
		return 0
	}
	return p.cmd.Process.Pid
}

// Exited is closed when the present run has ended; for a process that was never
// started it is closed too.
func (p *Process) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exited == nil {
		c := make(chan struct{})
		close(c)
		return c
	}
	return p.exited
}

// Kill sends SIGKILL and waits until the process is gone.
func (p *Process) Kill() error { return p.end(os.Kill) }

// Stop sends SIGTERM, and SIGKILL if the process is still there after five
// seconds, and waits until it is gone.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

func (p *Process) end(sig os.Signal) error {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to %s: %w", sig, p.name, err)
	}
	deadline := time.NewTimer(stopTimeout)
	defer deadline.Stop()
	select {
	case <-exited:
		return nil
	case <-deadline.C:
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing %s: %w", p.name, err)
	}
	<-exited
	return nil
}

// Restart stops the process if it runs, starts it and waits until it is ready.
func (p *Process) Restart(ctx context.Context) error {
	if err := p.Stop(); err != nil {
		return err
	}
	return p.startReady(ctx)
}

// startReady starts the process and waits until it is ready; if that fails,
// nothing is left running.
func (p *Process) startReady(ctx context.Context) error {
	if err := p.Start(); err != nil {
		return err
	}
	if err := p.WaitReady(ctx); err != nil {
		return errors.Join(err, p.Kill())
	}
	return nil
}

// WaitReady returns when the process says that it is ready, and fails with an
// ExitedError when it has ended, or after a minute.
func (p *Process) WaitReady(ctx context.Context) error {
	exited := p.Exited()
	err := poll(ctx, readyTimeout, readyPoll, func(ctx context.Context) error {
		select {
		case <-exited:
			return final(&ExitedError{Process: p.name, LogPath: p.log, Tail: p.LogTail(20)})
		default:
		}
		if p.ready == nil {
			return nil
		}
		return p.ready(ctx)
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to be ready: %w", p.name, err)
	}
	return nil
}

// tailBytes is how much of a log's end LogTail looks at.
const tailBytes = 64 << 10

// LogTail returns the last lines of the log.
func (p *Process) LogTail(lines int) string {
	f, err := os.Open(p.log)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd) // at worst more is read
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimRight(b, "\n"), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// linger is how long a supervisor whose fleet failed to come up waits to be
// asked why.
const linger = 10 * time.Second

// supervisor owns a fleet.
type supervisor struct {
	dir      string
	progress *progress
	cancel   context.CancelFunc // ends the supervisor

	mu    sync.Mutex
	spec  spec
	fleet *fleet.Fleet // nil until it is up
	phase string
}

func serveCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:    "serve",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newControl(*dir)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c)
		},
	}
}

// serve brings the fleet up and answers requests until ctx ends or someone asks
// it to stop; then it takes the fleet down.
func serve(ctx context.Context, c *control) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wanted, err := c.readSpec()
	if err != nil {
		return err
	}
	listener, release, err := c.listen()
	if err != nil {
		return err
	}
	defer release()
	s := &supervisor{dir: c.dir, spec: wanted, phase: phaseStarting, progress: newProgress(), cancel: cancel}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	err = s.run(ctx)
	// Those who wait for the end get their answers first.
	last, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	err = errors.Join(err, server.Shutdown(last))
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

func (s *supervisor) run(ctx context.Context) error {
	f, err := fleet.Up(ctx, fleet.Config{
		Dir: s.dir, Root: s.spec.Root, DeployDir: s.spec.DeployDir, Members: s.spec.Members,
		NoControllers: s.spec.NoControllers, Fsync: s.spec.Fsync, Progress: s.progress,
		Webhook: true,
	})
	if err != nil {
		s.setPhase(phaseFailed)
		s.progress.finish(err)
		select {
		case <-ctx.Done():
		case <-time.After(linger):
		}
		return err
	}
	s.mu.Lock()
	s.fleet, s.phase = f, phaseReady
	s.mu.Unlock()
	s.progress.finish(nil)
	<-ctx.Done()
	s.setPhase(phaseStopping)
	return f.Down()
}

func (s *supervisor) setPhase(p string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = p
}

// running returns the fleet, or an error while there is none.
func (s *supervisor) running() (*fleet.Fleet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != phaseReady {
		return nil, fmt.Errorf("the fleet is %s", s.phase)
	}
	return s.fleet, nil
}

func (s *supervisor) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /progress", s.progress.serve)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { reply(w, s.status(), nil) })
	mux.HandleFunc("POST /down", func(w http.ResponseWriter, _ *http.Request) {
		s.cancel() // the caller waits for the process to end
		reply(w, struct{}{}, nil)
	})
	mux.HandleFunc("POST /members", func(w http.ResponseWriter, r *http.Request) { reply(w, struct{}{}, s.addMember(r)) })
	mux.HandleFunc("POST /faults", func(w http.ResponseWriter, r *http.Request) { reply(w, struct{}{}, s.fault(r)) })
	return mux
}

// reply writes an answer, or an error for the control to show.
func reply(w http.ResponseWriter, answer any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusConflict)
		answer = failure{Error: err.Error()}
	}
	_ = json.NewEncoder(w).Encode(answer) // a caller that has left needs no answer
}

func (s *supervisor) addMember(r *http.Request) error {
	var m fleet.MemberConfig
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		return fmt.Errorf("reading a member: %w", err)
	}
	f, err := s.running()
	if err != nil {
		return err
	}
	if err := f.AddMember(r.Context(), m); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spec.Members = append(s.spec.Members, m)
	return nil
}

func (s *supervisor) fault(r *http.Request) error {
	var req faultRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return fmt.Errorf("reading a fault: %w", err)
	}
	f, err := s.running()
	if err != nil {
		return err
	}
	if c := f.Cluster(req.Name); c != nil {
		return clusterFault(r.Context(), c, req.Action)
	}
	if p := f.Process(req.Name); p != nil {
		return processFault(r.Context(), p, req.Action)
	}
	return fmt.Errorf("there is no cluster and no process called %s; see fleet status", req.Name)
}

func clusterFault(ctx context.Context, c *fleet.Cluster, action string) error {
	switch action {
	case "crash":
		return c.Crash()
	case "restart":
		return c.Restart(ctx)
	case "partition":
		c.Partition()
	case "heal":
		c.Heal()
	default:
		return fmt.Errorf("%s is nothing that can be done to a cluster", action)
	}
	return nil
}

func processFault(ctx context.Context, p *fleet.Process, action string) error {
	switch action {
	case "crash":
		return p.Kill()
	case "restart":
		return p.Restart(ctx)
	default:
		return fmt.Errorf("%s is a process: %s is for clusters", p.Name(), action)
	}
}

func (s *supervisor) status() status {
	s.mu.Lock()
	out := status{Phase: s.phase, Spec: s.spec}
	f := s.fleet
	s.mu.Unlock()
	if f == nil {
		return out
	}
	for _, c := range f.Clusters() {
		out.Clusters = append(out.Clusters, clusterStatus{
			Name: c.Name(), Mode: modeOf(c), Partitioned: c.Partitioned(), Pid: c.APIServer().Pid(),
			URL: c.URL(), Kubeconfig: c.Kubeconfig(),
		})
	}
	for _, p := range f.Processes() {
		out.Processes = append(out.Processes, processStatus{Name: p.Name(), Pid: p.Pid(), Log: p.LogPath()})
	}
	return out
}

func modeOf(c *fleet.Cluster) string {
	if c.Name() == fleet.HubName {
		return "-"
	}
	return string(c.Member().Mode)
}

// listen opens the socket, unless a supervisor answers there, and writes down
// where it is.
func (c *control) listen() (net.Listener, func(), error) {
	path, err := c.newSocketPath()
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, nil, fmt.Errorf("control socket: %w", err)
	}
	release := func() {
		_ = os.Remove(c.file(addressFile)) // without it, the next command asks in vain and says so
		c.removeSocket(path)
	}
	if err := c.write(addressFile, address{Pid: os.Getpid(), Socket: path}); err != nil {
		release()
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, release, nil
}

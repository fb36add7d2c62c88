package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/example/myapp-hub/test/bench/floor/plan"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var p plan.Plan
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		return fmt.Errorf("reading the plan: %w", err)
	}
	f := newFloor(p.Objects)
	hub, err := newHub(p.Hub, f)
	if err != nil {
		return err
	}
	f.hub = hub
	for _, c := range p.Members {
		m, err := newMember(c, f)
		if err != nil {
			return err
		}
		f.members[c.Name] = m
	}
	for _, m := range f.members {
		if err := m.start(ctx); err != nil {
			return err
		}
	}
	if err := hub.start(ctx); err != nil {
		return err
	}
	fmt.Println("ready")
	<-ctx.Done()
	return nil
}

// load reads a kubeconfig. Nothing is throttled, as in the hub.
func load(path string) (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	cfg.QPS = -1
	cfg.UserAgent = plan.Manager
	return cfg, nil
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// pprofAddress is where a hub that is profiled serves its profiles.
const pprofAddress = "127.0.0.1:16060"

// hubArgs are the hub's flags beyond those of every fleet.
func (o options) hubArgs() []string {
	if o.profile == 0 {
		return nil
	}
	return []string{"--pprof-bind-address=" + pprofAddress}
}

// hubEnv is the hub's environment beyond that of every process.
func (o options) hubEnv() []string {
	if o.hubMemory == "" {
		return nil
	}
	return []string{"GOMEMLIMIT=" + o.hubMemory}
}

// profiled takes a CPU profile of the hub from now on, if that is asked for. What it
// returns waits for its end.
func (w *world) profiled(ctx context.Context, name string) (wait func() error) {
	if w.profile == 0 {
		return func() error { return nil }
	}
	w.profiles++
	path := filepath.Join(w.out, fmt.Sprintf("%s-%d.cpu.pprof", name, w.profiles))
	done := make(chan error, 1)
	go func() { done <- download(ctx, w.profile, path) }()
	return func() error { return <-done }
}

func download(ctx context.Context, during time.Duration, path string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", pprofAddress, int(during.Seconds()))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("profiling the hub: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	profile, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, profile)
	}
	if err != nil {
		return fmt.Errorf("profiling the hub: %w", err)
	}
	return os.WriteFile(path, profile, 0o600)
}

// Command web is the app that the suite runs on real kubelets: a web server without
// anything to configure, and a client for it.
//
//	web            serves on port 8080: /ready for probes, everything else says hello
//	web get URL    prints what is there, once it is 200; fails if it is not within half a minute
//
// Built with the version "broken" it is never ready, as a release that does not work.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/example/myapp-hub/pkg/version"
)

const (
	port    = ":8080"
	broken  = "broken"
	timeout = 5 * time.Second

	// patience is how long the client tries, with pauses in between.
	patience = 30 * time.Second
	pause    = 250 * time.Millisecond
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := serve
	if len(os.Args) == 3 && os.Args[1] == "get" {
		run = func(ctx context.Context) error { return await(ctx, os.Args[2]) }
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

func serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if version.String() == broken {
			http.Error(w, "this version never is", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "hello from version %s\n", version.String()) // the client has gone
	})
	server := &http.Server{Addr: port, Handler: mux, ReadHeaderTimeout: timeout}
	go func() {
		<-ctx.Done()
		_ = server.Close() // what is under way is for tests only
	}()
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}

// await gets what is at a URL: name servers and node ports may lag behind a new Service.
func await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := get(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func get(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	_, err = fmt.Printf("%s", body)
	return err
}

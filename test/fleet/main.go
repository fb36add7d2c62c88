// Command fleet runs a hub and member clusters on this machine as plain
// processes, and breaks them on request.
//
//	go run ./test/fleet up --member eu-1=push --member us-1=pull
//	go run ./test/fleet status
//	go run ./test/fleet partition eu-1
//	go run ./test/fleet down
//
// What a fleet is made of is described in package fleet. A supervisor, detached
// from the terminal, owns the processes; the other commands talk to it over a
// unix socket in the fleet's directory.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var dir string
	root := &cobra.Command{
		Use:           "fleet",
		Short:         "Run a hub and its members on this machine, without containers",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&dir, "dir", ".fleet", "directory for everything the fleet writes")
	root.AddCommand(
		upCommand(&dir),
		downCommand(&dir),
		statusCommand(&dir),
		faultCommand(&dir, "crash", "Kill a cluster's API server (hub, a member) or a process (hub-controller, agent-NAME, ...)"),
		faultCommand(&dir, "restart", "Start what was crashed, and wait until it answers (a hub waits up to 15 s more for the lease of its predecessor)"),
		faultCommand(&dir, "partition", "Cut a cluster off from the hub and the agents: connections hang"),
		faultCommand(&dir, "heal", "End a partition"),
		logsCommand(&dir),
		buildCommand(),
		serveCommand(&dir),
	)
	return root
}

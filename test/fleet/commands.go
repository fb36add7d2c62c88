package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

func upCommand(dir *string) *cobra.Command {
	var members []string
	var s spec
	cmd := &cobra.Command{
		Use:     "up",
		Short:   "Bring a fleet up, or add members to the one that runs",
		Example: "  fleet up --member eu-1=push,region=eu --member us-1=pull,region=us",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, text := range members {
				m, err := parseMember(text)
				if err != nil {
					return err
				}
				s.Members = append(s.Members, m)
			}
			c, err := newControl(*dir)
			if err != nil {
				return err
			}
			return up(cmd.Context(), c, s, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringArrayVar(&members, "member", nil, "NAME=push|pull[,LABEL=VALUE...]; may be repeated")
	cmd.Flags().BoolVar(&s.NoControllers, "no-controllers", false, "start neither the hub's controllers nor the agents")
	cmd.Flags().StringVar(&s.DeployDir, "deploy-dir", "", "directory with crds/ and rbac/ (default: deploy/ of the repository)")
	cmd.Flags().BoolVar(&s.Fsync, "fsync", false, "let etcd write through to the disk")
	return cmd
}

func downCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop everything; the logs stay",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newControl(*dir)
			if err != nil {
				return err
			}
			return c.down(cmd.Context(), cmd.OutOrStdout())
		},
	}
}

func statusCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show clusters and processes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newControl(*dir)
			if err != nil {
				return err
			}
			st, err := c.status(cmd.Context())
			if err != nil {
				return err
			}
			return st.print(cmd.OutOrStdout())
		},
	}
}

func faultCommand(dir *string, action, short string) *cobra.Command {
	return &cobra.Command{
		Use:   action + " NAME",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newControl(*dir)
			if err != nil {
				return err
			}
			if err := c.fault(cmd.Context(), action, args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s: done\n", action, args[0])
			return err
		},
	}
}

func logsCommand(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "logs NAME",
		Short: "Print the path of a process's log; of a cluster, its API server's",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := logOf(*dir, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), path)
			return err
		},
	}
}

// logOf finds a log whether the fleet runs or not.
func logOf(dir, name string) (string, error) {
	logs := filepath.Join(dir, "logs")
	for _, file := range []string{name + ".log", name + "-apiserver.log"} {
		if path := filepath.Join(logs, filepath.Base(file)); fileExists(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s has no log in %s", name, logs)
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func buildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "build",
		Short: "Build the control plane's binaries into bin/ (ten minutes the first time)",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return build(cmd.Context(), cmd.OutOrStdout()) },
	}
}

func build(ctx context.Context, out io.Writer) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	root, err := fleet.FindRoot(wd)
	if err != nil {
		return err
	}
	return fleet.Binaries{Root: root, Dir: filepath.Join(root, "bin"), Progress: out}.Build(ctx)
}

func (s status) print(out io.Writer) error {
	if s.Phase != phaseReady {
		if _, err := fmt.Fprintf(out, "The fleet is %s.\n\n", s.Phase); err != nil {
			return err
		}
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	row := func(format string, args ...any) { _, _ = fmt.Fprintf(table, format+"\n", args...) } // Flush says what failed
	row("CLUSTER\tMODE\tAPI SERVER\tPARTITIONED\tPID\tURL\tKUBECONFIG")
	for _, c := range s.Clusters {
		row("%s\t%s\t%s\t%t\t%s\t%s\t%s", c.Name, c.Mode, state(c.Pid), c.Partitioned, number(c.Pid), c.URL, c.Kubeconfig)
	}
	row("")
	row("PROCESS\tSTATE\tPID\tLOG")
	for _, p := range s.Processes {
		row("%s\t%s\t%s\t%s", p.Name, state(p.Pid), number(p.Pid), p.Log)
	}
	return table.Flush()
}

func state(pid int) string {
	if pid == 0 {
		return "down"
	}
	return "running"
}

func number(pid int) string {
	if pid == 0 {
		return "-"
	}
	return fmt.Sprint(pid)
}

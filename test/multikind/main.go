// Command multikind starts a hub and its members as kind clusters, for work by hand, and
// takes them down:
//
//	go run ./test/multikind up --member eu-1=push,region=eu --member us-1=pull,region=us
//	go run ./test/multikind down
//
// The tests beside it make a fleet of their own. Package kindfleet says what is needed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/fleet/fleet"
	"github.com/example/myapp-hub/test/multikind/kindfleet"
)

// stateDir is where the fleet for work by hand keeps its files, in the repository.
const stateDir = ".multikind"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || args[0] != "up" && args[0] != "down" {
		return fmt.Errorf("say up or down")
	}
	var members memberFlags
	flags := flag.NewFlagSet("multikind "+args[0], flag.ContinueOnError)
	flags.Var(&members, "member", "NAME=push|pull[,LABEL=VALUE...]; repeat it for more")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if len(members) == 0 {
		members = memberFlags{{Name: "eu-1", Mode: v1.ModePush}, {Name: "us-1", Mode: v1.ModePull}}
	}
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	root, err := fleet.FindRoot(wd)
	if err != nil {
		return err
	}
	cfg := kindfleet.Config{
		Root: root, Dir: filepath.Join(root, stateDir), Members: members,
		NodeImage: kindfleet.NodeImage(), Progress: os.Stdout,
	}
	if args[0] == "down" {
		if err := kindfleet.Down(ctx, os.Stdout); err != nil {
			return err
		}
		return os.RemoveAll(cfg.Dir)
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return err
	}
	f, err := kindfleet.Up(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Printf("\nThe hub:   export KUBECONFIG=%s\nA member:  kubectl --kubeconfig %s get pods -A\nThe end:   make multikind-down\n",
		f.Kubeconfig(fleet.HubName), f.Kubeconfig(members[0].Name))
	return nil
}

// memberFlags are the members that flags name.
type memberFlags []kindfleet.Member

// String implements flag.Value.
func (m *memberFlags) String() string { return fmt.Sprint(len(*m), " members") }

// Set implements flag.Value.
func (m *memberFlags) Set(text string) error {
	name, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ",")
	mode := map[string]v1.Mode{"push": v1.ModePush, "pull": v1.ModePull}[parts[0]]
	if !ok || name == "" || mode == "" {
		return fmt.Errorf("%q is not NAME=push|pull[,LABEL=VALUE...]", text)
	}
	member := kindfleet.Member{Name: name, Mode: mode, Labels: map[string]string{}}
	for _, label := range parts[1:] {
		key, value, ok := strings.Cut(label, "=")
		if !ok {
			return fmt.Errorf("%q in %q is not LABEL=VALUE", label, text)
		}
		member.Labels[key] = value
	}
	*m = append(*m, member)
	return nil
}

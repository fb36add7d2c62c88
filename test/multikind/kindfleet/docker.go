package kindfleet

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

const (
	// network is that of all nodes. It has addresses of version 4 only, from a range of its
	// own, so that a node that is cut off has no second way and can come back as it was.
	network = "myapp-multikind"
	subnet  = "172.31.240.0/20"

	// networkVariable tells kind which network to use.
	networkVariable = "KIND_EXPERIMENTAL_DOCKER_NETWORK"
)

// ErrNoDocker says that there is nothing to run clusters on.
var ErrNoDocker = errors.New(`no Docker daemon answers: start one and make sure that this user may use it ("docker info").
Without a registry, test/multikind/offline/README.md says how to get everything`)

// docker is the Docker command line.
type docker struct{}

func (docker) run(ctx context.Context, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, "docker", args...)) //nolint:gosec // names are the fleet's own
}

func (d docker) check(ctx context.Context) error {
	if _, err := d.run(ctx, "info", "--format", "{{.ServerVersion}}"); err != nil {
		return fmt.Errorf("%w: %w", ErrNoDocker, err)
	}
	return nil
}

func (d docker) createNetwork(ctx context.Context) error {
	if _, err := d.run(ctx, "network", "inspect", network); err == nil {
		return nil
	}
	_, err := d.run(ctx, "network", "create", "--driver=bridge", "--subnet="+subnet, "--opt=com.docker.network.bridge.enable_ip_masquerade=true", network)
	return err
}

func (d docker) removeNetwork(ctx context.Context) error {
	if _, err := d.run(ctx, "network", "inspect", network); err != nil {
		return nil //nolint:nilerr // there is none
	}
	_, err := d.run(ctx, "network", "rm", network)
	return err
}

// left are the containers and networks of fleets.
func (d docker) left(ctx context.Context) ([]string, error) {
	containers, err := d.run(ctx, "ps", "--all", "--filter=name=^"+Prefix, "--format={{.Names}}")
	if err != nil {
		return nil, err
	}
	networks, err := d.run(ctx, "network", "ls", "--filter=name=^"+network+"$", "--format={{.Name}}")
	return append(strings.Fields(containers), strings.Fields(networks)...), err
}

// revive makes a node that is paused one that can be deleted.
func (d docker) revive(ctx context.Context, node string) {
	_, _ = d.run(ctx, "unpause", node) // it is not paused, or not there
}

// output runs a command, and says what it printed if it fails.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

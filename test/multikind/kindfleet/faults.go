package kindfleet

import (
	"context"
	"fmt"
	"strings"
)

// Fault is something that happens to the node of a cluster, and its end.
type Fault struct {
	Name       string
	begin, end func(ctx context.Context, d docker, node string) error
}

// Faults that a machine has: it hangs, its cable is pulled out, it loses power.
func Faults() []Fault {
	var address string
	return []Fault{
		{
			Name:  "Pause",
			begin: func(ctx context.Context, d docker, node string) error { return d.do(ctx, "pause", node) },
			end:   func(ctx context.Context, d docker, node string) error { return d.do(ctx, "unpause", node) },
		},
		{
			Name: "Disconnect",
			begin: func(ctx context.Context, d docker, node string) (err error) {
				if address, err = d.address(ctx, node); err != nil {
					return err
				}
				return d.do(ctx, "network", "disconnect", network, node)
			},
			// With the address from before: the control plane's parts know each other by it.
			end: func(ctx context.Context, d docker, node string) error {
				return d.do(ctx, "network", "connect", "--ip="+address, network, node)
			},
		},
		{
			Name:  "Kill",
			begin: func(ctx context.Context, d docker, node string) error { return d.do(ctx, "kill", node) },
			end:   func(ctx context.Context, d docker, node string) error { return d.do(ctx, "start", node) },
		},
	}
}

func (d docker) do(ctx context.Context, args ...string) error {
	_, err := d.run(ctx, args...)
	return err
}

// address is that of a node in the fleet's network.
func (d docker) address(ctx context.Context, node string) (string, error) {
	out, err := d.run(ctx, "inspect", "--format", fmt.Sprintf(`{{(index .NetworkSettings.Networks %q).IPAddress}}`, network), node)
	return strings.TrimSpace(out), err
}

// Begin has a fault happen to a cluster.
func (f *Fleet) Begin(ctx context.Context, cluster string, fault Fault) error {
	return fault.begin(ctx, f.docker, node(cluster))
}

// End ends it.
func (f *Fleet) End(ctx context.Context, cluster string, fault Fault) error {
	return fault.end(ctx, f.docker, node(cluster))
}

// RestartNode restarts the node of a cluster in order, as for an update of its system.
func (f *Fleet) RestartNode(ctx context.Context, cluster string) error {
	return f.docker.do(ctx, "restart", "--time=30", node(cluster))
}

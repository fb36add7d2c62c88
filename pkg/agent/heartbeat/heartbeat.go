// Package heartbeat says that an agent lives and that its own cluster answers:
// it renews the Lease in the mailbox, after a request to the own cluster has
// succeeded. Whoever watches the Lease so learns of both.
package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	v1 "github.com/example/myapp-hub/api/v1"
)

const timeout = 5 * time.Second

// Heartbeat renews the Lease of an agent.
type Heartbeat struct {
	hub   client.Client
	key   client.ObjectKey
	local discovery.DiscoveryInterface
	log   logr.Logger
	// unreported is true while the hub lacks a report.
	unreported func() bool
	// alive is true while heartbeats succeed.
	alive atomic.Bool
}

// New makes the heartbeat of a member's agent. There is none while unreported
// says that the hub lacks a report: what it knows would pass for fresh.
func New(hub client.Client, member string, local cluster.Cluster, unreported func() bool, log logr.Logger) (*Heartbeat, error) {
	d, err := discovery.NewDiscoveryClientForConfigAndClient(local.GetConfig(), local.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a discovery client for the own cluster: %w", err)
	}
	return &Heartbeat{
		hub: hub, local: d, log: log, unreported: unreported,
		key: client.ObjectKey{Namespace: v1.MailboxNamespace(member), Name: v1.AgentLease},
	}, nil
}

// Start beats until ctx ends.
func (h *Heartbeat) Start(ctx context.Context) error {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := h.beat(ctx)
		if was := h.alive.Swap(err == nil); err != nil && (was || h.log.V(1).Enabled()) && ctx.Err() == nil {
			h.log.Error(err, "Heartbeat failed; trying again", "every", v1.HeartbeatInterval.String())
		}
	}, v1.HeartbeatInterval)
	return nil
}

// Check is a readiness check: the last heartbeat succeeded.
func (h *Heartbeat) Check(*http.Request) error {
	if !h.alive.Load() {
		return errors.New("the last heartbeat did not succeed")
	}
	return nil
}

func (h *Heartbeat) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if h.unreported() {
		return errors.New("the hub could not be reached for a report, which comes first")
	}
	if err := h.local.RESTClient().Get().AbsPath("/version").Do(ctx).Error(); err != nil {
		return fmt.Errorf("asking the own cluster: %w", err)
	}
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.key.Namespace, Name: h.key.Name},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       ptr.To(v1.AgentServiceAccount),
			LeaseDurationSeconds: ptr.To(int32(v1.HeartbeatDuration / time.Second)),
			RenewTime:            ptr.To(metav1.NowMicro()),
		},
	}
	base := &coordinationv1.Lease{ObjectMeta: lease.ObjectMeta}
	err := h.hub.Patch(ctx, lease.DeepCopy(), client.MergeFrom(base))
	if apierrors.IsNotFound(err) {
		err = h.hub.Create(ctx, lease)
	}
	if err != nil {
		return fmt.Errorf("renewing Lease %s on the hub: %w", h.key, err)
	}
	return nil
}

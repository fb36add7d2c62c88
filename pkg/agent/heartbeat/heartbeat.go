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
	"k8s.io/client-go/discovery"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	v1 "github.com/example/myapp-hub/api/v1"
)

const (
	timeout = 5 * time.Second
	// retry is when a heartbeat that failed is tried again.
	retry = 5 * time.Second
)

// Options are what a heartbeat needs to know. All are required but Log.
type Options struct {
	// Hub writes the Lease in the mailbox of Member. Holder is written into it: the
	// credential by which the hub knows the agent.
	Hub            client.Client
	Member, Holder string
	// Local is the own cluster, which has to answer.
	Local cluster.Cluster
	// Interval is the time between two renewals.
	Interval time.Duration
	// Unreported is true while the hub lacks a report: what it knows would pass for
	// fresh, so there is no renewal.
	Unreported func() bool
	// WentBack tells by the version of a renewal whether the hub has gone back in time.
	WentBack func(ctx context.Context, version string) (bool, error)
	Log      logr.Logger
}

// Heartbeat renews the Lease of an agent.
type Heartbeat struct {
	Options
	key   client.ObjectKey
	local discovery.DiscoveryInterface
	// alive is true while heartbeats succeed.
	alive atomic.Bool
}

// New makes the heartbeat of a member's agent.
func New(o Options) (*Heartbeat, error) {
	d, err := discovery.NewDiscoveryClientForConfigAndClient(o.Local.GetConfig(), o.Local.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making a discovery client for the own cluster: %w", err)
	}
	return &Heartbeat{Options: o, local: d, key: client.ObjectKey{Namespace: v1.MailboxNamespace(o.Member), Name: v1.AgentLease}}, nil
}

// errWentBack says that the hub gives out versions that it has given out before.
var errWentBack = errors.New("the hub was restored from a backup: what this agent has read of the mailbox is from another time, and it has to start afresh")

// Start beats until ctx ends. It fails when the hub has gone back in time: a
// cache that resumes its watches would miss what the hub says from now on.
func (h *Heartbeat) Start(ctx context.Context) error {
	for next := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(next):
		}
		began, was := time.Now(), h.alive.Load()
		err := h.Beat(ctx)
		if errors.Is(err, errWentBack) {
			return err
		}
		next = h.Interval
		if err != nil {
			next = min(retry, h.Interval)
		}
		next -= time.Since(began)
		if err != nil && (was || h.Log.V(1).Enabled()) && ctx.Err() == nil {
			h.Log.Error(err, "Heartbeat failed; trying again", "every", retry.String())
		}
	}
}

// Check is a readiness check: the last heartbeat succeeded.
func (h *Heartbeat) Check(*http.Request) error {
	if !h.alive.Load() {
		return errors.New("the last heartbeat did not succeed")
	}
	return nil
}

// Beat renews the Lease once, if there is no reason not to.
func (h *Heartbeat) Beat(ctx context.Context) error {
	err := h.renew(ctx)
	h.alive.Store(err == nil)
	return err
}

func (h *Heartbeat) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if h.Unreported() {
		return errors.New("the hub could not be reached for a report, which comes first")
	}
	if err := h.local.RESTClient().Get().AbsPath("/version").Do(ctx).Error(); err != nil {
		return fmt.Errorf("asking the own cluster: %w", err)
	}
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.key.Namespace, Name: h.key.Name},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       ptr.To(h.Holder),
			LeaseDurationSeconds: ptr.To(int32(v1.HeartbeatDuration(h.Interval) / time.Second)),
			RenewTime:            ptr.To(metav1.NowMicro()),
		},
	}
	base := &coordinationv1.Lease{ObjectMeta: lease.ObjectMeta}
	renewed := lease.DeepCopy()
	err := h.Hub.Patch(ctx, renewed, client.MergeFrom(base))
	if apierrors.IsNotFound(err) {
		renewed = lease
		err = h.Hub.Create(ctx, renewed)
	}
	if err != nil {
		return fmt.Errorf("renewing Lease %s on the hub: %w", h.key, err)
	}
	if back, err := h.WentBack(ctx, renewed.ResourceVersion); err != nil || !back {
		return err
	}
	return errWentBack
}

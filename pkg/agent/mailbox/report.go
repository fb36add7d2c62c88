package mailbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/facts"
)

const (
	// reportTimeout bounds one attempt to write the MemberReport.
	reportTimeout = 5 * time.Second
	// reportRetry is when one that failed is tried again, and longestRetry how long that
	// wait grows: a hub of an earlier version has no MemberReports.
	reportRetry  = 10 * time.Second
	longestRetry = 5 * time.Minute
)

// MemberReport keeps what the hub is told of the agent's cluster, in the mailbox.
type MemberReport struct {
	// Live reads the mailbox, past any cache, and Hub writes it.
	Live client.Reader
	Hub  client.Client
	// Member is whose mailbox it is.
	Member string
	Log    logr.Logger

	mu   sync.Mutex
	news *v1.MemberReportSpec // what is to be written; nil for nothing
	poke chan struct{}
}

// NewMemberReport returns a MemberReport that has nothing to say yet.
func NewMemberReport(live client.Reader, hub client.Client, member string, log logr.Logger) *MemberReport {
	return &MemberReport{Live: live, Hub: hub, Member: member, Log: log, poke: make(chan struct{}, 1)}
}

// Report has the facts written, with exact amounts. What was to be written before is not.
// It never blocks.
func (r *MemberReport) Report(measured v1.MemberReportSpec) {
	r.mu.Lock()
	r.news = &measured
	r.mu.Unlock()
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// Start writes until ctx ends.
func (r *MemberReport) Start(ctx context.Context) error {
	for wait := reportRetry; ; {
		var again <-chan time.Time
		if err := r.write(ctx); err != nil && ctx.Err() == nil {
			if wait == reportRetry {
				r.Log.Error(err, "The hub could not be told of this cluster; trying again")
			}
			again = time.After(wait)
			wait = min(2*wait, longestRetry)
		} else {
			wait = reportRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.poke:
		case <-again:
		}
	}
}

// write makes the MemberReport say what is known, and makes no request if that is nothing
// new to the agent.
func (r *MemberReport) write(ctx context.Context) error {
	r.mu.Lock()
	news := r.news
	r.mu.Unlock()
	if news == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	if err := r.put(ctx, *news); err != nil {
		return err
	}
	r.mu.Lock()
	if r.news == news {
		r.news = nil
	}
	r.mu.Unlock()
	return nil
}

// put reads first: what is there decides how amounts are rounded, and a hub that was
// restored has something older.
func (r *MemberReport) put(ctx context.Context, measured v1.MemberReportSpec) error {
	there := &v1.MemberReport{}
	key := client.ObjectKey{Namespace: v1.MailboxNamespace(r.Member), Name: v1.AgentReport}
	err := r.Live.Get(ctx, key, there)
	if apierrors.IsNotFound(err) {
		made := &v1.MemberReport{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Spec: facts.Next(v1.MemberReportSpec{}, measured)}
		if err := r.Hub.Create(ctx, made); err != nil {
			return fmt.Errorf("creating MemberReport %s on the hub: %w", key, err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading MemberReport %s on the hub: %w", key, err)
	}
	changed := there.DeepCopy()
	if changed.Spec = facts.Next(there.Spec, measured); facts.Equal(there.Spec, changed.Spec) {
		return nil
	}
	if err := r.Hub.Patch(ctx, changed, client.MergeFrom(there)); err != nil {
		return fmt.Errorf("writing MemberReport %s on the hub: %w", key, err)
	}
	return nil
}

package members

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
)

// heartbeat is what the hub has seen of a Pull member's Lease. Clocks of
// members are not trusted: what counts is when a change of renewTime was seen,
// by the hub's clock, as in leader election.
type heartbeat struct {
	// since is when the silence began: at the first look or the last renewal seen.
	since time.Time
	// heard is the last renewal that was seen to happen; zero before the first.
	heard time.Time
	// renewal is the last renewTime seen, by the member's clock; zero for none.
	renewal time.Time
	// holds is how long a renewal holds, as the Lease says; zero for what is usual.
	holds time.Duration
	// holder is the credential that the agent has renewed with, as the Lease says.
	holder string
}

// duration is how long a renewal holds.
func (h heartbeat) duration() time.Duration {
	if h.holds > 0 {
		return min(h.holds, v1.LongestHeartbeat)
	}
	return v1.HeartbeatDuration(v1.HeartbeatInterval)
}

// observe takes in the Lease, which is nil when there is none.
//
// The first look is no renewal, the agent may have been dead for days; but a
// Lease that appears after a look without one is.
func (h heartbeat) observe(lease *coordinationv1.Lease, now time.Time) heartbeat {
	renewal := time.Time{}
	if lease != nil && lease.Spec.RenewTime != nil {
		renewal = lease.Spec.RenewTime.Time
	}
	if lease != nil && lease.Spec.LeaseDurationSeconds != nil {
		h.holds = time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
	}
	h.holder = ""
	if lease != nil {
		h.holder = ptr.Deref(lease.Spec.HolderIdentity, "")
	}
	switch {
	case h.since.IsZero():
		return heartbeat{since: now, renewal: renewal, holds: h.holds, holder: h.holder}
	case renewal.IsZero() || renewal.Equal(h.renewal):
		return h
	}
	return heartbeat{since: now, heard: now, renewal: renewal, holds: h.holds, holder: h.holder}
}

// lastHeard is when the agent was last heard of, zero when never. Before a
// renewal was seen it is what the Lease says, but never the future.
func (h heartbeat) lastHeard(now time.Time) time.Time {
	if !h.heard.IsZero() {
		return h.heard
	}
	if h.renewal.After(now) {
		return now
	}
	return h.renewal
}

// decide says how the member is doing, and when to look again (0: on the next
// event only). persisted is the Ready condition as it is, or nil.
//
//	renewed while the last one held     True
//	silent for longer                   Unknown, HeartbeatMissing
//	seen, no renewal yet (restart)      as it is, for as long after the first look
//	the same, was not served before     Unknown, AwaitingAgent
//	no Lease, was never ready           Unknown, AwaitingAgent
//	no Lease, was ready                 as "seen, no renewal yet"
func (h heartbeat) decide(member string, persisted *metav1.Condition, now time.Time) (*metav1.Condition, time.Duration) {
	left := h.since.Add(h.duration()).Sub(now)
	switch {
	case h.heard.IsZero() && h.renewal.IsZero() && !hadAgent(persisted):
		return condition(metav1.ConditionUnknown, v1.ReasonAwaitingAgent,
			"The agent has not reported yet: run kubectl myapp token create "+member+" on the hub, and kubectl myapp join with what it prints on the cluster."), 0
	case left <= 0:
		return condition(metav1.ConditionUnknown, v1.ReasonHeartbeatMissing,
			"The agent has not renewed its Lease for "+h.duration().String()+": check the agent on the cluster, its way to the hub, and that the cluster's own API server answers it."), 0
	case h.heard.IsZero() && wasNotServed(persisted):
		// What is recorded was true before somebody accepted it while no hub was running.
		return condition(metav1.ConditionUnknown, v1.ReasonAwaitingAgent, "The hub has not seen a sign of life of the agent since the member is served."), left
	case h.heard.IsZero():
		return nil, left
	}
	return condition(metav1.ConditionTrue, v1.ReasonConnected, "The member answers."), left
}

func hadAgent(persisted *metav1.Condition) bool {
	return persisted != nil && (persisted.Status == metav1.ConditionTrue || persisted.Reason == v1.ReasonHeartbeatMissing)
}

// wasNotServed is true if Ready says that the hub has nothing to do with the member.
func wasNotServed(persisted *metav1.Condition) bool {
	return persisted != nil && (persisted.Reason == v1.ReasonNotAccepted || persisted.Reason == v1.ReasonMemberLeaving)
}

func condition(status metav1.ConditionStatus, reason, message string) *metav1.Condition {
	return conditionOf(v1.ConditionReady, status, reason, message)
}

func conditionOf(kind string, status metav1.ConditionStatus, reason, message string) *metav1.Condition {
	return &metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

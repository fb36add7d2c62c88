package members

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/facts"
)

// longestGap bounds the least time between two writes of what is known of a member's
// cluster. An agent that reports more often is not listened to more often.
const longestGap = 10 * time.Second

func (r *reconciler) factsGap() time.Duration {
	if interval := r.provider.options.FactsInterval; interval > 0 {
		return min(interval, longestGap)
	}
	return longestGap
}

// observeReport is what the agent of a Pull member says of its cluster; nil if it has
// said nothing.
func (r *reconciler) observeReport(ctx context.Context, member string) (*v1.MemberReportSpec, error) {
	report := &v1.MemberReport{}
	key := client.ObjectKey{Namespace: v1.MailboxNamespace(member), Name: v1.AgentReport}
	if err := r.reader.Get(ctx, key, report); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading MemberReport %s of member %s: %w", key, member, err)
	}
	return &report.Spec, nil
}

// factsOf are those in a status.
func factsOf(status v1.MemberClusterStatus) v1.MemberReportSpec {
	known := v1.MemberReportSpec{KubernetesVersion: status.KubernetesVersion, Capacity: status.Capacity, APIs: status.APIs}
	if c := meta.FindStatusCondition(status.Conditions, v1.ConditionCapacityKnown); c != nil && c.Status == metav1.ConditionFalse {
		known.CapacityUnknown = v1.CapacityUnknown(c.Reason)
	}
	return known
}

// decideFacts is what is to be known of the cluster from now on, nil for what is known
// already. What an agent reports it has rounded itself, by what it reported before.
func decideFacts(seen observed) *v1.MemberReportSpec {
	if seen.facts == nil || !seen.member.IsServed() || seen.mailbox != nil && seen.mailbox.conflict {
		return nil
	}
	last := factsOf(seen.member.Status)
	next := facts.Next(last, *seen.facts)
	if seen.member.Spec.Mode == v1.ModePull {
		next.Capacity = facts.Bounded(*seen.facts).Capacity
	}
	if next.Capacity == nil && next.CapacityUnknown == "" {
		next.CapacityUnknown = v1.CapacityUnreadable // it has to be one of them
	}
	if facts.Equal(last, next) && meta.FindStatusCondition(seen.member.Status.Conditions, v1.ConditionCapacityKnown) != nil {
		return nil
	}
	return &next
}

// postponeFacts leaves out what is known of the cluster if it is too early, for so long, to
// write that again. All else is written.
func postponeFacts(plan decision, early time.Duration) decision {
	if plan.facts == nil || early <= 0 {
		return plan
	}
	plan.facts = nil
	if plan.wake == 0 || early < plan.wake {
		plan.wake = early
	}
	return plan
}

// withFacts is pure.
func withFacts(status v1.MemberClusterStatus, plan decision, member *v1.MemberCluster, now time.Time) v1.MemberClusterStatus {
	if plan.facts == nil {
		return status
	}
	status.KubernetesVersion, status.Capacity, status.APIs = plan.facts.KubernetesVersion, plan.facts.Capacity, plan.facts.APIs
	is := capacityCondition(plan.facts, member.Spec.Mode)
	is.ObservedGeneration = member.Generation
	is.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
	meta.SetStatusCondition(&status.Conditions, *is)
	return status
}

// capacityCondition says whether the capacity is known, or why not and what to do.
func capacityCondition(known *v1.MemberReportSpec, mode v1.Mode) *metav1.Condition {
	if known.Capacity != nil {
		return conditionOf(v1.ConditionCapacityKnown, metav1.ConditionTrue, v1.ReasonMeasured, "Nodes and pods of the cluster are counted.")
	}
	account, file := "The hub's account", "member-push.yaml"
	if mode == v1.ModePull {
		account, file = "The agent's account", "member-pull.yaml"
	}
	message := "Nodes or pods of the cluster cannot be read: the log of the hub, or of the agent of a Pull member, has the reason."
	switch known.CapacityUnknown {
	case v1.CapacityNamespaced:
		message = "The member is one namespace of its cluster, whose nodes are not its own."
	case v1.CapacityNoNodes:
		message = "The cluster has no nodes now. That does not keep apps away: it may get some when there are pods."
	case v1.CapacityForbidden:
		message = account + " on the cluster may not list and watch its nodes and pods. If apps are to be placed by capacity, grant the rule for pods and nodes in deploy/rbac/" + file + ", or let the cluster join again; else nothing is to be done."
	}
	return conditionOf(v1.ConditionCapacityKnown, metav1.ConditionFalse, string(known.CapacityUnknown), message)
}

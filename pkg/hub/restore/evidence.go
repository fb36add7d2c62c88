package restore

import (
	"fmt"

	v1 "github.com/example/myapp-hub/api/v1"
)

// longestEvidence is how much of what was found is told, in characters: what to do
// must fit into a condition after it, and an agent may report anything.
const longestEvidence = 400

// message is what a person reads: what was found, what that means, what to do and
// what it costs.
func message(namespace, evidence string) string {
	if runes := []rune(evidence); len(runes) > longestEvidence {
		evidence = string(runes[:longestEvidence-1]) + "…"
	}
	return evidence + ". The hub is older than its members, as after a restore from a backup: nothing is changed on any member. " +
		"Restore a newer backup, or let what the hub has now become the truth, which undoes what was done since: " +
		fmt.Sprintf("kubectl -n %s annotate configmap %s %s=true", namespace, v1.HubIdentity, v1.AnnotationRelease)
}

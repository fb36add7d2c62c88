package v1

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/types"
)

// Marks that the hub puts on objects. Identity is always compared by equality
// of hub ID and app UID, never by name or prefix.
const (
	// LabelManagedBy is the well-known label of what an object is managed by.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy on everything the hub makes.
	ManagedBy = "myapp-hub"
	// LabelApp is the name of the MyApp; on objects, pods and in selectors.
	LabelApp = "example.com/app"
	// LabelAppNamespace is the namespace of the MyApp; only on namespaced members,
	// where objects, pods and selectors need it to be told apart.
	LabelAppNamespace = "example.com/app-namespace"
	// LabelHubID is the identity of the hub that placed the object.
	LabelHubID = "example.com/hub-id"
	// LabelMember is the MemberCluster the object belongs to.
	LabelMember = "example.com/member"
	// LabelAppUID is the UID of the MyApp the object belongs to.
	LabelAppUID = "example.com/app-uid"

	// AnnotationContentHash is the hash of the object as it was applied.
	AnnotationContentHash = "example.com/content-hash"
	// AnnotationAppGeneration is the generation of the MyApp when the object was last written.
	AnnotationAppGeneration = "example.com/app-generation"

	// AnnotationAppSpecHash is the hash of the MyApp's spec at that generation.
	AnnotationAppSpecHash = "example.com/app-spec-hash"
	// AnnotationHubEpoch is the hub's epoch when the object was last written.
	AnnotationHubEpoch = "example.com/hub-epoch"
	// AnnotationHubVersion is the resourceVersion of the MyApp when the object
	// was last written: the hub had got that far.
	AnnotationHubVersion = "example.com/hub-version"
	// AnnotationKeptReplicas is on a Deployment that was written with the number of
	// replicas that it had, not with that of its content hash.
	AnnotationKeptReplicas = "example.com/kept-replicas"
	// AnnotationConfigHash is the hash of spec.config, on pods.
	AnnotationConfigHash = "example.com/config-hash"

	// LabelPropagate with the value "true" lets a Secret on the hub be copied to
	// members by apps in its namespace.
	LabelPropagate = "example.com/propagate"

	// AnnotationForceRemove on a MyApp that is being deleted names members, with
	// commas between them, that are not waited for any longer. What is left of
	// the app on them is left there.
	AnnotationForceRemove = "example.com/force-remove"
	// AnnotationAcknowledgedPlan on a MyApp is the plan that a person has acknowledged: the
	// one that its condition Held names.
	AnnotationAcknowledgedPlan = "example.com/acknowledged-plan"
	// AnnotationRolloutAnswers on a MyApp are a person's answers to its rollout, with commas
	// between them: each is one that status.rollout.asks names, or promote-HASH as
	// kubectl myapp rollout promote writes it: it skips the soak, gates and approval of a step.
	AnnotationRolloutAnswers = "example.com/rollout-answers"
	// AnnotationRelease with the value "true" on the hub's identity, a ConfigMap,
	// releases a hub that holds: what it has then is what members are to have.
	AnnotationRelease = "example.com/release"

	// Finalizer keeps a MyApp until every member has confirmed its removal.
	Finalizer = "example.com/placed-on-members"

	// FieldManager is the field manager of everything that is applied to members.
	FieldManager = "myapp-hub"

	// MailboxPrefix and a member's name make the name of its mailbox namespace.
	MailboxPrefix = "member-"
	// AgentServiceAccount is the ServiceAccount of a member's agent in its mailbox.
	AgentServiceAccount = "agent"
	// JoinServiceAccount is the account in a mailbox that a cluster joins with.
	JoinServiceAccount = "join"
	// JoinSecret is the Secret in a mailbox that a join token is bound to. Deleting it
	// is the end of the token.
	JoinSecret = "join"
	// CredentialSecret is the Secret in a mailbox that the agent's tokens are bound to.
	// Whoever made it has the mailbox; deleting it is the end of all of them.
	CredentialSecret = "credential"
	// AnnotationJoinToken on the namespace of a mailbox is the ID of the join token that
	// counts. Without it none does.
	AnnotationJoinToken = "example.com/join-token-id"
	// AnnotationAudiences on the namespace of a mailbox are the audiences that the
	// agent's tokens may be for, with commas between them.
	AnnotationAudiences = "example.com/token-audiences"
	// AgentBaseClusterRole is the ClusterRole on the hub that every agent has in its
	// mailbox, accepted or not.
	AgentBaseClusterRole = "myapp-hub-agent-base"
	// AgentBaseBinding is the name of its RoleBinding.
	AgentBaseBinding = "agent-base"
	// HubIdentity is the ConfigMap in the hub's namespace with the hub's identity on
	// members, and HubIdentityKey the key of its ID there.
	HubIdentity    = "hub-identity"
	HubIdentityKey = "hubID"
	// HubConfigMap in the hub's namespace says how agents reach the hub; in a mailbox
	// it is a copy for the agent.
	HubConfigMap = "hub-endpoint"
	// HubServer and HubCA are its keys: the URL of the hub's API server, and the
	// certificates of the authorities that it is verified with, in PEM form.
	HubServer = "server"
	// HubCA is described at HubServer.
	HubCA = "ca.crt"
	// AgentLease is the Lease in the mailbox that the agent renews.
	AgentLease = "agent"
	// AgentReport is the MemberReport in the mailbox in which the agent describes its cluster.
	AgentReport = "agent"
	// FactsInterval is by default the least time between two reports of what changes on a
	// member's cluster.
	FactsInterval = 30 * time.Second
	// HeartbeatInterval is the time between two renewals of the Lease by default.
	HeartbeatInterval = 40 * time.Second
	// AgentTokenLife is the life of an agent's token. The hub's admission policies admit
	// no longer one.
	AgentTokenLife = time.Hour
	// LongestHeartbeat is how long a renewal holds at the most, whatever the Lease
	// says.
	LongestHeartbeat = 2 * time.Minute
	// AgentClusterRole is the ClusterRole on the hub that is bound in the mailbox of each
	// member that is accepted.
	AgentClusterRole = "myapp-hub-agent"
	// JoinClusterRole is the ClusterRole on the hub that is bound to JoinServiceAccount
	// in each mailbox.
	JoinClusterRole = "myapp-hub-join"
	// HubMailboxRole is the ClusterRole that the hub binds to itself in each
	// mailbox, to write Secrets there.
	HubMailboxRole = "myapp-hub-mailbox"
)

// MailboxNamespace is the namespace on the hub that holds a member's Works.
func MailboxNamespace(member string) string { return MailboxPrefix + member }

// WorkName is the name of the Work of an app. The UID is part of it: an app
// that was deleted and made again has another Work.
func WorkName(namespace, name string, uid types.UID) string {
	sum := sha256.Sum256([]byte(namespace + "/" + name + "/" + string(uid)))
	return name + "-" + hex.EncodeToString(sum[:5])
}

// GivenUp are the members that a deleted app does not wait for, because its
// annotation names them.
func GivenUp(app *MyApp) []string {
	if app.DeletionTimestamp == nil {
		return nil
	}
	return strings.FieldsFunc(app.Annotations[AnnotationForceRemove], func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

// HeartbeatDuration is how long a renewal of an agent's Lease holds. An agent whose
// renewal failed has a whole interval to try again.
func HeartbeatDuration(interval time.Duration) time.Duration {
	const delays = 5 * time.Second
	return min(2*interval+delays, LongestHeartbeat)
}

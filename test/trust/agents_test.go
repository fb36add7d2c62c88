package trust

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/attack"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

func in(member string) string { return "/namespaces/" + v1.MailboxNamespace(member) }

// beyondRights are requests for which an agent has no right, whatever is in them.
func beyondRights(own, other string) []attack.Call {
	const (
		ours, core, roles, leases = attack.Ours, attack.Core, attack.Roles, attack.Leases
		system                    = "/namespaces/" + fleet.HubNamespace
	)
	get, post, put, patch, remove := attack.Get, attack.Post, attack.Put, attack.Patch, attack.Remove
	mine, theirs := in(own), in(other)
	return []attack.Call{
		// Apps and members.
		get(ours + "/myapps"), get(ours + "/namespaces/default/myapps/web"), patch(ours + "/namespaces/default/myapps/web"),
		patch(ours + "/namespaces/default/myapps/web/status"), remove(ours + "/namespaces/default/myapps/web"),
		get(ours + "/memberclusters"), get(ours + "/memberclusters/" + own), patch(ours + "/memberclusters/" + own),
		patch(ours + "/memberclusters/" + own + "/status"), remove(ours + "/memberclusters/" + other), post(ours+"/memberclusters", "{}"),
		get("/apis/apps/v1/controllerrevisions"), get("/apis/apps/v1" + mine + "/controllerrevisions"),
		// Works that are not its own, and the orders in its own.
		get(ours + "/works"), get(ours + theirs + "/works"), get(ours + theirs + "/works?watch=1"), get(ours + theirs + "/works/x"),
		patch(ours + theirs + "/works/x/status"), patch(ours + mine + "/works/x"), put(ours + mine + "/works/x"), put(ours + mine + "/works/x/status"),
		post(ours+mine+"/works", "{}"), post(ours+theirs+"/works", "{}"), remove(ours + mine + "/works/x"), remove(ours + mine + "/works"),
		// Reports of others, and its own but to write it.
		get(ours + "/memberreports"), get(ours + theirs + "/memberreports"), get(ours + theirs + "/memberreports/agent"), get(ours + theirs + "/memberreports?watch=1"),
		patch(ours + theirs + "/memberreports/agent"), put(ours + theirs + "/memberreports/agent"), remove(ours + theirs + "/memberreports/agent"),
		post(ours+theirs+"/memberreports", report("", "agent", "{}")), get(ours + mine + "/memberreports"), get(ours + mine + "/memberreports?watch=1"),
		get(ours + mine + "/memberreports/other"), patch(ours + mine + "/memberreports/other"), put(ours + mine + "/memberreports/agent"), remove(ours + mine + "/memberreports/agent"),
		// Leases of others, the leader's among them.
		get(leases + theirs + "/leases"), patch(leases + theirs + "/leases/agent"), post(leases+theirs+"/leases", "{}"),
		patch(leases + mine + "/leases/other"), remove(leases + mine + "/leases/agent"),
		get(leases + system + "/leases/myapp-hub"), patch(leases + system + "/leases/myapp-hub"),
		// Secrets and settings.
		get(core + "/secrets"), get(core + theirs + "/secrets"), get(core + theirs + "/secrets/credential"), get(core + theirs + "/secrets?watch=1"),
		post(core+mine+"/secrets", "{}"), post(core+theirs+"/secrets", "{}"), patch(core + mine + "/secrets/credential"), remove(core + mine + "/secrets/credential"),
		remove(core + theirs + "/secrets/credential"), get(core + system + "/secrets/push-kubeconfig"), get(core + system + "/secrets"),
		get(core + mine + "/configmaps"), get(core + theirs + "/configmaps/hub-endpoint"), patch(core + mine + "/configmaps/hub-endpoint"),
		get(core + system + "/configmaps/hub-identity"), patch(core + system + "/configmaps/hub-identity"), patch(core + system + "/configmaps/hub-endpoint"),
		// More rights, or those of others.
		get(ours + mine + "/works").As("system:admin").Group("system:masters"), get(ours + mine + "/works").As("system:serviceaccount:" + v1.MailboxNamespace(other) + ":agent"),
		post(core+theirs+"/serviceaccounts/agent/token", "{}"), post(core+theirs+"/serviceaccounts/join/token", "{}"), post(core+mine+"/serviceaccounts/join/token", "{}"),
		post(core+mine+"/serviceaccounts/default/token", "{}"), post(core+system+"/serviceaccounts/myapp-hub/token", "{}"),
		post(core+mine+"/serviceaccounts", "{}"), get(core + mine + "/serviceaccounts/agent"), patch(core + mine + "/serviceaccounts/agent"),
		post(roles+mine+"/rolebindings", "{}"), patch(roles + mine + "/rolebindings/agent"), get(roles + mine + "/rolebindings"),
		post(roles+mine+"/roles", "{}"), post(roles+"/clusterrolebindings", "{}"), patch(roles + "/clusterroles/myapp-hub-agent"), get(roles + "/clusterroles"),
		post("/apis/certificates.k8s.io/v1/certificatesigningrequests", "{}"), post("/apis/authentication.k8s.io/v1/tokenreviews", "{}"),
		post("/apis/authorization.k8s.io/v1/subjectaccessreviews", "{}"),
		// Pods, nodes and ways through them.
		get(core + mine + "/pods"), post(core+mine+"/pods", "{}"), post(core+mine+"/pods/x/exec?command=sh", ""), post(core+mine+"/pods/x/portforward", ""),
		get(core + mine + "/pods/x/proxy/"), get(core + mine + "/services/x/proxy/"), get(core + "/nodes"), get(core + "/nodes/x/proxy/"),
		post(core+mine+"/pods/x/eviction", "{}"), post(core+mine+"/events", "{}"),
		// The rest of the hub.
		get(core + "/namespaces"), get(core + mine), remove(core + mine), patch(core + mine), post(core+"/namespaces", "{}"), get("/metrics"), get("/logs/"),
		get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"), patch("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/works.example.com"),
		patch("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/myapp-hub-mailbox-writers"),
		remove("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/myapp-hub-mailbox-writers"),
	}
}

// report is a MemberReport with more metadata, a name and a spec.
func report(meta, name, spec string) string {
	return fmt.Sprintf(`{"apiVersion":"example.com/v1","kind":"MemberReport","metadata":{%s"name":"%s"},"spec":%s}`, meta, name, spec)
}

// refused is a request that an agent has the right to make, but not with what is in it.
type refused struct {
	reason string
	call   attack.Call
	says   string
}

// beyondPurpose are such requests; work is one in the own mailbox.
func beyondPurpose(own string, work *v1.Work, credential string) []refused {
	lease := func(meta, holder string) string {
		return fmt.Sprintf(`{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{%s"name":"agent"},"spec":{"holderIdentity":"%s"}}`, meta, holder)
	}
	token := func(seconds int, ref string) attack.Call {
		return attack.Post(attack.Core+in(own)+"/serviceaccounts/agent/token",
			fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":%d%s}}`, seconds, ref))
	}
	bound := func(kind, name, uid string) string {
		return fmt.Sprintf(`,"boundObjectRef":{"apiVersion":"v1","kind":"%s","name":"%s","uid":"%s"}`, kind, name, uid)
	}
	status := func(format string, args ...any) attack.Call {
		body := fmt.Sprintf(`{"status":{"appUID":"%s",`+format+`}}`, append([]any{work.Spec.App.UID}, args...)...)
		return attack.PatchWith(attack.Ours+in(own)+"/works/"+work.Name+"/status", body)
	}
	leases := attack.Leases + in(own) + "/leases"
	reports := attack.Ours + in(own) + "/memberreports"
	says := func(spec string) attack.Call { return attack.PatchWith(reports+"/agent", `{"spec":`+spec+`}`) }
	kinds := func(n, length int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`"v1/K%d%s"`, i, strings.Repeat("x", length))
		}
		return `{"apis":[` + strings.Join(list, ",") + `]}`
	}
	return []refused{
		{"a Lease of another name", attack.Post(leases, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"other"}}`), "Lease \"agent\""},
		{"a Lease of any name", attack.Post(leases, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"generateName":"agent"}}`), "an agent writes"},
		{"a finalizer that keeps the mailbox", attack.PatchWith(leases+"/agent", `{"metadata":{"finalizers":["example.com/mine"]}}`), "Lease \"agent\""},
		{"an owner", attack.PatchWith(leases+"/agent", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Secret","name":"credential","uid":"1"}]}}`), "Lease \"agent\""},
		{"annotations that fill the hub's memory", attack.PatchWith(leases+"/agent", `{"metadata":{"annotations":{"x":"`+strings.Repeat("x", 100_000)+`"}}}`), "Lease \"agent\""},
		{"labels", attack.PatchWith(leases+"/agent", `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"myapp-hub"}}}`), "Lease \"agent\""},
		{"a holder that fills the hub's memory", attack.PatchWith(leases+"/agent", lease("", strings.Repeat("x", 1000))), "Lease \"agent\""},
		{"a MemberReport of another name", attack.Post(reports, report("", "other", "{}")), "metadata.name must be agent"},
		{"a MemberReport of any name", attack.Post(reports, `{"apiVersion":"example.com/v1","kind":"MemberReport","metadata":{"generateName":"agent"},"spec":{}}`), "metadata.name must be agent"},
		{"a finalizer on a report", attack.PatchWith(reports+"/agent", `{"metadata":{"finalizers":["example.com/mine"]}}`), "MemberReport \"agent\""},
		{"an owner of a report", attack.PatchWith(reports+"/agent", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Secret","name":"credential","uid":"1"}]}}`), "MemberReport \"agent\""},
		{"annotations of a report", attack.PatchWith(reports+"/agent", `{"metadata":{"annotations":{"x":"y"}}}`), "MemberReport \"agent\""},
		{"labels of a report", attack.PatchWith(reports+"/agent", `{"metadata":{"labels":{"app.kubernetes.io/managed-by":"myapp-hub"}}}`), "MemberReport \"agent\""},
		{"more kinds than there are", says(kinds(2001, 0)), "spec.apis"},
		{"kinds that fill the hub's memory", says(kinds(1000, 200)), "131072"},
		{"a kind that is none", says(`{"apis":["\u001b[31mv1/Pod"]}`), "spec.apis"},
		{"a version that is none", says(`{"kubernetesVersion":"` + strings.Repeat("1", 65) + `"}`), "spec.kubernetesVersion"},
		{"less than nothing", says(`{"capacity":{"allocatable":{"cpuMillis":-1,"memoryMiB":0,"pods":0},"requested":{"cpuMillis":0,"memoryMiB":0,"pods":0}}}`), "cpuMillis"},
		{"more than all computers have", says(`{"capacity":{"allocatable":{"cpuMillis":9000000000000000000,"memoryMiB":0,"pods":0},"requested":{"cpuMillis":0,"memoryMiB":0,"pods":0}}}`), "cpuMillis"},
		{"a reason of its own", says(`{"capacity":null,"capacityUnknown":"Because"}`), "capacityUnknown"},
		{"a token of a day", token(86400, bound("Secret", "credential", credential)), "lives for an hour"},
		{"a token of an hour and a second", token(3601, bound("Secret", "credential", credential)), "lives for an hour"},
		{"a token that nothing ends", token(3600, ""), "bound to the Secret"},
		{"a token without the UID", token(3600, bound("Secret", "credential", "")), "bound to the Secret"},
		{"a token bound to something else", token(3600, bound("Secret", "join", credential)), "bound to the Secret"},
		{"a token bound to another kind", token(3600, bound("Pod", "credential", credential)), "bound to the Secret"},
		{"a generation that was never ordered", status(`"observedGeneration":%d`, work.Generation+1), "above the generation"},
		{"another app", attack.PatchWith(attack.Ours+in(own)+"/works/"+work.Name+"/status", `{"status":{"appUID":"00000000-0000-0000-0000-000000000000"}}`), "status.appUID"},
		{"no app", attack.PatchWith(attack.Ours+in(own)+"/works/"+work.Name+"/status", `{"status":{"appUID":null}}`), "status.appUID"},
		{"an epoch that the hub has not had", status(`"hubEpoch":%d`, work.Spec.HubEpoch+7), "status.hubEpoch"},
		{"a message of a megabyte", status(`"message":"%s"`, strings.Repeat("x", 1<<20)), "status.message"},
		{"more pods than there can be", status(`"replicas":2000000000`), "status.replicas"},
		{"a reason that is none", status(`"reason":"no reason"`), "status.reason"},
		{"a state that is none", status(`"state":"Perfect"`), "status.state"},
		{"a status of many megabytes", status(`"message":"%s"`, strings.Repeat("x", 4<<20)), "too large"},
	}
}

// An agent reaches its own mailbox and nothing else, and there writes nothing but what
// an agent has to write. Its name may be the beginning of another's. It is so also when
// none of the hub's controllers runs.
func TestAgentsAreConfined(t *testing.T) {
	f := sharedFleet(t)
	expect.Namespace(t, f, "confined")
	app := expect.App("confined", "web", expect.On(peers...))
	expect.Create(t, f, app)
	works := map[string]*v1.Work{}
	for _, member := range peers {
		works[member] = &v1.Work{}
		key := client.ObjectKey{Namespace: v1.MailboxNamespace(member), Name: v1.WorkName(app.Namespace, app.Name, app.UID)}
		fleet.Eventually(t, soon, "the Work for "+member, func(ctx context.Context) error {
			if err := f.Cluster(fleet.HubName).Client().Get(ctx, key, works[member]); err != nil {
				return err
			}
			if works[member].Status.ObservedGeneration == 0 {
				return fmt.Errorf("no report in %s yet", key)
			}
			return nil
		})
	}
	for _, member := range peers {
		key := client.ObjectKey{Namespace: v1.MailboxNamespace(member), Name: v1.AgentReport}
		fleet.Eventually(t, soon, "the MemberReport of "+member, func(ctx context.Context) error {
			return f.Cluster(fleet.HubName).Client().Get(ctx, key, &v1.MemberReport{})
		})
	}
	confined := func(t *testing.T) {
		for i, member := range peers {
			config := agentConfig(t, f, member)
			mine := attack.Get(attack.Ours + in(member) + "/works")
			attack.Denied(t, config, mine, beyondRights(member, peers[(i+1)%len(peers)]))
			attack.Denied(t, config, mine, beyondRights(member, peers[(i+2)%len(peers)]))
			credential := &corev1.Secret{}
			key := client.ObjectKey{Namespace: v1.MailboxNamespace(member), Name: v1.CredentialSecret}
			if err := f.Cluster(fleet.HubName).Client().Get(t.Context(), key, credential); err != nil {
				t.Fatal(err)
			}
			deniedFor(t, config, beyondPurpose(member, works[member], string(credential.UID)))
		}
	}
	t.Run("with the hub's controllers", confined)
	if err := f.Hub().Kill(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Hub().Restart(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Run("without the hub's controllers", confined)
}

// deniedFor wants each request to be refused with a message that says why.
func deniedFor(t *testing.T, config *rest.Config, calls []refused) {
	t.Helper()
	for _, r := range calls {
		status, body := r.call.Do(t, config)
		ok := status == http.StatusForbidden || status == http.StatusUnprocessableEntity || status == http.StatusRequestEntityTooLarge
		var answer struct{ Message string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			answer.Message = body
		}
		if !ok || !strings.Contains(answer.Message, r.says) {
			t.Errorf("%s: %d, want a refusal that says %q: %.500s", r.reason, status, r.says, body)
		}
	}
	t.Logf("%d requests were made that must be refused for what is in them", len(calls))
}

package integration

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// copiedSoon is how long a change of a Secret may take to reach a member.
const copiedSoon = 5 * time.Second

// registryConfig is a password for a registry, as kubectl writes it.
func registryConfig(password string) string {
	return fmt.Sprintf(`{"auths":{"registry.example.com":{"username":"me","password":%q,"auth":%q}}}`,
		password, base64.StdEncoding.EncodeToString([]byte("me:"+password)))
}

func secretRef(name string) []corev1.EnvFromSource {
	return []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}}}}
}

// usesSecrets refers to the Secret db in every way that an app usually does, and
// to registry.
func usesSecrets(a *v1.MyApp) {
	a.Spec.EnvFrom = secretRef("db")
	a.Spec.Env = []corev1.EnvVar{{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "db"}, Key: "password",
	}}}}
	a.Spec.PodTemplate = &runtime.RawExtension{Raw: []byte(
		`{"spec":{"imagePullSecrets":[{"name":"registry"}],"volumes":[{"name":"files","secret":{"secretName":"db"}}]}}`)}
}

// copies are the Secrets of an app on a member, by name.
func copies(ctx context.Context, f *fleet.Fleet, member string, app types.NamespacedName) (map[string]corev1.Secret, error) {
	var list corev1.SecretList
	err := f.Cluster(member).Client().List(ctx, &list, client.InNamespace(app.Namespace), client.MatchingLabels{v1.LabelApp: app.Name})
	found := map[string]corev1.Secret{}
	for _, s := range list.Items {
		found[s.Name] = s
	}
	return found, err
}

// expectCopies waits until the members have exactly these Secrets of the app with
// this content of one key each.
func expectCopies(t *testing.T, f *fleet.Fleet, timeout time.Duration, app types.NamespacedName, members []string, want map[string]string) {
	t.Helper()
	for _, m := range members {
		fleet.Eventually(t, timeout, "the copies on "+m, func(ctx context.Context) error {
			found, err := copies(ctx, f, m, app)
			if err != nil {
				return err
			}
			have := map[string]string{}
			for name, s := range found {
				for _, content := range s.Data {
					have[name] = string(content)
				}
			}
			if diff := cmp.Diff(want, have); diff != "" {
				return errors.New(diff)
			}
			return nil
		})
	}
}

func mustSecret(t *testing.T, f *fleet.Fleet, ns, name, keyName, content string) {
	t.Helper()
	if err := expect.Secret(t.Context(), f, key(ns, name), map[string]string{keyName: content}); err != nil {
		t.Fatal(err)
	}
}

// mailboxSecrets names the Secrets of an app in a mailbox.
func mailboxSecrets(t *testing.T, f *fleet.Fleet, member string, uid types.UID) []string {
	t.Helper()
	var list corev1.SecretList
	err := f.Cluster(fleet.HubName).Client().List(t.Context(), &list, client.InNamespace(v1.MailboxNamespace(member)), client.MatchingLabels{v1.LabelAppUID: string(uid)})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list.Items {
		names = append(names, s.Name)
	}
	return names
}

// A Secret that an app's pods refer to is copied to the members that have the
// app, follows its source, and goes with the reference or with the app.
func TestSecretsAreCopied(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	clusters := append([]string{fleet.HubName, "push-2", "pull-2"}, members...)
	ns := namespace(t, f)
	app := key(ns, "web")
	mustSecret(t, f, ns, "db", "password", "one")
	mustSecret(t, f, ns, "registry", ".dockerconfigjson", registryConfig("x"))
	expect.Create(t, f, expect.App(ns, app.Name, expect.On(members...), usesSecrets))
	expect.Ready(t, f, soon, app, members...)
	both := map[string]string{"web.db": "one", "web.registry": registryConfig("x")}
	expectCopies(t, f, time.Second, app, members, both)
	uid := expect.Get(t, f, app).UID
	for _, m := range members {
		found, err := copies(t.Context(), f, m, app)
		if err != nil {
			t.Fatal(err)
		}
		if found["web.db"].Type != corev1.SecretTypeOpaque || found["web.registry"].Type != corev1.SecretTypeDockerConfigJson {
			t.Errorf("%s: the types are %s and %s", m, found["web.db"].Type, found["web.registry"].Type)
		}
		pod := expect.Deployment(t, f, m, app).Spec.Template.Spec
		c := pod.Containers[0]
		refs := []string{pod.ImagePullSecrets[0].Name, pod.Volumes[0].Secret.SecretName, c.EnvFrom[0].SecretRef.Name, c.Env[0].ValueFrom.SecretKeyRef.Name}
		if want := []string{"web.registry", "web.db", "web.db", "web.db"}; !slices.Equal(refs, want) {
			t.Errorf("%s: the pods refer to %v, want %v", m, refs, want)
		}
	}
	if names := mailboxSecrets(t, f, "pull-1", uid); len(names) != 2 {
		t.Errorf("the mailbox has %v, want two Secrets", names)
	}

	before := markAll(f, clusters...)
	started := time.Now()
	mustSecret(t, f, ns, "db", "password", "two")
	both["web.db"] = "two"
	expectCopies(t, f, copiedSoon, app, members, both)
	t.Logf("a changed Secret was on %v after %s", members, time.Since(started).Round(time.Millisecond))
	settle(t, f, before, clusters)
	for cluster, want := range map[string]int{fleet.HubName: 1, "push-1": 1, "pull-1": 1, "push-2": 0, "pull-2": 0} {
		writes := slices.DeleteFunc(expect.Writes(before.since(t, f, cluster)), func(e fleet.AuditEvent) bool {
			return e.Resource == "memberclusters" // what pods request is counted meanwhile
		})
		if len(writes) != want || want == 1 && writes[0].Resource != "secrets" {
			t.Errorf("a changed Secret cost %s these writes, want %d of a Secret:\n%s", cluster, want, expect.Describe(writes))
		}
	}

	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.PodTemplate = nil })
	expectCopies(t, f, soon, app, members, map[string]string{"web.db": "two"})
	fleet.Eventually(t, soon, "the mailbox to have one Secret", func(context.Context) error {
		if names := mailboxSecrets(t, f, "pull-1", uid); len(names) != 1 {
			return fmt.Errorf("it has %v", names)
		}
		return nil
	})

	// What vanishes on the hub vanishes nowhere else.
	expect.Ready(t, f, soon, app, members...)
	mustKubectl(t, f.Cluster(fleet.HubName), "", "delete", "-n", ns, "secret/db")
	secretMissing(t, f, app, members, "db")
	fleet.Consistently(t, time.Second, "the copies stay", func(ctx context.Context) error {
		for _, m := range members {
			found, err := copies(ctx, f, m, app)
			if err != nil || string(found["web.db"].Data["password"]) != "two" {
				return fmt.Errorf("%s has %d copies (%w)", m, len(found), err)
			}
		}
		return nil
	})
	if names := mailboxSecrets(t, f, "pull-1", uid); len(names) != 1 {
		t.Errorf("the mailbox has %v, want what it had", names)
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
	expectCopies(t, f, soon, app, members, map[string]string{})
	fleet.Eventually(t, soon, "the mailbox to be empty", func(context.Context) error {
		if names := mailboxSecrets(t, f, "pull-1", uid); len(names) > 0 {
			return fmt.Errorf("it has %v", names)
		}
		return nil
	})
}

// secretMissing waits until an app says everywhere that a Secret is missing and
// what to do about it.
func secretMissing(t *testing.T, f *fleet.Fleet, app types.NamespacedName, members []string, name string) {
	t.Helper()
	expect.That(t, f, soon, app, "misses a Secret", func(a *v1.MyApp) error {
		for _, m := range members {
			row := expect.Row(a, m)
			if row == nil || row.State != v1.PlacementFailed || row.Reason != v1.ReasonSecretMissing {
				return fmt.Errorf("the row is %+v", row)
			}
			for _, want := range []string{app.Namespace + "/" + name, v1.LabelPropagate + "=true", "spec.localSecrets"} {
				if !strings.Contains(row.Message, want) {
					return fmt.Errorf("%q is not in the message of %s", want, m)
				}
			}
		}
		return expect.Condition(a, v1.ConditionStalled, "True", v1.ReasonSecretMissing)
	})
}

// Without a Secret that it needs, an app is not put on a member at all; without
// one that is optional it is.
func TestSecretsThatAreMissing(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName)
	members := []string{"push-1", "pull-1"}
	ns := namespace(t, f)
	needy, modest := key(ns, "needy"), key(ns, "modest")
	expect.Create(t, f, expect.App(ns, needy.Name, expect.WithService, expect.On(members...), func(a *v1.MyApp) { a.Spec.EnvFrom = secretRef("late") }))
	expect.Create(t, f, expect.App(ns, modest.Name, expect.On(members...), func(a *v1.MyApp) {
		a.Spec.EnvFrom = secretRef("late")
		a.Spec.EnvFrom[0].SecretRef.Optional = ptr.To(true)
	}))
	expect.Ready(t, f, soon, modest, members...)
	expectCopies(t, f, time.Second, modest, members, map[string]string{})
	nothing := func(context.Context) error {
		for _, m := range members {
			if objects := expect.Objects(t, f, m, ns, client.MatchingLabels{v1.LabelApp: needy.Name}); len(objects) > 0 {
				return fmt.Errorf("%s has %v", m, objects)
			}
		}
		return nil
	}
	secretMissing(t, f, needy, members, "late")

	late := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "late"}, StringData: map[string]string{"password": "x"}}
	if err := hub.Client().Create(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	fleet.Consistently(t, time.Second, "nothing is applied without the label", nothing)
	secretMissing(t, f, needy, members, "late")
	mustKubectl(t, hub, "", "label", "-n", ns, "secret/late", v1.LabelPropagate+"=true")
	expect.Ready(t, f, soon, needy, members...)
	expectCopies(t, f, copiedSoon, needy, members, map[string]string{"needy.late": "x"})
	expectCopies(t, f, copiedSoon, modest, members, map[string]string{"modest.late": "x"})

	// Without the label it may not be copied any more; what is there stays.
	mustKubectl(t, hub, "", "label", "-n", ns, "secret/late", v1.LabelPropagate+"-")
	secretMissing(t, f, needy, members, "late")
	expectCopies(t, f, time.Second, needy, members, map[string]string{"needy.late": "x"})
	for _, app := range []types.NamespacedName{needy, modest} {
		expect.Delete(t, f, app)
		expect.Gone(t, f, soon, app, members...)
		expectCopies(t, f, time.Second, app, members, map[string]string{})
	}
}

// What is in a Secret is nowhere but in Secrets, whatever happens to the app:
// not in any other object, not in a log, not in an audit log.
func TestSecretsLeaveNoTraces(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "pull-1"}
	ns := namespace(t, f)
	corrected, reported, refused := key(ns, "corrected"), key(ns, "reported"), key(ns, "refused")
	first, second, third, theirs := rand.Text(), rand.Text(), rand.Text(), rand.Text()
	put := func(content string) {
		mustSecret(t, f, ns, "db", "password", content)
		mustSecret(t, f, ns, "registry", ".dockerconfigjson", registryConfig(content))
	}
	expectDB := func(app types.NamespacedName, content string) {
		t.Helper()
		expectCopies(t, f, copiedSoon, app, members, map[string]string{app.Name + ".db": content, app.Name + ".registry": registryConfig(content)})
	}
	put(first)
	for app, mode := range map[types.NamespacedName]v1.DriftMode{corrected: v1.DriftCorrect, reported: v1.DriftReport, refused: v1.DriftCorrect} {
		expect.Create(t, f, expect.App(ns, app.Name, expect.On(members...), usesSecrets, func(a *v1.MyApp) { a.Spec.Drift = &v1.Drift{Mode: mode} }))
	}
	for _, app := range []types.NamespacedName{corrected, reported, refused} {
		expect.Ready(t, f, soon, app, members...)
	}
	put(second)
	for _, app := range []types.NamespacedName{corrected, reported, refused} {
		expectDB(app, second)
	}

	somebody := func(app types.NamespacedName, patch map[string]any) {
		raw, err := json.Marshal(patch)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			if err := expect.Change(t.Context(), f.Cluster(m), "Secret", key(ns, app.Name+".db"), string(raw)); err != nil {
				t.Fatal(err)
			}
		}
	}
	drift := map[string]any{"data": map[string]any{"password": []byte(theirs)}}
	somebody(corrected, drift)
	somebody(reported, drift)
	expectDB(corrected, second)
	for _, m := range members {
		rowSays(t, f, soon, reported, m, v1.ReasonDrifted, "Secret "+ns+"/reported.db", "/data/password", "(hidden)", expect.Somebody)
	}
	// A member refuses to change an immutable Secret, and says so.
	somebody(refused, map[string]any{"immutable": true})
	put(third)
	expectDB(corrected, third)
	for _, m := range members {
		rowSays(t, f, soon, refused, m, v1.ReasonRejected, "immutable")
	}

	expectNoTraces(t, f, members, ns, first, second, third, theirs)
	for _, app := range []types.NamespacedName{corrected, reported, refused} {
		expect.Delete(t, f, app)
	}
	for _, app := range []types.NamespacedName{corrected, reported, refused} {
		expect.Gone(t, f, soon, app, members...)
	}
	expectNoTraces(t, f, members, ns, first, second, third, theirs)
}

// expectNoTraces looks for texts everywhere. That they are found in the Secrets
// on the hub, and the namespace in logs, shows that the search finds what is there.
func expectNoTraces(t *testing.T, f *fleet.Fleet, members []string, namespace string, texts ...string) {
	t.Helper()
	for _, name := range append([]string{fleet.HubName}, members...) {
		traces, err := expect.TracesInObjects(t.Context(), f.Cluster(name), texts...)
		if err != nil {
			t.Fatal(err)
		}
		if len(traces["secrets"]) == 0 && name == fleet.HubName {
			t.Errorf("the search does not even find what is in the Secrets of %s", name)
		}
		t.Logf("%s has it in the Secrets %v", name, traces["secrets"])
		delete(traces, "secrets")
		for resource, objects := range traces {
			t.Errorf("%s: what is in a Secret is in %s %v", name, resource, objects)
		}
	}
	logs, searched, err := expect.TracesInLogs(f, texts...)
	if err != nil {
		t.Fatal(err)
	}
	if processes := len(f.Processes()); searched < processes {
		t.Errorf("only %d logs of %d processes were searched", searched, processes)
	}
	if found, _, err := expect.TracesInLogs(f, namespace); err != nil || len(found) <= len(members) {
		t.Errorf("namespace %s was found only in the logs %v (%v)", namespace, found, err)
	}
	for _, log := range logs {
		t.Errorf("what is in a Secret is in a log: %s", log)
	}
}

// rowSays waits until an app's row for a member has a reason and a message with
// all the words.
func rowSays(t *testing.T, f *fleet.Fleet, timeout time.Duration, app types.NamespacedName, member, reason string, words ...string) {
	t.Helper()
	expect.That(t, f, timeout, app, "says "+reason+" of "+member, func(a *v1.MyApp) error {
		row := expect.Row(a, member)
		if row == nil || row.Reason != reason {
			return fmt.Errorf("the row is %+v", row)
		}
		for _, word := range words {
			if !strings.Contains(row.Message, word) {
				return fmt.Errorf("%q is not in the message of %s", word, member)
			}
		}
		return nil
	})
}

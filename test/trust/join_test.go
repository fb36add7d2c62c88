package trust

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/identity"
	"github.com/example/myapp-hub/pkg/cli"
	"github.com/example/myapp-hub/pkg/join"
	"github.com/example/myapp-hub/test/attack"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// revokedWithin is how long a token may be good after what it is bound to was deleted:
// the API server's cache of tokens holds ten seconds.
const revokedWithin = 15 * time.Second

// myapp runs the plugin against a cluster, as its admin, and returns what it prints.
func myapp(t *testing.T, f *fleet.Fleet, cluster string, args ...string) (string, error) {
	t.Helper()
	command := cli.Command()
	var out, notes bytes.Buffer
	command.SetOut(&out)
	command.SetErr(&notes)
	command.SetArgs(append(args, "--kubeconfig", f.Cluster(cluster).Kubeconfig()))
	err := command.ExecuteContext(t.Context())
	t.Logf("kubectl myapp %.40s: %s%v", strings.Join(args, " "), notes.String(), err)
	return out.String(), err
}

func mustMyapp(t *testing.T, f *fleet.Fleet, cluster string, args ...string) string {
	t.Helper()
	out, err := myapp(t, f, cluster, args...)
	if err != nil {
		t.Fatalf("kubectl myapp %s: %v", args[0], err)
	}
	return out
}

// newToken makes a join token and returns the command that is printed.
func newToken(t *testing.T, f *fleet.Fleet, member string, args ...string) (command []string, line join.Line) {
	t.Helper()
	printed := strings.Fields(mustMyapp(t, f, fleet.HubName, append([]string{"token", "create", member}, args...)...))
	if len(printed) != 5 || strings.Join(printed[:4], " ") != "kubectl myapp join --token" {
		t.Fatalf("the plugin printed %q", printed)
	}
	line, err := join.ParseLine(printed[4])
	if err != nil {
		t.Fatal(err)
	}
	return printed[2:], line
}

func credentialOf(line join.Line) identity.Credential {
	return identity.Credential{Member: line.Member, Server: line.Server, CA: line.CA, JoinToken: line.Token}
}

// isMember waits until a condition of a member is as wanted.
func isMember(t *testing.T, f *fleet.Fleet, name, kind string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	fleet.Eventually(t, soon, fmt.Sprintf("%s: %s is %s, %s", name, kind, status, reason), func(ctx context.Context) error {
		member := &v1.MemberCluster{}
		if err := f.Cluster(fleet.HubName).Client().Get(ctx, client.ObjectKey{Name: name}, member); err != nil {
			return err
		}
		c := meta.FindStatusCondition(member.Status.Conditions, kind)
		if c == nil || c.Status != status || c.Reason != reason {
			return fmt.Errorf("it is %+v", c)
		}
		return nil
	})
}

// leave takes a member that a test has made off the hub.
func leave(t *testing.T, f *fleet.Fleet, name string) {
	t.Cleanup(func() {
		hub := f.Cluster(fleet.HubName).Client()
		disown(t, f, name)
		for _, o := range []client.Object{
			&v1.MemberCluster{ObjectMeta: metav1.ObjectMeta{Name: name}},
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1.MailboxNamespace(name)}},
		} {
			if err := hub.Delete(context.Background(), o); client.IgnoreNotFound(err) != nil {
				t.Error(err)
			}
		}
	})
}

// disown has the accounts on the newcomer belong to nobody, if they are a member's: tests
// take turns in joining it.
func disown(t *testing.T, f *fleet.Fleet, member string) {
	t.Helper()
	cluster := f.Cluster(newcomer).Client()
	for _, name := range []string{join.AgentName(""), join.HubAccount("")} {
		account := &corev1.ServiceAccount{}
		err := cluster.Get(context.Background(), client.ObjectKey{Namespace: join.Namespace, Name: name}, account)
		if err == nil && account.Annotations[v1.LabelMember] == member {
			account.Annotations = nil
			err = cluster.Update(context.Background(), account)
		}
		if client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
}

// ends wants a token to be refused before long, and to stay so.
func ends(t *testing.T, f *fleet.Fleet, what, token string, since time.Time) {
	t.Helper()
	config := f.Cluster(fleet.HubName).ConfigFor(token, false)
	for {
		status, _ := attack.Get("/version").Do(t, config)
		if status == 401 {
			t.Logf("%s ended after %.1f s", what, time.Since(since).Seconds())
			return
		}
		if time.Since(since) > revokedWithin {
			t.Fatalf("%s is still good after %v: %d", what, time.Since(since), status)
		}
	}
}

// The two commands, from a cluster that the hub has never heard of to an app on it.
func TestJoin(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName).Client()
	leave(t, f, "late")
	command, line := newToken(t, f, "late", "--labels", expect.NameLabel+"=late")
	isMember(t, f, "late", v1.ConditionJoined, metav1.ConditionFalse, v1.ReasonAwaitingAgent)

	shown := mustMyapp(t, f, newcomer, append(command, "--dry-run=client")...)
	for _, want := range []string{"kind: Deployment", "kind: Secret", "runAsNonRoot: true", "readOnlyRootFilesystem: true"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the dry run does not show %q", want)
		}
	}
	mustMyapp(t, f, newcomer, append(command, "--skip-agent")...)
	if err := f.RunAgent(t.Context(), newcomer, "late", fleet.AgentRun{}); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			if err := f.Agent("late").Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)

	// Whoever has joined is seen, and gets nothing before it is accepted.
	isMember(t, f, "late", v1.ConditionJoined, metav1.ConditionTrue, v1.ReasonJoined)
	isMember(t, f, "late", v1.ConditionReady, metav1.ConditionFalse, v1.ReasonNotAccepted)
	joined := time.Now()
	expect.Namespace(t, f, "join")
	app := expect.App("join", "web", expect.On("late"))
	expect.Create(t, f, app)
	key := client.ObjectKeyFromObject(app)
	expect.That(t, f, soon, key, "nothing is placed on a member that is not accepted", func(a *v1.MyApp) error {
		c := meta.FindStatusCondition(a.Status.Conditions, v1.ConditionScheduled)
		if c == nil || c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "1 are not accepted") || len(a.Status.Placements) != 0 {
			return fmt.Errorf("it is %+v, %v", c, a.Status.Placements)
		}
		return nil
	})

	// The join token is of no more use.
	ends(t, f, "the join token of a cluster that has joined", line.Token, joined)
	if _, _, err := identity.Claim(t.Context(), credentialOf(line)); !errors.Is(err, identity.ErrRefused) {
		t.Errorf("a second use: %v", err)
	}
	secret := client.ObjectKey{Namespace: v1.MailboxNamespace("late"), Name: v1.JoinSecret}
	if err := hub.Get(t.Context(), secret, &corev1.Secret{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret of the join token: %v", err)
	}

	mustMyapp(t, f, fleet.HubName, "accept", "late")
	isMember(t, f, "late", v1.ConditionReady, metav1.ConditionTrue, v1.ReasonConnected)
	applied(t, f, key, "late", "registry.example.com/web:1")

	// What is not accepted any more is left alone.
	mustMyapp(t, f, fleet.HubName, "revoke", "late")
	expect.Edit(t, f, key, func(a *v1.MyApp) { a.Spec.Image = "registry.example.com/web:2" })
	work := &v1.Work{}
	workKey := client.ObjectKey{Namespace: v1.MailboxNamespace("late"), Name: v1.WorkName(app.Namespace, app.Name, app.UID)}
	if err := hub.Get(t.Context(), workKey, work); err != nil {
		t.Fatal(err)
	}
	fleet.Consistently(t, 3*time.Second, "the mailbox of a member that is not accepted", func(ctx context.Context) error {
		now := &v1.Work{}
		if err := hub.Get(ctx, workKey, now); err != nil {
			return err
		}
		if now.Generation != work.Generation {
			return fmt.Errorf("the Work is of generation %d, and was of %d", now.Generation, work.Generation)
		}
		return nil
	})

	// Joined again, by one command on each side, and accepted by the first of them.
	stop()
	command, _ = newToken(t, f, "late", "--replace", "--accept")
	mustMyapp(t, f, newcomer, append(command, "--skip-agent")...)
	if err := f.RunAgent(t.Context(), newcomer, "late", fleet.AgentRun{}); err != nil {
		t.Fatal(err)
	}
	stopped = false
	applied(t, f, key, "late", "registry.example.com/web:2")
	expect.Delete(t, f, key)
	expect.Gone(t, f, soon, key)
}

// applied waits until a member, which is the newcomer, has an app with an image.
func applied(t *testing.T, f *fleet.Fleet, key client.ObjectKey, member, image string) {
	t.Helper()
	expect.That(t, f, soon, key, image+" is on "+member, func(a *v1.MyApp) error {
		if c := meta.FindStatusCondition(a.Status.Conditions, v1.ConditionApplied); c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != a.Generation {
			return fmt.Errorf("Applied is %+v", c)
		}
		d := &appsv1.Deployment{}
		if err := f.Cluster(newcomer).Client().Get(t.Context(), key, d); err != nil {
			return err
		}
		if got := d.Spec.Template.Spec.Containers[0].Image; got != image {
			return fmt.Errorf("it runs %s", got)
		}
		return nil
	})
}

// A join token is good for one credential of one member; no other use of it gives any.
func TestJoinTokensAreGoodForOneThing(t *testing.T) {
	f := sharedFleet(t)
	for _, member := range []string{"j", "ja"} {
		leave(t, f, member)
	}
	_, line := newToken(t, f, "j")
	_, other := newToken(t, f, "ja")
	before := credentials(t, f)
	stolen := func(member, token string) identity.Credential {
		c := credentialOf(line)
		c.Member, c.JoinToken = member, token
		return c
	}
	for reason, c := range map[string]identity.Credential{
		"another member that begins with its name":        stolen("ja", line.Token),
		"a member whose name is its beginning":            stolen("j", other.Token),
		"a member that has joined":                        stolen("a", line.Token),
		"expired, with the minute that clocks may differ": stolen("j", forged(t, f, line.Token, -2*time.Minute)),
		"not signed by the hub":                           stolen("j", line.Token[:len(line.Token)-4]+"AAAA"),
		"the agent's token of another member":             stolen("j", agentToken(t, f, "a")),
	} {
		if token, _, err := identity.Claim(t.Context(), c); err == nil || token != "" {
			t.Errorf("%s: %v, and a token of %d bytes", reason, err, len(token))
		} else {
			t.Logf("%s: %v", reason, err)
		}
	}
	config := f.Cluster(fleet.HubName).ConfigFor(line.Token, false)
	mine := attack.Core + in("j")
	labels := `"labels":{"app.kubernetes.io/managed-by":"myapp-hub","example.com/member":"j"}`
	secret := func(meta, rest string) attack.Call {
		return attack.Post(mine+"/secrets", `{"apiVersion":"v1","kind":"Secret","metadata":{`+meta+`}`+rest+`}`)
	}
	deniedFor(t, config, []refused{
		{"another Secret", secret(`"name":"other",`+labels, ""), "a join token makes"},
		{"a Secret of any name", secret(`"generateName":"credential",`+labels, ""), "a join token makes"},
		{"with content", secret(`"name":"credential",`+labels, `,"data":{"x":"eA=="}`), "a join token makes"},
		{"without labels", secret(`"name":"credential"`, ""), "a join token makes"},
		{"with another member's label", secret(`"name":"credential","labels":{"app.kubernetes.io/managed-by":"myapp-hub","example.com/member":"ja"}`, ""), "a join token makes"},
		{"with a finalizer", secret(`"name":"credential","finalizers":["example.com/mine"],`+labels, ""), "a join token makes"},
		{"that mints tokens", secret(`"name":"credential","annotations":{"kubernetes.io/service-account.name":"agent"},`+labels, `,"type":"kubernetes.io/service-account-token"`), "denied request"}, // by two policies
		{"a token before there is a credential", attack.Post(mine+"/serviceaccounts/agent/token", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":3600}}`), "bound to the Secret"},
	})
	attack.Denied(t, config, attack.Get("/version"), []attack.Call{
		attack.Get(mine + "/secrets"), attack.Get(mine + "/secrets/join"), attack.Remove(mine + "/secrets/join"), attack.Patch(mine + "/secrets/join"),
		attack.Get(attack.Ours + in("j") + "/works"), attack.Post(attack.Leases+in("j")+"/leases", "{}"), attack.Get(mine + "/configmaps/hub-endpoint"),
		attack.Post(mine+"/serviceaccounts/join/token", "{}"), attack.Post(attack.Core+in("ja")+"/secrets", "{}"),
		attack.Post(attack.Core+in("ja")+"/serviceaccounts/agent/token", "{}"), attack.Get(attack.Ours + "/memberclusters"),
	})
	if now := credentials(t, f); now != before {
		t.Errorf("credentials were made: %s, before: %s", now, before)
	}

	// One that is signed by the hub's key and has not expired is good: the forgeries
	// above failed for what was wrong with them.
	first := credentialOf(line)
	first.JoinToken = forged(t, f, line.Token, time.Minute)
	token, uid, err := identity.Claim(t.Context(), first)
	if err != nil || uid == "" {
		t.Fatalf("the first use: %v", err)
	}
	// It is not accepted: it may live, and read nothing.
	attack.Denied(t, f.Cluster(fleet.HubName).ConfigFor(token, false), attack.Get(mine+"/configmaps/hub-endpoint"), []attack.Call{
		attack.Get(attack.Ours + in("j") + "/works"), attack.Get(mine + "/secrets"), attack.Get(mine + "/secrets/credential"),
		attack.Get(attack.Ours + in("j") + "/works?watch=1"), attack.Patch(attack.Ours + in("j") + "/works/x/status"),
	})
	if _, _, err := identity.Claim(t.Context(), credentialOf(line)); !errors.Is(err, identity.ErrTaken) {
		t.Errorf("the second use, before the agent has started: %v", err)
	}
	if _, err := myapp(t, f, fleet.HubName, "token", "create", "j"); err == nil || !strings.Contains(err.Error(), "--replace") {
		t.Errorf("a join token for a member that a cluster has: %v", err)
	}

	// An agent that died between the two has the member no more than anybody else.
	_, again := newToken(t, f, "j", "--replace")
	ends(t, f, "the token of an agent that was replaced", token, time.Now())
	if _, replaced, err := identity.Claim(t.Context(), credentialOf(again)); err != nil || replaced == uid {
		t.Errorf("joining anew: %s, %v", replaced, err)
	}
}

func agentToken(t *testing.T, f *fleet.Fleet, cluster string) string {
	t.Helper()
	c, err := f.AgentStore(cluster).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c.Token
}

// credentials are the UIDs of all credentials in mailboxes.
func credentials(t *testing.T, f *fleet.Fleet) string {
	t.Helper()
	var all corev1.SecretList
	if err := f.Cluster(fleet.HubName).Client().List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, s := range all.Items {
		if s.Name == v1.CredentialSecret {
			found = append(found, s.Namespace+"="+string(s.UID))
		}
	}
	return strings.Join(found, " ")
}

// forged is a token with another time of its end, signed by the hub's own key.
func forged(t *testing.T, f *fleet.Fleet, token string, life time.Duration) string {
	t.Helper()
	parts := strings.Split(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(life)
	claims["exp"], claims["iat"], claims["nbf"] = end.Unix(), end.Add(-time.Hour).Unix(), end.Add(-time.Hour).Unix()
	if raw, err = json.Marshal(claims); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(f.Dir(), "clusters", fleet.HubName, "sa.key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(file)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

package trust

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/identity"
	"github.com/example/myapp-hub/pkg/join"
	"github.com/example/myapp-hub/test/attack"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// joinedAs is a member with a credential that no agent uses but the test.
func joinedAs(t *testing.T, f *fleet.Fleet, member string) identity.Credential {
	t.Helper()
	leave(t, f, member)
	_, line := newToken(t, f, member, "--accept")
	c := credentialOf(line)
	c.Server = f.Cluster(fleet.HubName).URL()
	var err error
	if c.Token, c.UID, err = identity.Claim(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	c.JoinToken = ""
	return c
}

// Twenty renewals, each of which gives a token of its own, under requests that never
// end: none of them fails.
func TestRenewalHasNoGap(t *testing.T) {
	f := sharedFleet(t)
	c := joinedAs(t, f, "renewing")
	// The Secret on the own cluster, as kubectl myapp join makes it.
	store := identity.Store{Client: f.Cluster(newcomer).Client(), Key: client.ObjectKey{Namespace: "default", Name: "renewing"}}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: store.Key.Namespace, Name: store.Key.Name}, Data: map[string][]byte{
		identity.KeyMember: []byte(c.Member), identity.KeyServer: []byte(c.Server), identity.KeyCA: c.CA,
		identity.KeyToken: []byte(c.Token), identity.KeyCredential: []byte(c.UID),
	}}
	if err := store.Client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	clock := clocktesting.NewFakeClock(time.Now())
	tokens, err := identity.NewTokens(c, store, clock, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { tokens.Start(ctx) })
	var requests, failed atomic.Int64
	works := attack.Get(attack.Ours + in("renewing") + "/works")
	for range 4 {
		running.Go(func() {
			for ctx.Err() == nil {
				requests.Add(1)
				if status, body, err := works.Try(tokens.Config()); err != nil || status != http.StatusOK {
					failed.Add(1)
					t.Errorf("a request failed: %d %s %v", status, body, err)
				}
			}
		})
	}
	seen := map[string]bool{c.Token: true}
	const renewals = 20
	for len(seen) <= renewals {
		fleet.Eventually(t, soon, fmt.Sprintf("token %d is saved", len(seen)), func(ctx context.Context) error {
			now, err := store.Load(ctx)
			if err != nil || !seen[now.Token] {
				seen[now.Token] = true
				return err
			}
			if clock.HasWaiters() {
				clock.Step(48 * time.Minute)
			}
			return fmt.Errorf("there are %d tokens", len(seen))
		})
	}
	cancel()
	running.Wait()
	t.Logf("%d renewals, %d requests, %d failed", renewals, requests.Load(), failed.Load())
	if requests.Load() < renewals {
		t.Error("there was no load to speak of")
	}
}

// After a credential was revoked no request of its agent succeeds for longer than the
// API server's cache of tokens holds, whatever it asks for, and the agent cannot come
// back by itself.
func TestRevocation(t *testing.T) {
	f := sharedFleet(t)
	c := joinedAs(t, f, "revoked")
	config := f.Cluster(fleet.HubName).ConfigFor(c.Token, false)
	mine := in("revoked")
	next := attack.Post(attack.Core+mine+"/serviceaccounts/agent/token", fmt.Sprintf(
		`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":3600,"boundObjectRef":{"apiVersion":"v1","kind":"Secret","name":"credential","uid":"%s"}}}`, c.UID))
	lease := attack.Post(attack.Leases+mine+"/leases", `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"agent"}}`)
	if status, body := lease.Do(t, config); status != http.StatusCreated {
		t.Fatalf("the Lease: %d %s", status, body)
	}
	calls := []attack.Call{
		attack.Get("/version"), attack.Get(attack.Ours + mine + "/works"), attack.Get(attack.Core + mine + "/secrets"),
		attack.Patch(attack.Leases + mine + "/leases/agent"), next,
	}
	for _, call := range calls {
		if status, body := call.Do(t, config); status >= 300 {
			t.Fatalf("before: %s: %d %s", call, status, body)
		}
	}
	mustMyapp(t, f, fleet.HubName, "revoke", "revoked")
	revoked := time.Now()
	last := map[string]time.Duration{}
	for refusals := 0; refusals < 3*len(calls); {
		for _, call := range calls {
			if status, _ := call.Do(t, config); status < 300 {
				last[call.String()], refusals = time.Since(revoked), 0
			} else {
				refusals++
			}
		}
		if time.Since(revoked) > 2*revokedWithin {
			t.Fatal("the token is still good")
		}
	}
	for call, after := range last {
		t.Logf("%.60s succeeded for the last time %.1f s after the revocation", call, after.Seconds())
		if after > revokedWithin {
			t.Errorf("%s succeeded after %v", call, after)
		}
	}
	if after := last[next.String()]; after > 0 {
		t.Errorf("a new token was given out %v after the Secret was deleted", after)
	}
	member := &v1.MemberCluster{}
	if err := f.Cluster(fleet.HubName).Client().Get(t.Context(), client.ObjectKey{Name: "revoked"}, member); err != nil {
		t.Fatal(err)
	}
	if member.IsAccepted() {
		t.Error("a member whose agent was revoked is accepted")
	}
}

// An agent follows its hub to another address while it is connected, and stays where it
// is if the new one does not work.
func TestAgentFollowsTheHub(t *testing.T) {
	f := sharedFleet(t)
	hub := f.Cluster(fleet.HubName)
	key := client.ObjectKey{Namespace: fleet.HubNamespace, Name: v1.HubConfigMap}
	endpoint := &corev1.ConfigMap{}
	if err := hub.Client().Get(t.Context(), key, endpoint); err != nil {
		t.Fatal(err)
	}
	set := func(server, ca string) {
		t.Helper()
		now := &corev1.ConfigMap{}
		if err := hub.Client().Get(context.Background(), key, now); err != nil {
			t.Fatal(err)
		}
		now.Data = map[string]string{v1.HubServer: server, v1.HubCA: ca}
		if err := hub.Client().Update(context.Background(), now); err != nil {
			t.Fatal(err)
		}
	}
	before := endpoint.Data
	agent := f.Agent("ab")
	t.Cleanup(func() { set(before[v1.HubServer], before[v1.HubCA]) })
	others := []*fleet.Process{f.Agent("a"), f.Agent("a-b")}

	set("https://127.0.0.1:1", before[v1.HubCA])
	fleet.Eventually(t, soon, "the agent has tried the new address", func(context.Context) error {
		if !strings.Contains(agent.LogTail(50), "which does not work yet") {
			return fmt.Errorf("nothing in its log")
		}
		return nil
	})
	if !agent.Running() {
		t.Fatal("the agent has ended for an address that does not work")
	}
	set(hub.URL(), before[v1.HubCA])
	for _, p := range append(others, agent) {
		select {
		case <-p.Exited():
		case <-time.After(soon):
			t.Fatalf("%s does not follow the hub:\n%s", p.Name(), p.LogTail(20))
		}
	}
	for _, p := range append(others, agent) {
		if err := p.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c, err := f.AgentStore("ab").Load(t.Context())
	if err != nil || c.Server != hub.URL() {
		t.Errorf("the agent goes to %s: %v", c.Server, err)
	}
	// And back, for the other tests.
	set(before[v1.HubServer], before[v1.HubCA])
	for _, p := range append(others, agent) {
		select {
		case <-p.Exited():
		case <-time.After(soon):
			t.Fatalf("%s does not follow the hub back", p.Name())
		}
		if err := p.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// What is printed for a cluster is one word, and all of it is checked.
func TestLinesThatAreNone(t *testing.T) {
	f := sharedFleet(t)
	good := join.Line{Member: "x", Server: "https://hub:6443", CA: f.Cluster(fleet.HubName).Admin().CAData, Token: "t"}
	if _, err := join.ParseLine(good.String()); err != nil {
		t.Fatal(err)
	}
	for reason, change := range map[string]func(*join.Line){
		"no member":         func(l *join.Line) { l.Member = "" },
		"no token":          func(l *join.Line) { l.Token = "" },
		"not verified":      func(l *join.Line) { l.Server = "http://hub" },
		"no host":           func(l *join.Line) { l.Server = "https://" },
		"a user in the URL": func(l *join.Line) { l.Server = "https://a:b@hub" },
		"no certificate":    func(l *join.Line) { l.CA = nil },
		"not a certificate": func(l *join.Line) { l.CA = []byte("x") },
	} {
		l := good
		change(&l)
		if _, err := myapp(t, f, newcomer, "join", "--token", l.String()); err == nil || strings.Contains(err.Error(), l.String()) {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

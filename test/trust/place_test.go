package trust

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/identity"
	"github.com/example/myapp-hub/pkg/join"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// What is on a cluster for one member is not taken by another that is given the wrong
// context, neither when it joins nor when it leaves, in both modes.
func TestAPlaceIsOfOneMember(t *testing.T) {
	f := sharedFleet(t)
	cluster := f.Cluster(newcomer).Client()
	hub := []string{"--hub-kubeconfig", f.Cluster(fleet.HubName).Kubeconfig()}
	onCluster := []string{"--member-kubeconfig", f.Cluster(newcomer).Kubeconfig()}
	leave(t, f, "owner")
	leave(t, f, "pull-owner")
	leave(t, f, "wrong")
	push := func(name string, more ...string) error {
		_, err := myapp(t, f, newcomer, append(append([]string{"join", "--mode", "push", name}, hub...), more...)...)
		return err
	}
	accountOf := func(name string) string {
		t.Helper()
		account := &corev1.ServiceAccount{}
		if err := cluster.Get(t.Context(), client.ObjectKey{Namespace: fleet.HubNamespace, Name: name}, account); err != nil {
			t.Fatal(err)
		}
		return account.Annotations["example.com/member"]
	}
	settled(t, f) // a test before may have emptied it
	if err := push("owner"); err != nil {
		t.Fatal(err)
	}
	if err := push("wrong"); !errors.Is(err, join.ErrTaken) || !strings.Contains(err.Error(), "kubectl myapp leave owner --member-context") {
		t.Errorf("a second Push member took the place of the first: %v", err)
	}
	command, _ := newToken(t, f, "pull-owner")
	mustMyapp(t, f, newcomer, append(command, "--skip-agent")...)
	command, _ = newToken(t, f, "wrong")
	if _, err := myapp(t, f, newcomer, append(command, "--skip-agent")...); !errors.Is(err, join.ErrTaken) {
		t.Errorf("a second Pull member took the place of the first: %v", err)
	}
	if _, err := myapp(t, f, fleet.HubName, append([]string{"leave", "wrong", "--yes"}, onCluster...)...); !errors.Is(err, join.ErrTaken) {
		t.Errorf("a member left a cluster that is not its own: %v", err)
	}
	isMember(t, f, "wrong", v1.ConditionJoined, metav1.ConditionFalse, v1.ReasonAwaitingAgent) // it has not left either
	if _, err := myapp(t, f, fleet.HubName, append([]string{"leave", "owner", "--yes"}, "--member-kubeconfig", f.Cluster(fleet.HubName).Kubeconfig())...); !errors.Is(err, join.ErrTaken) || !strings.Contains(err.Error(), "is a hub") {
		t.Errorf("leave with the hub's own context: %v", err)
	}
	if _, err := myapp(t, f, fleet.HubName, append([]string{"leave", "misspelt", "--yes"}, onCluster...)...); !errors.Is(err, join.ErrNoMember) {
		t.Errorf("a member that never was has left: %v", err)
	}
	if _, err := myapp(t, f, fleet.HubName, append([]string{"join", "--mode", "push", "hub", "--replace"}, hub...)...); !errors.Is(err, join.ErrTaken) || !strings.Contains(err.Error(), "is a hub") {
		t.Errorf("a Push member took the place of the hub's own account: %v", err)
	}
	if _, err := myapp(t, f, fleet.HubName, append([]string{"leave", "owner", "--yes"}, "--member-kubeconfig", f.Cluster("a").Kubeconfig())...); !errors.Is(err, join.ErrNotThere) {
		t.Errorf("a member left a cluster that has nothing of it: %v", err)
	}
	isMember(t, f, "owner", v1.ConditionReady, metav1.ConditionTrue, v1.ReasonConnected)
	if is := []string{accountOf("myapp-hub"), accountOf("myapp-agent")}; is[0] != "owner" || is[1] != "pull-owner" {
		t.Errorf("the accounts are of %v", is)
	}

	record := &corev1.ConfigMap{ObjectMeta: named(fleet.HubNamespace, "myapp-hub-inventory")}
	if err := cluster.Create(t.Context(), record); client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	mustMyapp(t, f, fleet.HubName, append([]string{"leave", "pull-owner", "--yes"}, onCluster...)...)
	if err := cluster.Get(t.Context(), client.ObjectKeyFromObject(record), record); err != nil {
		t.Errorf("the record of kinds went with another member: %v", err)
	}
	mustMyapp(t, f, fleet.HubName, "leave", "owner", "--yes")
	// Interrupted before it came to the cluster.
	mustMyapp(t, f, fleet.HubName, append([]string{"leave", "owner", "--yes"}, onCluster...)...)
	if _, err := myapp(t, f, fleet.HubName, append([]string{"leave", "misspelt", "--yes"}, onCluster...)...); !errors.Is(err, join.ErrNoMember) {
		t.Errorf("a member that never was has left an empty cluster: %v", err)
	}
	isGone(t, f.Cluster(newcomer), record,
		&corev1.ServiceAccount{ObjectMeta: named(fleet.HubNamespace, "myapp-hub")}, &corev1.ServiceAccount{ObjectMeta: named(fleet.HubNamespace, "myapp-agent")})
	settled(t, f)
}

// settled waits until the namespace of accounts on the newcomer is not going away.
func settled(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	fleet.Eventually(t, soon, "the namespace of accounts is not going away", func(ctx context.Context) error {
		namespace := &corev1.Namespace{}
		err := f.Cluster(newcomer).Client().Get(ctx, client.ObjectKey{Name: join.Namespace}, namespace)
		if err == nil && namespace.DeletionTimestamp != nil {
			return errors.New("it is")
		}
		return client.IgnoreNotFound(err)
	})
}

// A cluster that has a hub is given the line of another, which is of no use. It goes on
// with its own hub, and the other one has never seen its token.
func TestATokenGoesToItsHubOnly(t *testing.T) {
	f := sharedFleet(t)
	c := joinedAs(t, f, "faithful")
	var mu sync.Mutex
	var seen []string
	other := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer other.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})

	store := identity.Store{Client: f.Cluster(newcomer).Client(), Key: client.ObjectKey{Namespace: "default", Name: "faithful"}}
	secret := &corev1.Secret{ObjectMeta: named(store.Key.Namespace, store.Key.Name), Data: map[string][]byte{
		identity.KeyMember: []byte(c.Member), identity.KeyServer: []byte(c.Server), identity.KeyCA: c.CA,
	}}
	if err := store.Client.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if err := store.SaveToken(t.Context(), c, c.Token); err != nil {
		t.Fatal(err)
	}
	old, err := store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Client.Get(t.Context(), store.Key, secret); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		identity.KeyMember: "stolen", identity.KeyServer: other.URL, identity.KeyCA: string(authority), identity.KeyJoinToken: "used",
	} {
		secret.Data[key] = []byte(value)
	}
	if err := store.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	// Another tool that puts the same line back does not keep the agent from its token.
	again := secret.DeepCopy()
	again.Data[identity.KeyJoinToken], again.Data[identity.KeyMember] = []byte("used before"), []byte(c.Member)
	again.Data[identity.KeyServer], again.Data[identity.KeyCA] = []byte(c.Server), c.CA
	if err := store.Client.Update(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if err := store.SaveToken(t.Context(), old, c.Token); err != nil {
		t.Errorf("after the same line was put back: %v", err)
	}
	if err := store.Client.Get(t.Context(), store.Key, again); err != nil {
		t.Fatal(err)
	}
	again.Data = secret.Data
	if err := store.Client.Update(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	// The agent of before, which still runs, must not write its token beside that.
	if err := store.SaveToken(t.Context(), old, c.Token); err == nil {
		t.Error("an agent wrote over the line of another hub")
	}
	now, _, err := identity.Begin(t.Context(), store, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if now.Server != c.Server || now.Member != c.Member {
		t.Errorf("the agent goes on with member %s of the hub at %s, and was %s of %s", now.Member, now.Server, c.Member, c.Server)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) == 0 {
		t.Error("the other hub was not asked")
	}
	for _, header := range seen {
		if header != "Bearer used" {
			t.Error("the other hub has seen a token that is not its own")
		}
	}
}

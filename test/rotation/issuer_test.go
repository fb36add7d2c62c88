package rotation

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/identity"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// An API server of the hub that gets another issuer gives its tokens for another
// audience. Agents that joined before go on getting theirs, and still none for anybody
// else.
func TestAgentsOutliveAnIssuer(t *testing.T) {
	const issuer = "https://hub.example.com"
	f := fleet.Start(t, fleet.Pull(pull))
	store := identity.Store{
		Client: f.Cluster(pull).Client(), Key: client.ObjectKey{Namespace: fleet.HubNamespace, Name: "myapp-agent"},
	}
	renew := func(when string) {
		t.Helper()
		before, err := store.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before.Server = f.Cluster(fleet.HubName).URL()
		tokens, err := identity.NewTokens(before, store, clock.RealClock{}, logr.Discard())
		if err != nil {
			t.Fatal(err)
		}
		if err := tokens.Renew(t.Context()); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		after, err := store.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after.Token == before.Token {
			t.Fatalf("%s: the token is that of before", when)
		}
	}
	renew("by the issuer of before")
	if err := f.IssueTokensAs(t.Context(), fleet.HubName, issuer); err != nil {
		t.Fatal(err)
	}
	renew("after the issuer was changed")
	renew("with a token of the new issuer")

	// What the manual says to do before the issuer of before is taken away.
	mailbox := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: v1.MailboxNamespace(pull)}}
	patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"annotations":{"`+v1.AnnotationAudiences+`":"`+issuer+`,https://kubernetes.default.svc"}}}`))
	if err := f.Cluster(fleet.HubName).Client().Patch(t.Context(), mailbox, patch); err != nil {
		t.Fatal(err)
	}
	renew("with both audiences on record")
	now, err := store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(now.Token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(payload), `"aud":["`+issuer) {
		t.Errorf("the token is not for the new audience: %s", payload)
	}
}

package mailbox

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
)

// store is a hub whose list of Works is at a version.
type store struct {
	client.Reader
	version string
	asked   int
}

func (s *store) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	s.asked++
	list.SetResourceVersion(s.version)
	return nil
}

// TestWentBack: a renewal with a lower version than a Work has had makes the agent
// ask how far the hub is, and what it says of Works counts.
func TestWentBack(t *testing.T) {
	for _, tt := range []struct {
		reason        string
		seen          []string
		renewed, list string
		want          bool
		asked         int
	}{
		{"no Work was seen yet", nil, "100", "100", false, 0},
		{"the hub goes on", []string{"99"}, "100", "100", false, 0},
		{"numbers are compared, not strings", []string{"999"}, "1000", "1000", false, 0},
		{"the hub was restored", []string{"50", "1000", "60"}, "999", "999", true, 1},
		{"Leases are in a store of their own", []string{"1000"}, "7", "1001", false, 1},
	} {
		hub := &store{version: tt.list}
		r := &Reconciler{Live: hub, Engine: apply.New(apply.Config{Member: "us-1"})}
		for _, version := range tt.seen {
			r.saw(&v1.Work{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}})
		}
		back, err := r.WentBack(t.Context(), tt.renewed)
		if err != nil || back != tt.want || hub.asked != tt.asked {
			t.Errorf("%s: %v (%v) after %d requests, want %v after %d", tt.reason, back, err, hub.asked, tt.want, tt.asked)
		}
	}
}

package rotation

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// The certificates with which the hub serves its webhook and its metrics are renewed
// again and again, as cert-manager does with the files in a Pod: no request is admitted
// unseen meanwhile, and none fails.
func TestServingCertificates(t *testing.T) {
	f := fleet.Start(t, fleet.Webhook())
	hub := f.Cluster(fleet.HubName).Client()
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	var asked atomic.Int64
	t.Cleanup(func() {
		cancel()
		asking.Wait()
	})
	for range 4 {
		asking.Go(func() {
			for ctx.Err() == nil {
				// Only the webhook sees what is wrong with it.
				app := expect.App("default", "wrong", func(a *v1.MyApp) { a.Spec.Image = "web:$(cluster.nothing)" })
				err := hub.Create(ctx, app, client.DryRunAll)
				switch {
				case ctx.Err() != nil:
				case err == nil:
					t.Error("an app was admitted that the webhook had not seen")
				case !strings.Contains(err.Error(), "cluster.nothing"):
					t.Errorf("a request failed: %v", err)
				}
				asked.Add(1)
			}
		})
	}
	const renewals = 3
	for n := range renewals {
		before := [2]string{serial(t, f.Hub().WebhookAddr), serial(t, f.Hub().MetricsAddr)}
		if err := f.RenewHubCertificates(); err != nil {
			t.Fatal(err)
		}
		since := asked.Load()
		fleet.Eventually(t, soon, fmt.Sprintf("renewal %d is shown", n+1), func(context.Context) error {
			if serial(t, f.Hub().WebhookAddr) == before[0] || serial(t, f.Hub().MetricsAddr) == before[1] {
				return fmt.Errorf("an old certificate is shown")
			}
			if asked.Load() < since+100 {
				return fmt.Errorf("%d requests since", asked.Load()-since)
			}
			return nil
		})
	}
	cancel()
	asking.Wait()
	t.Logf("%d renewals, %d requests, none failed", renewals, asked.Load())
}

// serial is the serial number of the certificate that a server shows.
func serial(t *testing.T, addr string) string {
	t.Helper()
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", addr) //nolint:gosec // it is only looked at
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

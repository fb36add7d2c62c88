package integration

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/example/myapp-hub/pkg/hub/certificate"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// replicas of a hub, as far as the webhook's certificate is concerned, on an API server.
type replicas struct {
	client    client.Client
	namespace string
	keepers   []*certificate.Keeper
}

// start starts another replica, and gives what stops it.
func (r *replicas) start(t *testing.T, f *fleet.Fleet, clock clock.PassiveClock) (stop func()) {
	t.Helper()
	mgr, err := ctrl.NewManager(f.Cluster(bare).Admin(), ctrl.Options{
		Metrics: metricsserver.Options{BindAddress: "0"}, Logger: logr.Discard(),
		Controller: config.Controller{SkipNameValidation: ptr.To(true)}, // a process has one replica elsewhere
	})
	if err != nil {
		t.Fatal(err)
	}
	k := &certificate.Keeper{Namespace: r.namespace, Service: "myapp-hub-webhook", Clock: clock}
	if err := certificate.Setup(mgr, k); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("a replica ended: %v", err)
		}
	})
	t.Cleanup(stop)
	r.keepers = append(r.keepers, k)
	return stop
}

// agreed waits until all replicas serve with one certificate, of which the API server knows
// who has signed it, and which is none of those before. It is the certificate.
func (r *replicas) agreed(t *testing.T, before ...string) string {
	t.Helper()
	var agreed string
	fleet.Eventually(t, soon, "one certificate that is trusted", func(ctx context.Context) error {
		configuration := &admissionv1.ValidatingWebhookConfiguration{}
		if err := r.client.Get(ctx, types.NamespacedName{Name: certificate.ConfigurationName}, configuration); err != nil {
			return err
		}
		agreed = ""
		for i, k := range r.keepers {
			pair, err := k.GetCertificate(nil)
			if err != nil {
				return err
			}
			served := string(pair.Certificate[0])
			if agreed != "" && served != agreed {
				return fmt.Errorf("replica %d serves another certificate", i)
			}
			agreed = served
		}
		for _, b := range before {
			if agreed == b {
				return errors.New("it is the one from before")
			}
		}
		return trusted(configuration, []byte(agreed), r.namespace)
	})
	return agreed
}

// trusted says why an API server would not trust a certificate.
func trusted(configuration *admissionv1.ValidatingWebhookConfiguration, der []byte, namespace string) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	for _, hook := range configuration.Webhooks {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(hook.ClientConfig.CABundle)
		if _, err := cert.Verify(x509.VerifyOptions{CurrentTime: cert.NotBefore.Add(2 * time.Hour), DNSName: "myapp-hub-webhook." + namespace + ".svc", Roots: pool}); err != nil {
			return fmt.Errorf("webhook %s: %w", hook.Name, err)
		}
	}
	return nil
}

// All replicas of a hub serve the webhook with one certificate, which the API server
// trusts, whatever happens to the objects it is kept in.
func TestWebhookCertificate(t *testing.T) {
	f := sharedFleet(t)
	c := f.Client(bare)
	r := &replicas{client: c, namespace: "webhook-certificate"}
	hook := func(name string) admissionv1.ValidatingWebhook {
		return admissionv1.ValidatingWebhook{
			Name: name, SideEffects: ptr.To(admissionv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"}, FailurePolicy: ptr.To(admissionv1.Ignore),
			ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: r.namespace, Name: "myapp-hub-webhook"}},
		}
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: certificate.SecretName}}
	configuration := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: certificate.ConfigurationName}, Webhooks: []admissionv1.ValidatingWebhook{hook("one.example.com")}}
	for _, o := range []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: r.namespace}}} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	stopFirst, stopSecond := r.start(t, f, clock.RealClock{}), r.start(t, f, clock.RealClock{})
	if err := r.keepers[0].Check(nil); err == nil {
		t.Error("a replica without a certificate is ready")
	}
	// Whoever installs the hub may be slower than the hub.
	for _, o := range []client.Object{secret, configuration} {
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := c.Delete(context.Background(), configuration); err != nil {
			t.Error(err)
		}
	})
	first := r.agreed(t)
	for i, k := range r.keepers {
		if err := k.Check(nil); err != nil {
			t.Errorf("replica %d is not ready: %v", i, err)
		}
	}

	edit := func(o client.Object, change func()) {
		t.Helper()
		fleet.Eventually(t, soon, "an edit", func(ctx context.Context) error {
			if err := c.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
			change()
			return c.Update(ctx, o)
		})
	}
	edit(configuration, func() { configuration.Webhooks = append(configuration.Webhooks, hook("two.example.com")) })
	r.agreed(t)
	edit(secret, func() { secret.Data[corev1.TLSCertKey] = []byte("nonsense") })
	second := r.agreed(t, first)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(configuration), configuration); err != nil {
		t.Fatal(err)
	}
	if err := trusted(configuration, []byte(first), r.namespace); err != nil {
		t.Errorf("a replica that still serves the certificate from before is not trusted: %v", err)
	}
	if err := c.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: r.namespace, Name: certificate.SecretName}}
	if err := c.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	third := r.agreed(t, first, second)

	// The replicas of ten months later make another.
	stopFirst()
	stopSecond()
	r.keepers = nil
	r.start(t, f, clocktesting.NewFakePassiveClock(time.Now().Add(300*24*time.Hour)))
	r.agreed(t, first, second, third)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		t.Fatal(err)
	}
	for name, data := range secret.Data {
		if block, _ := pem.Decode(data); block == nil {
			t.Errorf("%s is not PEM", name)
		}
	}
	if len(secret.Data) != 3 {
		t.Errorf("the Secret has %d entries; the key of the authority is for nobody", len(secret.Data))
	}
	version := secret.ResourceVersion
	fleet.Consistently(t, 2*time.Second, "the certificate", func(ctx context.Context) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
			return err
		}
		if secret.ResourceVersion != version {
			return errors.New("it was written again")
		}
		return nil
	})
}

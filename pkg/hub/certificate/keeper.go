package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// SecretName is that of the Secret in the hub's namespace that holds the certificate.
	SecretName = "myapp-hub-webhook"
	// ConfigurationName is that of the ValidatingWebhookConfiguration that is told the
	// authority.
	ConfigurationName = "myapp-hub"

	// settle is how long API servers may take to see whom they are to trust.
	settle = 5 * time.Second
	// checkInterval is how often an unchanged certificate is looked at.
	checkInterval = 12 * time.Hour
)

// errNone says that there is no certificate to serve with yet.
var errNone = errors.New("the hub has no certificate for its webhook yet")

// Keeper keeps the certificate. Every replica has one.
type Keeper struct {
	// Client reads through a cache and writes to the API server. Setup makes it.
	Client client.Client
	// Namespace is the hub's own. Required.
	Namespace string
	// Service is that by which the API server reaches the webhook. Required.
	Service string
	// Clock tells the time. Required.
	Clock clock.PassiveClock
	// Log is told of new certificates. Setup sets it.
	Log logr.Logger

	serving atomic.Pointer[served]
	// next is a certificate that is to be served, and since when this replica knows it.
	next struct {
		pem   []byte
		since time.Time
	}
}

type served struct {
	pem  []byte
	pair tls.Certificate
}

// GetCertificate is for tls.Config.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s := k.serving.Load(); s != nil {
		return &s.pair, nil
	}
	return nil, errNone
}

// Check is a readiness check: a replica that cannot serve the webhook is not asked.
func (k *Keeper) Check(*http.Request) error {
	if k.serving.Load() == nil {
		return errNone
	}
	return nil
}

// Reconcile has the Secret hold a good certificate, the API server trust it, and this
// replica serve with it, in this order. It is called by one goroutine.
func (k *Keeper) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	secret := &corev1.Secret{}
	key := types.NamespacedName{Namespace: k.Namespace, Name: SecretName}
	if err := k.Client.Get(ctx, key, secret); err != nil {
		return k.missing(err, "Secret "+key.String())
	}
	if dnsName := k.dnsName(); !good(secret.Data, dnsName, k.Clock.Now()) {
		if err := k.renew(ctx, secret, dnsName); err != nil {
			return reconcile.Result{}, err
		}
	}
	if err := k.trust(ctx, secret.Data[authorityKey]); err != nil {
		return k.missing(err, "ValidatingWebhookConfiguration "+ConfigurationName)
	}
	if wait := k.unsettled(secret.Data[corev1.TLSCertKey]); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	return reconcile.Result{RequeueAfter: checkInterval}, k.serve(secret.Data)
}

// unsettled is how long to go on with the certificate before, if there is one.
func (k *Keeper) unsettled(cert []byte) time.Duration {
	s := k.serving.Load()
	if s == nil || bytes.Equal(s.pem, cert) {
		return 0
	}
	if !bytes.Equal(k.next.pem, cert) {
		k.next.pem, k.next.since = bytes.Clone(cert), k.Clock.Now()
	}
	return settle - k.Clock.Since(k.next.since)
}

// dnsName is how the API server calls the webhook.
func (k *Keeper) dnsName() string { return k.Service + "." + k.Namespace + ".svc" }

// missing leaves what whoever installs the hub has yet to make to the watch.
func (k *Keeper) missing(err error, what string) (reconcile.Result, error) {
	if !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("reading or writing %s for the webhook's certificate: %w", what, err)
	}
	k.Log.Info("There is no " + what + ": the webhook is not served until it is made, as the chart does")
	return reconcile.Result{}, nil
}

func (k *Keeper) renew(ctx context.Context, secret *corev1.Secret, dnsName string) error {
	fresh, err := issue(secret.Data, dnsName, k.Clock.Now())
	if err != nil {
		return err
	}
	// What the cache has read is not changed; a replica that was faster is a conflict.
	updated := secret.DeepCopy()
	updated.Data = fresh
	if err := k.Client.Update(ctx, updated); err != nil {
		return fmt.Errorf("writing a new certificate of the webhook into Secret %s/%s: %w", secret.Namespace, secret.Name, err)
	}
	k.Log.Info("Made a new certificate for the webhook", "dnsName", dnsName, "validFor", validity)
	*secret = *updated
	return nil
}

// trust tells the API server by whom the webhook's certificate is signed, if it does not
// know. A replica that has yet to see a newer certificate leaves what is said of that: the
// authority before is trusted beside it.
func (k *Keeper) trust(ctx context.Context, authority []byte) error {
	configuration := &admissionv1.ValidatingWebhookConfiguration{}
	if err := k.Client.Get(ctx, types.NamespacedName{Name: ConfigurationName}, configuration); err != nil {
		return err
	}
	changed := configuration.DeepCopy()
	same := true
	for i := range changed.Webhooks {
		client := &changed.Webhooks[i].ClientConfig
		if !bytes.Contains(client.CABundle, first(authority)) {
			client.CABundle, same = authority, false
		}
	}
	if same {
		return nil
	}
	// Locked, so that a webhook that somebody has just added is not taken off again.
	return k.Client.Patch(ctx, changed, client.MergeFromWithOptions(configuration, client.MergeFromWithOptimisticLock{}))
}

func (k *Keeper) serve(data map[string][]byte) error {
	cert := data[corev1.TLSCertKey]
	if s := k.serving.Load(); s != nil && bytes.Equal(s.pem, cert) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return fmt.Errorf("reading the webhook's certificate: %w", err)
	}
	k.serving.Store(&served{pem: bytes.Clone(cert), pair: pair})
	return nil
}

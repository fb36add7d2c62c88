package certificate

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
)

const (
	// validity is how long a certificate and its authority are good.
	validity = 365 * 24 * time.Hour
	// renewBefore is how long before its end a certificate is replaced.
	renewBefore = 90 * 24 * time.Hour
	// backdate is how much clocks may differ.
	backdate = time.Hour

	authorityName = "myapp-hub-webhook-authority"
	authorityKey  = "ca.crt"
)

// serverOnly is what the certificate may be used for.
var serverOnly = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}

// good is true for the content of a Secret that can be served with for a while.
func good(data map[string][]byte, dnsName string, now time.Time) bool {
	valid, err := rotator.ValidCert(data[authorityKey], data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], dnsName, &serverOnly, now.Add(renewBefore))
	return err == nil && valid
}

// issue is the content of a Secret with a new certificate. The authority before, the first
// in the old content, stays trusted.
func issue(old map[string][]byte, dnsName string, now time.Time) (map[string][]byte, error) {
	maker := &rotator.CertRotator{CAName: authorityName, CAOrganization: "MyApp Hub", DNSName: dnsName, ExtKeyUsages: &serverOnly}
	begin, end := now.Add(-backdate), now.Add(validity)
	authority, err := maker.CreateCACert(begin, end)
	if err != nil {
		return nil, fmt.Errorf("making an authority for the webhook's certificate: %w", err)
	}
	cert, key, err := maker.CreateCertPEM(authority, begin, end)
	if err != nil {
		return nil, fmt.Errorf("making the webhook's certificate: %w", err)
	}
	return map[string][]byte{
		authorityKey:            append(bytes.Clone(authority.CertPEM), first(old[authorityKey])...),
		corev1.TLSCertKey:       cert,
		corev1.TLSPrivateKeyKey: key,
	}, nil
}

// first is the first certificate of a PEM bundle.
func first(bundle []byte) []byte {
	const end = "-----END CERTIFICATE-----\n"
	if i := bytes.Index(bundle, []byte(end)); i >= 0 {
		return bundle[:i+len(end)]
	}
	return nil
}

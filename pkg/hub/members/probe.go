package members

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"k8s.io/apimachinery/pkg/version"
)

// maxVersionBody bounds what is read of an answer to /version, in bytes.
const maxVersionBody = 64 << 10

// probeError is a probe that failed: what it means, in words that stay the same
// from one attempt to the next.
type probeError struct {
	phase   Phase
	message string
	err     error
}

func (e *probeError) Error() string { return e.message }
func (e *probeError) Unwrap() error { return e.err }

// probe asks the API server at host for its version, with the credential, and
// reads the whole answer. The context bounds it.
//
//	2xx with a version     the member answers
//	429                    the member answers; it is busy, and dropping its
//	                       caches would make it busier
//	401, 403               the credential is rejected
//	anything else          unreachable
func probe(ctx context.Context, client *http.Client, host string) error {
	target := strings.TrimRight(host, "/") + "/version"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return unreachable(host, "the server URL cannot be used", nil)
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return unreachable(host, describe(err), err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxVersionBody))
	if err != nil {
		return unreachable(host, describe(err), err)
	}
	return judge(host, response.StatusCode, body)
}

func judge(host string, status int, body []byte) error {
	switch {
	case status == http.StatusTooManyRequests:
		return nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &probeError{
			phase: CredentialRejected,
			message: fmt.Sprintf("%s does not accept the credential (%d %s): put a valid kubeconfig into the Secret",
				address(host), status, http.StatusText(status)),
		}
	case status < 200 || status > 299:
		return unreachable(host, strings.TrimSpace(fmt.Sprintf("it answered %d %s", status, http.StatusText(status))), nil)
	}
	var info version.Info
	if err := json.Unmarshal(body, &info); err != nil || info.GitVersion == "" {
		return unreachable(host, "its answer is not that of a Kubernetes API server", nil)
	}
	return nil
}

func unreachable(host, cause string, err error) error {
	return &probeError{
		phase:   Unreachable,
		message: fmt.Sprintf("%s cannot be reached: %s", address(host), cause),
		err:     err,
	}
}

// address is the host and port of a server URL.
func address(host string) string {
	if u, err := url.Parse(host); err == nil && u.Host != "" {
		return u.Host
	}
	return "the server"
}

// describe says why a request failed, in a text that is the same each time it
// fails for that reason: without local ports, resolved addresses, stream
// numbers or times. The first cause that is recognized wins.
func describe(err error) string {
	var (
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		dns         *net.DNSError
		errno       syscall.Errno
		operation   *net.OpError
		timeout     interface{ Timeout() bool }
	)
	switch {
	case errors.As(err, &certificate):
		return describeCertificate(certificate.Err)
	case errors.As(err, &record):
		return "it does not speak TLS"
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return "no such host"
		}
		return "its name cannot be resolved"
	case errors.Is(err, context.Canceled):
		return "the request was ended"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return "it closed the connection"
	case errors.As(err, &operation) && operation.Op == "remote error":
		return "it ended the TLS handshake"
	}
	return "the connection failed"
}

func describeCertificate(err error) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &authority):
		return "its certificate is not signed by the kubeconfig's certificate-authority-data"
	case errors.As(err, &hostname):
		return "its certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "its certificate has expired or is not yet valid"
	}
	return "its certificate cannot be verified"
}

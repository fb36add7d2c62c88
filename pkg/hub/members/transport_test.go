package members

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/rest"
)

func TestClosedTransportKeepsNoConnection(t *testing.T) {
	member := newFakeMember(t)
	defer member.Close()
	tlsConfig, err := rest.TLSConfigFor(member.config())
	if err != nil {
		t.Fatal(err)
	}
	lost := 0
	tr, err := newTransport(member.config(), tlsConfig, func() { lost++ }, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := probe(context.Background(), tr.client, member.URL); err != nil || tr.open() != 1 {
		t.Fatalf("probe: %v, %d connections", err, tr.open())
	}
	tr.close()
	near, far := net.Pipe()
	defer func() { _, _ = near.Close(), far.Close() }()
	if tr.open() != 0 || tr.add(&trackedConn{Conn: near, owner: tr}) || tr.open() != 0 {
		t.Error("a connection whose dial ended after close was kept")
	}
	if lost != 0 {
		t.Errorf("close was taken for %d lost connections", lost)
	}
}

func TestCredentialDoesNotFollowRedirects(t *testing.T) {
	asked := false
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer thief.Close()
	member := newFakeMember(t)
	defer member.Close()
	member.Config.Handler = http.RedirectHandler(thief.URL, http.StatusFound)
	tlsConfig, err := rest.TLSConfigFor(member.config())
	if err != nil {
		t.Fatal(err)
	}
	tr, err := newTransport(member.config(), tlsConfig, func() {}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.close()
	if err := probe(context.Background(), tr.client, member.URL); err == nil || asked {
		t.Errorf("probe: %v; followed: %v", err, asked)
	}
}

package members

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pair is a self-signed certificate and its key in PEM form.
func pair(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}))
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// kubeconfig puts the lines of a cluster and of a user into a file.
func kubeconfig(cluster, user string) string {
	indent := func(s string) string { return "    " + strings.ReplaceAll(s, "\n", "\n    ") + "\n" }
	return "apiVersion: v1\nkind: Config\ncurrent-context: here\n" +
		"contexts:\n- name: here\n  context: {cluster: c, user: u}\n" +
		"clusters:\n- name: c\n  cluster:\n" + indent(cluster) +
		"users:\n- name: u\n  user:\n" + indent(user)
}

const secretToken = "s3cr3t-t0k3n"

func TestParseKubeconfigRefuses(t *testing.T) {
	cert, key := pair(t)
	_, otherKey := pair(t)
	server := "server: https://eu-1.example.com:6443\n"
	cluster := server + "certificate-authority-data: " + b64(cert)
	token := "token: " + secretToken
	good := kubeconfig(cluster, token)

	at := func(address string) string {
		return kubeconfig(strings.Replace(cluster, "https://eu-1.example.com:6443", address, 1), token)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for _, next := range "bcdefghij" {
		bomb += fmt.Sprintf("%c: &%c [*%[3]c,*%[3]c,*%[3]c,*%[3]c,*%[3]c,*%[3]c,*%[3]c,*%[3]c,*%[3]c]\n", next, next, next-1)
	}

	tests := []struct {
		name, reason, data, field string
	}{
		{"a billion laughs", "it would fill the hub's memory", bomb + good, "kubeconfig"},
		{"a key twice", "tools differ in which one counts", strings.Replace(good, "current-context: here\n", "current-context: gone\ncurrent-context: here\n", 1), "kubeconfig"},
		{"a token twice", "the one that was looked at need not be the one that counts", kubeconfig(cluster, token+"\ntoken: other"), "kubeconfig"},
		{"too large", "a kubeconfig has no such size", good + "# " + strings.Repeat("x", 1<<20), "kubeconfig"},
		{"cloud metadata", "the hub must not be made to ask it", at("https://169.254.169.254"), "cluster.server"},
		{"cloud metadata, IPv6", "as above", at("https://[fe80::a9fe:a9fe]:443"), "cluster.server"},
		{"no address", "it is whoever listens on the hub", at("https://0.0.0.0:6443"), "cluster.server"},
		{"everybody", "nobody has it", at("https://224.0.0.1:6443"), "cluster.server"},
		{"a query", "it would go to a proxy's log", at("https://eu-1.example.com?token=" + secretToken), "cluster.server"},
		{"a fragment", "it means nothing to a server", at("https://eu-1.example.com#x"), "cluster.server"},
		{"a port that is none", "it cannot be dialled", at("https://eu-1.example.com:70000"), "cluster.server"},
		{"no URL", "as above", at("https://eu-1 .example.com"), "cluster.server"},
		{"a file", "the hub reads no files", at("file:///etc/passwd"), "cluster.server"},
		{"a socket", "as above", at("unix:///var/run/docker.sock"), "cluster.server"},
		{"empty", "nothing to connect with", " \n", "kubeconfig"},
		{"not YAML", "the decoder's error could quote the input", "token: " + secretToken + "\n\t- {", "kubeconfig"},
		{"wrong type", "the decoder's error could quote the input", "clusters: " + secretToken, "kubeconfig"},
		{"other kind", "any YAML parses", strings.Replace(good, "kind: Config", "kind: Pod", 1), "kind"},
		{"no current-context", "guessing may choose another cluster", strings.Replace(good, "current-context: here\n", "", 1), "current-context"},
		{"unknown current-context", "it names nothing", strings.Replace(good, "current-context: here", "current-context: gone", 1), "current-context"},
		{"two such contexts", "tools differ in which one counts", strings.Replace(good, "contexts:\n", "contexts:\n- name: here\n  context: {cluster: x, user: y}\n", 1), "current-context"},
		{"unknown cluster", "it names nothing", strings.Replace(good, "{cluster: c,", "{cluster: x,", 1), "context.cluster"},
		{"two such clusters", "tools differ in which one counts", strings.Replace(good, "\nclusters:\n", "\nclusters:\n- name: c\n  cluster: {}\n", 1), "context.cluster"},
		{"unknown user", "it names nothing", strings.Replace(good, "user: u}", "user: x}", 1), "context.user"},
		{"two such users", "tools differ in which one counts", strings.Replace(good, "\nusers:\n", "\nusers:\n- name: u\n  user: {}\n", 1), "context.user"},
		{"http", "the credential would go in clear", kubeconfig(strings.Replace(cluster, "https", "http", 1), token), "cluster.server"},
		{"no server", "client-go would take localhost", kubeconfig("certificate-authority-data: "+b64(cert), token), "cluster.server"},
		{"bare host", "client-go would take http", kubeconfig(strings.Replace(cluster, "https://", "", 1), token), "cluster.server"},
		{"user in server", "a password in a URL gets into messages", kubeconfig(strings.Replace(cluster, "https://", "https://joe:"+secretToken+"@", 1), token), "cluster.server"},
		{"insecure", "anybody could answer", kubeconfig(server+"insecure-skip-tls-verify: true", token), "cluster.insecure-skip-tls-verify"},
		{"CA file", "the hub's files are not the user's", kubeconfig(server+"certificate-authority: /etc/ca.crt", token), "cluster.certificate-authority"},
		{"proxy", "the credential would go to another host", kubeconfig(cluster+"\nproxy-url: http://proxy", token), "cluster.proxy-url"},
		{"no CA", "system roots are not enough", kubeconfig(strings.TrimSpace(server), token), "cluster.certificate-authority-data"},
		{"CA is no certificate", "the pool would be empty", kubeconfig(server+"certificate-authority-data: "+b64("no"), token), "cluster.certificate-authority-data"},
		{"exec", "it would run a program on the hub", kubeconfig(cluster, "exec: {command: sh, apiVersion: v1}"), "user.exec"},
		{"auth-provider", "it would run code with the user's settings", kubeconfig(cluster, "auth-provider: {name: oidc}"), "user.auth-provider"},
		{"certificate file", "the hub's files are not the user's", kubeconfig(cluster, "client-certificate: /tmp/c"), "user.client-certificate"},
		{"key file", "the hub's files are not the user's", kubeconfig(cluster, "client-key: /tmp/k"), "user.client-key"},
		{"token file", "it could be the hub's own token", kubeconfig(cluster, token+"\ntokenFile: /var/run/secrets/token"), "user.tokenFile"},
		{"impersonated user", "needs a right that no member should give", kubeconfig(cluster, token+"\nas: admin"), "user.as"},
		{"impersonated UID", "as above", kubeconfig(cluster, token+"\nas-uid: x"), "user.as-uid"},
		{"impersonated groups", "as above", kubeconfig(cluster, token+"\nas-groups: [x]"), "user.as-groups"},
		{"impersonated extra", "as above", kubeconfig(cluster, token+"\nas-user-extra: {a: [b]}"), "user.as-user-extra"},
		{"password", "no API server takes it any more", kubeconfig(cluster, "username: joe\npassword: "+secretToken), "user.username"},
		{"token with line break", "it cannot be a header", kubeconfig(cluster, "token: |\n  "+secretToken+"\n"), "user.token"},
		{"no credential", "it would be anonymous", kubeconfig(cluster, "{}"), "user"},
		{"certificate without key", "half a credential", kubeconfig(cluster, "client-certificate-data: "+b64(cert)), "user.client-key-data"},
		{"key without certificate", "half a credential", kubeconfig(cluster, "client-key-data: "+b64(key)), "user.client-certificate-data"},
		{"foreign key", "the handshake would fail", kubeconfig(cluster, "client-certificate-data: "+b64(cert)+"\nclient-key-data: "+b64(otherKey)), "user.client-certificate-data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := ParseKubeconfig([]byte(tt.data))
			var refused *RefusedError
			if !errors.As(err, &refused) || cfg != nil {
				t.Fatalf("ParseKubeconfig: got %v, %v; want it refused: %s", cfg, err, tt.reason)
			}
			if refused.Field != tt.field || refused.Remedy == "" {
				t.Errorf("got field %q and remedy %q; want field %q: %s", refused.Field, refused.Remedy, tt.field, tt.reason)
			}
			for _, secret := range []string{secretToken, b64(key), b64(otherKey), b64(cert), "eu-1.example.com"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error quotes the kubeconfig: %v", err)
				}
			}
		})
	}
}

func TestParseKubeconfigAccepts(t *testing.T) {
	cert, key := pair(t)
	cluster := "server: https://eu-1.example.com:6443/k8s\ncertificate-authority-data: " + b64(cert)
	unused := "\n- name: other\n  user: {exec: {command: sh}}\n"
	tests := []struct {
		name, reason, data, token, serverName string
		certificate                           bool
	}{
		{"token", "a ServiceAccount", kubeconfig(cluster, "token: "+secretToken), secretToken, "", false},
		{"certificate", "an admin.conf", kubeconfig(cluster, "client-certificate-data: "+b64(cert)+"\nclient-key-data: "+b64(key)), "", "", true},
		{"server name", "an address that is not in the certificate", kubeconfig(cluster+"\ntls-server-name: kubernetes", "token: "+secretToken), secretToken, "kubernetes", false},
		{"unused user", "only the current context counts", kubeconfig(cluster, "token: "+secretToken) + unused, secretToken, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, err := ParseKubeconfig([]byte(tt.data))
			if err != nil {
				t.Fatalf("ParseKubeconfig: %v; want it accepted: %s", err, tt.reason)
			}
			got := []any{cfg.Host, cfg.BearerToken, cfg.ServerName, string(cfg.CAData), len(cfg.CertData) > 0, cfg.QPS, cfg.UserAgent, cfg.Timeout}
			want := []any{"https://eu-1.example.com:6443/k8s", tt.token, tt.serverName, cert, tt.certificate, float32(-1), "myapp-hub", time.Duration(0)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("configuration (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSecretsLoseTheirAnnotations(t *testing.T) {
	secret := partial(secretKind)
	secret.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": secretToken}
	out, err := onlyHash(secret)
	if err != nil || out.(client.Object).GetAnnotations() != nil {
		t.Errorf("%v, %v", out, err)
	}
}

// FuzzParseKubeconfig: whatever is in it, what comes out of it is a verified https
// connection with a credential of its own, or an error that quotes nothing.
func FuzzParseKubeconfig(f *testing.F) {
	cert, key := pair(f)
	cluster := "server: https://eu-1.example.com:6443\ncertificate-authority-data: " + b64(cert)
	f.Add([]byte(kubeconfig(cluster, "token: "+secretToken)))
	f.Add([]byte(kubeconfig(cluster, "client-certificate-data: "+b64(cert)+"\nclient-key-data: "+b64(key))))
	f.Add([]byte(kubeconfig(cluster+"\nproxy-url: socks5://x", "exec: {command: sh, apiVersion: v1}")))
	f.Add([]byte(kubeconfig(cluster+"\ninsecure-skip-tls-verify: true", "tokenFile: /var/run/secrets/token\nas: admin")))
	f.Add([]byte(`{"clusters":[{"name":"c","cluster":null}],"users":null,"contexts":[{}],"current-context":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseKubeconfig(data)
		if err != nil {
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Field == "" || refused.Remedy == "" || strings.Contains(err.Error(), secretToken) {
				t.Fatalf("an error that does not help: %v", err)
			}
			return
		}
		server, err := url.Parse(c.Host)
		switch {
		case err != nil || server.Scheme != "https" || server.Host == "" || server.User != nil:
			t.Fatalf("the server is %q", c.Host)
		case c.Insecure || len(c.CAData) == 0 || c.CAFile != "" || c.CertFile != "" || c.KeyFile != "" || c.BearerTokenFile != "":
			t.Fatalf("it reads files, or verifies nothing: %v", c)
		case c.ExecProvider != nil || c.AuthProvider != nil || c.Impersonate.UserName != "" || c.Proxy != nil || c.Username != "" || c.Dial != nil:
			t.Fatalf("it goes elsewhere, or as somebody else: %v", c)
		case c.BearerToken == "" && len(c.CertData) == 0:
			t.Fatal("it has no credential")
		}
	})
}

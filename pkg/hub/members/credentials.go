package members

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// userAgent is what the hub calls itself on members.
const userAgent = "myapp-hub"

// maxKubeconfig is the size of a kubeconfig in bytes that nobody needs: a large one has
// some ten thousand for each cluster.
const maxKubeconfig = 256 << 10

// RefusedError says why a kubeconfig is not accepted. It never has anything of
// the kubeconfig in it but the name of the field, so it can be shown to anyone.
type RefusedError struct {
	// Field is the path of the field within the kubeconfig, such as "user.exec".
	Field string
	// Remedy says what to do about it.
	Remedy string
}

// Error returns the field and the remedy.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the kubeconfig is refused: %s: %s", e.Field, e.Remedy)
}

func refuse(field, remedy string) error { return &RefusedError{Field: field, Remedy: remedy} }

// ParseKubeconfig turns the current context of a kubeconfig into the
// configuration of a connection, without dialling and without reading a file.
//
// A kubeconfig is given to the hub by someone who may be less trusted than the
// hub itself. Therefore only what is listed here is ever copied out of it:
// server, certificate-authority-data, tls-server-name, disable-compression,
// token, client-certificate-data and client-key-data. Everything that would run
// a program, read the hub's files, act as somebody else, go through another
// host or skip verification is refused. Entries that the current context does
// not use are not looked at.
//
// certificate-authority-data is required, also where the server has a publicly
// trusted certificate: the system's roots would make every public CA, and
// whoever can change the hub's image, a party to the trust in a member.
//
// Client-side rate limiting is off (QPS -1; API priority and fairness does that
// job) and there is no overall timeout, which would end watches.
//
// The error is a *RefusedError.
func ParseKubeconfig(data []byte) (*rest.Config, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, refuse("kubeconfig", "it is empty; store a kubeconfig under the key that kubeconfigSecretRef names")
	}
	if len(data) > maxKubeconfig {
		return nil, refuse("kubeconfig", fmt.Sprintf("it has more than %d bytes; store one with a single cluster, user and context (kubectl config view --minify --flatten)", maxKubeconfig))
	}
	var file clientcmdv1.Config
	// The decoders' errors may quote the input, so they are dropped. A key that is there
	// twice is refused: which one counts differs between tools.
	_, err := yaml.YAMLToJSONStrict(data)
	if err == nil {
		err = yaml.Unmarshal(data, &file)
	}
	if err != nil {
		return nil, refuse("kubeconfig", "it cannot be read, or has a key twice; check it with kubectl --kubeconfig FILE config view")
	}
	if (file.Kind != "" && file.Kind != "Config") || (file.APIVersion != "" && file.APIVersion != "v1") {
		return nil, refuse("kind", "it is not a kubeconfig; kind must be Config and apiVersion v1")
	}
	cluster, user, err := currentContext(&file)
	if err != nil {
		return nil, err
	}
	if err := checkCluster(cluster); err != nil {
		return nil, err
	}
	if err := checkUser(user); err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:               cluster.Server,
		DisableCompression: cluster.DisableCompression,
		BearerToken:        user.Token,
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: cluster.TLSServerName,
			CAData:     cluster.CertificateAuthorityData,
			CertData:   user.ClientCertificateData,
			KeyData:    user.ClientKeyData,
		},
		QPS:       -1,
		UserAgent: userAgent,
	}, nil
}

// currentContext resolves current-context. Names must be unique where they are
// used: which of two entries counts differs between tools.
func currentContext(file *clientcmdv1.Config) (*clientcmdv1.Cluster, *clientcmdv1.AuthInfo, error) {
	if file.CurrentContext == "" {
		return nil, nil, refuse("current-context", "it is missing; name the context to use")
	}
	var contexts []*clientcmdv1.Context
	for i := range file.Contexts {
		if file.Contexts[i].Name == file.CurrentContext {
			contexts = append(contexts, &file.Contexts[i].Context)
		}
	}
	if len(contexts) != 1 {
		return nil, nil, refuse("current-context", "it must name exactly one entry of contexts; "+found(len(contexts)))
	}
	var clusters []*clientcmdv1.Cluster
	for i := range file.Clusters {
		if file.Clusters[i].Name == contexts[0].Cluster {
			clusters = append(clusters, &file.Clusters[i].Cluster)
		}
	}
	if len(clusters) != 1 {
		return nil, nil, refuse("context.cluster", "it must name exactly one entry of clusters; "+found(len(clusters)))
	}
	var users []*clientcmdv1.AuthInfo
	for i := range file.AuthInfos {
		if file.AuthInfos[i].Name == contexts[0].AuthInfo {
			users = append(users, &file.AuthInfos[i].AuthInfo)
		}
	}
	if len(users) != 1 {
		return nil, nil, refuse("context.user", "it must name exactly one entry of users; "+found(len(users)))
	}
	return clusters[0], users[0], nil
}

func found(n int) string {
	if n == 0 {
		return "there is none of that name"
	}
	return "there are several of that name, remove all but one"
}

func checkCluster(c *clientcmdv1.Cluster) error {
	switch {
	case c.InsecureSkipTLSVerify:
		return refuse("cluster.insecure-skip-tls-verify", "the server's certificate must be verified; remove it and set certificate-authority-data")
	case c.CertificateAuthority != "":
		return refuse("cluster.certificate-authority", "the hub reads no files; put the certificate inline as certificate-authority-data (kubectl config view --flatten)")
	case c.ProxyURL != "":
		return refuse("cluster.proxy-url", "the hub connects directly; remove it, or make the cluster a Pull member")
	case len(c.CertificateAuthorityData) == 0:
		return refuse("cluster.certificate-authority-data", "it is missing; set it to the CA certificate of the API server, base64 encoded")
	case !x509.NewCertPool().AppendCertsFromPEM(c.CertificateAuthorityData):
		return refuse("cluster.certificate-authority-data", "it holds no certificate; set it to the CA certificate in PEM form, base64 encoded")
	}
	server, err := url.Parse(c.Server)
	if err != nil || server.Scheme != "https" || server.Hostname() == "" {
		return refuse("cluster.server", "it must be a URL that starts with https://")
	}
	if server.User != nil || server.RawQuery != "" || server.Fragment != "" {
		return refuse("cluster.server", "it must have no user, query or fragment; use https://HOST:PORT")
	}
	if port := server.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return refuse("cluster.server", "its port is none; use https://HOST:PORT")
		}
	}
	if address, err := netip.ParseAddr(server.Hostname()); err == nil && !reachable(address) {
		return refuse("cluster.server", "its address is none that a cluster can have; use the name or address of the API server")
	}
	return nil
}

// reachable is false for addresses that no API server has but that something beside the
// hub may answer at, such as the metadata of a cloud's machine.
func reachable(a netip.Addr) bool {
	a = a.Unmap()
	return !a.IsUnspecified() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && a.Zone() == ""
}

func checkUser(u *clientcmdv1.AuthInfo) error {
	switch {
	case u.Exec != nil:
		return refuse("user.exec", "the hub runs no credential plugins; use the token of a ServiceAccount or a client certificate")
	case u.AuthProvider != nil:
		return refuse("user.auth-provider", "the hub runs no credential plugins; use the token of a ServiceAccount or a client certificate")
	case u.ClientCertificate != "":
		return refuse("user.client-certificate", "the hub reads no files; put the certificate inline as client-certificate-data (kubectl config view --flatten)")
	case u.ClientKey != "":
		return refuse("user.client-key", "the hub reads no files; put the key inline as client-key-data (kubectl config view --flatten)")
	case u.TokenFile != "":
		return refuse("user.tokenFile", "the hub reads no files; put the token inline as token")
	case u.Impersonate != "":
		return refuse("user.as", "the hub impersonates nobody; use a credential of its own")
	case u.ImpersonateUID != "":
		return refuse("user.as-uid", "the hub impersonates nobody; use a credential of its own")
	case len(u.ImpersonateGroups) > 0:
		return refuse("user.as-groups", "the hub impersonates nobody; use a credential of its own")
	case len(u.ImpersonateUserExtra) > 0:
		return refuse("user.as-user-extra", "the hub impersonates nobody; use a credential of its own")
	case u.Username != "" || u.Password != "":
		return refuse("user.username", "passwords are not supported; use the token of a ServiceAccount or a client certificate")
	case strings.ContainsFunc(u.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return refuse("user.token", "it has blanks, line breaks or other characters that no token has; store the bare token")
	}
	return checkClientCertificate(u)
}

func checkClientCertificate(u *clientcmdv1.AuthInfo) error {
	cert, key := len(u.ClientCertificateData) > 0, len(u.ClientKeyData) > 0
	switch {
	case !cert && !key && u.Token == "":
		return refuse("user", "it has no credential; set token, or client-certificate-data and client-key-data")
	case cert && !key:
		return refuse("user.client-key-data", "it is missing; client-certificate-data needs its key")
	case key && !cert:
		return refuse("user.client-certificate-data", "it is missing; client-key-data needs its certificate")
	case cert && key:
		// The error is dropped: it must not quote either of them.
		if _, err := tls.X509KeyPair(u.ClientCertificateData, u.ClientKeyData); err != nil {
			return refuse("user.client-certificate-data", "it and client-key-data are not a matching pair in PEM form")
		}
	}
	return nil
}

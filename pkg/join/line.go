package join

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
)

// Line is what a cluster needs to know to join: all of it is in the one argument of
// kubectl myapp join --token.
type Line struct {
	// Member is the name of the MemberCluster, Namespace its spec.namespace or empty.
	Member    string `json:"member"`
	Namespace string `json:"namespace,omitempty"`
	// Server is the URL of the hub's API server, CA the certificates that it is
	// verified with, in PEM form.
	Server string `json:"server"`
	CA     []byte `json:"ca"`
	// Token is the join token. It is a secret until it was used.
	Token string `json:"token"`
}

// String is the Line as one word.
func (l Line) String() string {
	raw, err := json.Marshal(l)
	if err != nil {
		panic(err) // strings and bytes can always be encoded
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

var errLine = errors.New("it is not what kubectl myapp token create has printed: copy the whole line")

// ParseLine reads what String has written.
func ParseLine(text string) (Line, error) {
	var l Line
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || json.Unmarshal(raw, &l) != nil || l.Member == "" || l.Token == "" {
		return Line{}, errLine // the cause may quote the token
	}
	server, err := url.Parse(l.Server)
	if err != nil || server.Scheme != "https" || server.Host == "" || server.User != nil {
		return Line{}, errors.New("the hub's address in it is no https URL: " + errLine.Error())
	}
	if !x509.NewCertPool().AppendCertsFromPEM(l.CA) {
		return Line{}, errors.New("it has no certificate of the hub: " + errLine.Error())
	}
	return l, nil
}

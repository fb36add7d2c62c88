package health

import (
	"regexp"
	"strings"
)

const (
	// messageRunes bounds what an object or a rule says.
	messageRunes = 512
	// causeRunes bounds why pods are not ready.
	causeRunes = 400
)

// short is s on one line, valid UTF-8, and cut to a number of runes.
func short(s string, most int) string {
	// What is far too long is not looked at.
	if len(s) > 8*most {
		s = s[:8*most]
	}
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "�")), " ")
	if len(s) <= most {
		return s
	}
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}

// unstable is what clusters write into messages and what differs from pod to pod
// and from one try to the next. The order matters: what is part of another comes
// after it.
var unstable = []struct {
	pattern *regexp.Regexp
	with    string
}{
	// Addresses with a password, or signed by their query.
	{regexp.MustCompile(`(https?://)(?:[^\s"'/@]*@)?([^\s"'?]*)(?:\?[^\s"']*)?`), "$1$2"},
	// Names with a random end: pod=web-7d4b9-x2x_shop(uid), in pod web-7d4b9-x2x_shop(uid), pods "web-7d4b9-x2x".
	{regexp.MustCompile(` (?:in |of |for )?pod[ =]"?[^\s"()]+_[^\s"()]+(?:\([0-9a-f-]+\))?"?`), ""},
	{regexp.MustCompile(`\b(pod|replica set|replicaset)s? "[^"]*"`), "$1"},
	{regexp.MustCompile(`\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`), "…"},
	// IDs of containers, but not the digests of images.
	{regexp.MustCompile(`(^|[^:0-9a-f])[0-9a-f]{64}\b`), "$1…"},
	// Addresses of pods, and the ports that connections come from.
	{regexp.MustCompile(`(^|[\s"/\[>(])\d{1,3}(?:\.\d{1,3}){3}\b`), "${1}IP"},
	{regexp.MustCompile(`:\d+->`), "->"},
	// How long and how often.
	{regexp.MustCompile(`\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?(?:ms|µs|us|ns|s)\b`), "…"},
	// How much others use.
	{regexp.MustCompile(`, used: [^\s]*[^\s,]`), ""},
	{regexp.MustCompile(`\bback-off … `), "back-off "},
}

// stable is a cluster's message without what changes while nothing has changed.
func stable(message string) string {
	// Longer than any message that a cluster gives; short cuts it further.
	if len(message) > 8*messageRunes {
		message = message[:8*messageRunes]
	}
	for _, u := range unstable {
		message = u.pattern.ReplaceAllString(message, u.with)
	}
	return message
}

package render

import (
	"fmt"
	"strings"

	v1 "github.com/example/myapp-hub/api/v1"
)

// image is a reference to a container image in its parts.
type image struct {
	// registry is the host, with a port and a path if a mirror has them; empty
	// if the reference has none and a kubelet takes its default.
	registry string
	// repository is the path after the registry.
	repository string
	tag        string
	digest     string
}

// parseImage takes a reference apart as docker does: what comes before the first
// slash is a registry if it has a dot or a colon or is localhost.
func parseImage(reference string) (image, error) {
	var i image
	name, digest, hasDigest := strings.Cut(reference, "@")
	if hasDigest && !strings.Contains(digest, ":") {
		return i, fmt.Errorf("the digest of image %q has no algorithm: write it as @sha256:DIGITS", reference)
	}
	i.digest = digest
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, '/') {
		name, i.tag = name[:colon], name[colon+1:]
		if i.tag == "" {
			return i, fmt.Errorf("image %q ends in a colon: add the tag or remove the colon", reference)
		}
	}
	i.repository = name
	if host, path, ok := strings.Cut(name, "/"); ok && isHost(host) {
		i.registry, i.repository = host, path
	}
	if i.repository == "" || strings.HasPrefix(i.repository, "/") || strings.HasSuffix(i.repository, "/") {
		return i, fmt.Errorf("image %q has no name: write a reference like registry.example.com/web:1.4", reference)
	}
	return i, nil
}

func isHost(s string) bool { return s == "localhost" || strings.ContainsAny(s, ".:") }

// override changes the parts that o names. A registry takes the place of the
// host and leaves the path as it is written: nginx becomes mirror.eu/nginx.
func (i image) override(o *v1.ImageOverride) image {
	if o.Registry != "" {
		i.registry = strings.TrimSuffix(o.Registry, "/")
	}
	if o.Repository != "" {
		i.repository = o.Repository
	}
	if o.Tag != "" {
		i.tag, i.digest = o.Tag, ""
	}
	if o.Digest != "" {
		i.tag, i.digest = "", o.Digest
	}
	return i
}

// String is the reference.
func (i image) String() string {
	reference := i.repository
	if i.registry != "" {
		reference = i.registry + "/" + reference
	}
	if i.tag != "" {
		reference += ":" + i.tag
	}
	if i.digest != "" {
		reference += "@" + i.digest
	}
	return reference
}

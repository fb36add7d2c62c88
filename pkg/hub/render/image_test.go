package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	v1 "github.com/example/myapp-hub/api/v1"
)

const digest = "sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1"

func TestParseImage(t *testing.T) {
	for reference, want := range map[string]image{
		"nginx":                           {repository: "nginx"},
		"nginx:1.27":                      {repository: "nginx", tag: "1.27"},
		"team/web":                        {repository: "team/web"},
		"localhost/web":                   {registry: "localhost", repository: "web"},
		"localhost:5000/web:1":            {registry: "localhost:5000", repository: "web", tag: "1"},
		"registry:5000/web":               {registry: "registry:5000", repository: "web"},
		"docker.io/library/nginx":         {registry: "docker.io", repository: "library/nginx"},
		"registry.example.com/a/b/c:1":    {registry: "registry.example.com", repository: "a/b/c", tag: "1"},
		"web@" + digest:                   {repository: "web", digest: digest},
		"r.example.com:1/web:1@" + digest: {registry: "r.example.com:1", repository: "web", tag: "1", digest: digest},
		"[::1]:5000/web:1":                {registry: "[::1]:5000", repository: "web", tag: "1"},
	} {
		got, err := parseImage(reference)
		if err != nil || got != want {
			t.Errorf("%s is %+v (%v), want %+v", reference, got, err, want)
		}
		if got.String() != reference {
			t.Errorf("%s is written as %s", reference, got)
		}
	}
	for _, reference := range []string{"", ":1", "registry.example.com/", "registry.example.com/:1", "web:", "web@1", "/web", "@" + digest} {
		if got, err := parseImage(reference); err == nil {
			t.Errorf("%q is read as %+v", reference, got)
		}
	}
}

func TestOverrideImage(t *testing.T) {
	for _, tt := range []struct {
		reason, image string
		override      v1.ImageOverride
		want          string
	}{
		{"a registry goes before a name that has none", "nginx", v1.ImageOverride{Registry: "mirror.eu"}, "mirror.eu/nginx"},
		{"a path is no registry", "team/web:1", v1.ImageOverride{Registry: "mirror.eu"}, "mirror.eu/team/web:1"},
		{"a registry takes the place of another", "registry.example.com:5000/web:1", v1.ImageOverride{Registry: "mirror.eu"}, "mirror.eu/web:1"},
		{"a registry with a path", "docker.io/library/nginx", v1.ImageOverride{Registry: "mirror.eu/hub/"}, "mirror.eu/hub/library/nginx"},
		{"a registry leaves tag and digest", "web:1@" + digest, v1.ImageOverride{Registry: "mirror.eu"}, "mirror.eu/web:1@" + digest},
		{"a repository leaves the registry", "registry.example.com/web:1", v1.ImageOverride{Repository: "team/web"}, "registry.example.com/team/web:1"},
		{"a repository without a registry", "nginx", v1.ImageOverride{Repository: "team/nginx"}, "team/nginx"},
		{"a tag", "web", v1.ImageOverride{Tag: "2"}, "web:2"},
		{"a tag takes the place of a digest", "web:1@" + digest, v1.ImageOverride{Tag: "2"}, "web:2"},
		{"a digest takes the place of a tag", "web:1", v1.ImageOverride{Digest: digest}, "web@" + digest},
		{"all at once", "a.b/c:1", v1.ImageOverride{Registry: "x.y", Repository: "z", Tag: "2"}, "x.y/z:2"},
		{"nothing", "a.b/c:1", v1.ImageOverride{}, "a.b/c:1"},
	} {
		parsed, err := parseImage(tt.image)
		if err != nil {
			t.Fatal(err)
		}
		if got := parsed.override(&tt.override).String(); got != tt.want {
			t.Errorf("%s: %s becomes %s, want %s", tt.reason, tt.image, got, tt.want)
		}
	}
}

// TestImageRoundTrip: parts that are put together are taken apart as they were.
func TestImageRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := image{
			registry:   rapid.StringMatching(`([a-z]+\.[a-z]+(:[0-9]{1,4})?|localhost)?`).Draw(t, "registry"),
			repository: rapid.StringMatching(`[a-z0-9]{1,5}(/[a-z0-9]{1,5}){0,3}`).Draw(t, "repository"),
			tag:        rapid.StringMatching(`([a-zA-Z0-9_][a-zA-Z0-9_.-]{0,5})?`).Draw(t, "tag"),
		}
		if strings.HasPrefix(i.repository, "localhost/") {
			t.Skip("a registry")
		}
		if rapid.Bool().Draw(t, "digest") {
			i.digest = digest
		}
		got, err := parseImage(i.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(i, got, cmp.AllowUnexported(image{})); diff != "" {
			t.Fatalf("%s (-put together +taken apart):\n%s", i, diff)
		}
	})
}

package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	ociv1 "github.com/google/go-containerregistry/pkg/v1"
)

// made is the index of a program with an image for each of two architectures.
func made(t *testing.T, content string) (ociv1.ImageIndex, ociv1.Image) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "hub")
	if err := os.WriteFile(binary, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	images := map[string]ociv1.Image{}
	for _, arch := range []string{"amd64", "arm64"} {
		image, err := imageOf(binary, "hub", arch, "v1")
		if err != nil {
			t.Fatal(err)
		}
		images[arch] = image
	}
	return indexOf(images), images["arm64"]
}

// One content is one digest, whoever makes an image of it, and when.
func TestImagesAreTheSameToTheByte(t *testing.T) {
	first, _ := made(t, "a program")
	second, _ := made(t, "a program")
	other, _ := made(t, "another program")
	digests := map[string]string{}
	for name, index := range map[string]ociv1.ImageIndex{"first": first, "second": second, "other": other} {
		digest, err := index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests[name] = digest.String()
	}
	if digests["first"] != digests["second"] || digests["first"] == digests["other"] {
		t.Errorf("digests are %v", digests)
	}
}

// An image holds one file, which everybody may run and nobody may change, and runs as a
// user without rights.
func TestImageHoldsTheProgramAndNothingElse(t *testing.T) {
	_, image := made(t, "a program")
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if file.Config.User != "65532:65532" || len(file.Config.Entrypoint) != 1 || file.Config.Entrypoint[0] != "/hub" || file.OS != "linux" || file.Architecture != "arm64" {
		t.Errorf("the configuration is %+v for %s/%s", file.Config, file.OS, file.Architecture)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("there are %d layers (%v)", len(layers), err)
	}
	reader, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	archive := tar.NewReader(reader)
	header, err := archive.Next()
	if err != nil {
		t.Fatal(err)
	}
	if header.Name != "hub" || header.Mode != 0o555 || header.Uid != 0 || header.ModTime.Unix() != 0 {
		t.Errorf("the file is %+v", header)
	}
	if _, err := archive.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("there is another file (%v)", err)
	}
}

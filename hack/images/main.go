// Command images builds the container images of hub and agent, with Go alone: a static
// binary in an otherwise empty image needs no container engine to put it there. What is
// built twice of one commit and version, with one version of Go, is the same to the byte,
// whoever builds it and when.
//
//	go run ./hack/images -version v1.2.3 -out dist/images
//
// makes, for each of hub and agent,
//
//	dist/images/hub/               an OCI layout with an index of all platforms
//	dist/images/hub-amd64.tar      for docker load, or to import into a node
//	dist/images/hub-arm64.tar
//
// With -push REPOSITORY the indexes go to REPOSITORY/hub and REPOSITORY/agent instead,
// with the credentials of the container engine's configuration. Other programs of this
// repository become images by -programs NAME=PACKAGE,...
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ociv1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// largest is how many bytes an image may have where it is unpacked.
const largest = 60_000_000

type options struct {
	version, repository, out, push string
	architectures, programs        []string
}

func main() {
	var o options
	var architectures, programs string
	flag.StringVar(&o.version, "version", "", "version, the images' tag and what the binaries say of themselves; required")
	flag.StringVar(&o.repository, "repository", "myapp-hub", "what image names begin with, before /hub and /agent, in the files for docker load")
	flag.StringVar(&o.out, "out", "dist/images", "directory for the images")
	flag.StringVar(&o.push, "push", "", "repository to push the images to, instead of writing files")
	flag.StringVar(&architectures, "arch", "amd64,arm64", "architectures, all of Linux")
	flag.StringVar(&programs, "programs", "hub=./cmd/hub,agent=./cmd/agent", "what to build, as NAME=PACKAGE,...")
	flag.Parse()
	o.architectures, o.programs = strings.Split(architectures, ","), strings.Split(programs, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.version == "" {
		return fmt.Errorf("-version is missing: give it what git describe says")
	}
	for _, p := range o.programs {
		program, source, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("-programs: %q is not NAME=PACKAGE", p)
		}
		images := map[string]ociv1.Image{}
		for _, arch := range o.architectures {
			binary, err := build(ctx, program, source, arch, o)
			if err != nil {
				return err
			}
			if images[arch], err = imageOf(binary, program, arch, o.version); err != nil {
				return fmt.Errorf("making the image of %s for %s: %w", program, arch, err)
			}
			if err := checkSize(program, arch, images[arch]); err != nil {
				return err
			}
		}
		if err := publish(ctx, program, images, o); err != nil {
			return err
		}
	}
	return nil
}

// publish writes the images of a program, or pushes them.
func publish(ctx context.Context, program string, images map[string]ociv1.Image, o options) error {
	index := indexOf(images)
	if o.push != "" {
		ref, err := name.NewTag(o.push + "/" + program + ":" + o.version)
		if err != nil {
			return fmt.Errorf("the name of %s in the registry: %w", program, err)
		}
		if err := remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return fmt.Errorf("pushing %s: %w", ref, err)
		}
		return say(ref.String(), index)
	}
	dir := filepath.Join(o.out, program)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if _, err := layout.Write(dir, index); err != nil {
		return fmt.Errorf("writing %s: %w", dir, err)
	}
	tag, err := name.NewTag(o.repository + "/" + program + ":" + o.version)
	if err != nil {
		return fmt.Errorf("the name of %s: %w", program, err)
	}
	for arch, image := range images {
		file := filepath.Join(o.out, program+"-"+arch+".tar")
		if err := tarball.WriteToFile(file, tag, image); err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
	}
	return say(dir, index)
}

// say prints what was made, with the digest by which it is known.
func say(where string, index ociv1.ImageIndex) error {
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	_, err = fmt.Println(where, digest)
	return err
}

// checkSize refuses an image that has grown too large to be pulled in a moment.
func checkSize(program, arch string, image ociv1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	var size int64
	for _, layer := range layers {
		reader, err := layer.Uncompressed()
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, reader)
		if err := errors.Join(err, reader.Close()); err != nil {
			return err
		}
		size += n
	}
	fmt.Printf("%s for %s: %.1f MB\n", program, arch, float64(size)/1e6)
	if size > largest {
		return fmt.Errorf("the image of %s for %s has %d bytes, more than %d: look for what has come into the binary", program, arch, size, largest)
	}
	return nil
}

package kindfleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"sigs.k8s.io/yaml"
)

// Release is a version of the product as it is delivered: images of hub and agent, and the
// charts that install them.
type Release struct {
	// Version is the tag of the images.
	Version string
	// charts has the directories of the charts, and archives the files of the images.
	charts, archives string
}

func (r *Release) images() []string {
	return []string{archive(r.archives, "hub"), archive(r.archives, "agent")}
}

func archive(dir, program string) string {
	return filepath.Join(dir, program+"-"+runtime.GOARCH+".tar")
}

// repository is what the names of images begin with that are loaded into nodes: no
// registry has them.
const repository = "myapp-hub"

// Versions of the web app: two that work, and one that is never ready.
const (
	First  = "1"
	Second = "2"
	Broken = "broken"
)

// PublicImage is the name of an image that everybody can pull. On nodes it is the first
// version of the web app.
const PublicImage = "nginx:1.29"

// WebImage is the image of a version of the web app.
func WebImage(version string) string { return repository + "/web:" + version }

// buildTools builds what a user has installed: the plugin and Helm.
func (f *Fleet) buildTools(ctx context.Context) error {
	for _, args := range [][]string{
		{"build", "-trimpath", "-o", f.tool("kubectl-myapp"), "./cmd/kubectl-myapp"},
		{"build", "-modfile=go.tools.mod", "-o", f.tool("helm"), "helm.sh/helm/v4/cmd/helm"},
	} {
		if err := f.goRun(ctx, f.cfg.Root, args...); err != nil {
			return err
		}
	}
	f.say("fleet", "built the plugin and Helm")
	return nil
}

func (f *Fleet) tool(name string) string { return filepath.Join(f.cfg.Dir, "bin", name) }

// build makes a release of a working tree. Without a version it is the one that the charts
// install by themselves.
func (f *Fleet) build(ctx context.Context, tree, version string) (*Release, error) {
	if version == "" {
		out, err := output(exec.CommandContext(ctx, f.tool("helm"), "show", "chart", filepath.Join(tree, "deploy", "charts", "hub"))) //nolint:gosec // the helm that was built here
		if err != nil {
			return nil, err
		}
		var chart struct {
			AppVersion string `json:"appVersion"`
		}
		if err := yaml.Unmarshal([]byte(out), &chart); err != nil {
			return nil, fmt.Errorf("reading the chart of the hub: %w", err)
		}
		version = chart.AppVersion
	}
	r := &Release{Version: version, charts: filepath.Join(tree, "deploy", "charts"), archives: filepath.Join(f.cfg.Dir, "images", version)}
	if err := f.images(ctx, tree, r.archives, version); err != nil {
		return nil, err
	}
	f.say("fleet", "built the images of release "+version)
	return r, nil
}

// buildWeb makes the versions of the web app.
func (f *Fleet) buildWeb(ctx context.Context) error {
	for _, version := range []string{First, Second, Broken} {
		if err := f.images(ctx, f.cfg.Root, f.webDir(version), version, "-programs=web=./test/multikind/web"); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) webDir(version string) string {
	return filepath.Join(f.cfg.Dir, "images", "web-"+version)
}

func (f *Fleet) webImages() []string {
	var archives []string
	for _, version := range []string{First, Second, Broken} {
		archives = append(archives, archive(f.webDir(version), "web"))
	}
	return archives
}

func (f *Fleet) images(ctx context.Context, tree, out, version string, args ...string) error {
	args = append([]string{"run", "./hack/images", "-version=" + version, "-repository=" + repository, "-arch=" + runtime.GOARCH, "-out=" + out}, args...)
	return f.goRun(ctx, tree, args...)
}

func (f *Fleet) goRun(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // what is built is in this repository
	cmd.Dir = dir
	_, err := output(cmd)
	return err
}

// Checkout gives a commit of the repository a tree of its own, and builds the release that
// it was.
func Checkout(ctx context.Context, cfg Config, commit string) (*Release, error) {
	f := newFleet(cfg)
	tree := filepath.Join(cfg.Dir, "tree-"+commit)
	if err := os.MkdirAll(tree, 0o750); err != nil {
		return nil, err
	}
	archive := exec.CommandContext(ctx, "git", "-C", cfg.Root, "archive", "--format=tar", commit) //nolint:gosec // a commit of this repository
	extract := exec.CommandContext(ctx, "tar", "-x", "-C", tree)                                  //nolint:gosec // into a directory of the fleet's own
	if err := pipe(archive, extract); err != nil {
		return nil, fmt.Errorf("taking commit %s out of the repository, which has to be a whole clone: %w", commit, err)
	}
	return f.build(ctx, tree, commit)
}

// pipe runs two commands, of which the second reads what the first writes.
func pipe(from, to *exec.Cmd) error {
	var complaints strings.Builder
	from.Stderr, to.Stderr = &complaints, &complaints
	reader, writer := io.Pipe()
	from.Stdout, to.Stdin = writer, reader
	if err := to.Start(); err != nil {
		return err
	}
	err := from.Run()
	err = errors.Join(err, writer.Close(), to.Wait())
	if err != nil {
		return fmt.Errorf("%w\n%s", err, complaints.String())
	}
	return nil
}

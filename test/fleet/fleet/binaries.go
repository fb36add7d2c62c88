package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// kubernetesVersion must be the one that controlplane/go.mod requires.
const kubernetesVersion = "v1.36.3"

// binary is one of the control plane's programs.
type binary struct {
	name, pkg string
	// module is its directory below test/fleet/controlplane.
	module  string
	ldflags string
	// optional programs are built when a fleet asks for what needs them.
	optional bool
}

func controlPlaneBinaries() []binary {
	stamped := "-s -w"
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		stamped += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=1 -X %[1]s.gitMinor=36", pkg, kubernetesVersion)
	}
	out := []binary{
		{name: "etcd", pkg: "go.etcd.io/etcd/server/v3", ldflags: stamped},
		{name: etcdutl, pkg: "go.etcd.io/etcd/etcdutl/v3", ldflags: stamped, optional: true},
	}
	for _, name := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"} {
		out = append(out, binary{name: name, pkg: "k8s.io/kubernetes/cmd/" + name, ldflags: stamped})
	}
	return append(out, binary{name: "kwok", pkg: "sigs.k8s.io/kwok/cmd/kwok", module: "kwok", ldflags: "-s -w"})
}

// Binaries finds the programs of a fleet. Those of envtest, in the directory
// that KUBEBUILDER_ASSETS names, are used where there are any.
type Binaries struct {
	// Root of the repository and Dir with the binaries built from it.
	Root, Dir string
	// Progress receives a line per binary that is built.
	Progress io.Writer
}

// Path of a binary, which may not be built yet.
func (b Binaries) Path(name string) string {
	switch name {
	case "etcd", "kube-apiserver", "kubectl":
		if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" && isFile(filepath.Join(assets, name)) {
			return filepath.Join(assets, name)
		}
	}
	return filepath.Join(b.Dir, name)
}

// EnsureBinaries builds those of the control plane's binaries that are missing,
// of the optional ones those that are named. From an empty build cache that
// takes about ten minutes on two cores.
func (b Binaries) EnsureBinaries(ctx context.Context, optional ...string) error {
	return b.build(ctx, func(bin binary) bool {
		return !isFile(b.Path(bin.name)) && (!bin.optional || slices.Contains(optional, bin.name))
	})
}

// Build builds all of the control plane's binaries.
func (b Binaries) Build(ctx context.Context) error {
	return b.build(ctx, func(binary) bool { return true })
}

func (b Binaries) build(ctx context.Context, wanted func(binary) bool) error {
	unlock, err := lockFile(filepath.Join(b.Dir, ".lock"))
	if err != nil {
		return fmt.Errorf("building the control plane: %w", err)
	}
	defer unlock()
	for _, bin := range controlPlaneBinaries() {
		if !wanted(bin) {
			continue
		}
		started := time.Now()
		if err := b.goBuild(ctx, bin); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(b.Progress, "built %-24s %6.1f s\n", bin.name, time.Since(started).Seconds())
	}
	return nil
}

func (b Binaries) goBuild(ctx context.Context, bin binary) error {
	_, _ = fmt.Fprintf(b.Progress, "building %s\n", bin.name)
	return b.goTool(ctx, filepath.Join(b.Root, "test", "fleet", "controlplane", bin.module),
		"build", "-trimpath", "-ldflags", bin.ldflags, "-o", filepath.Join(b.Dir, bin.name), bin.pkg)
}

// buildProduct builds hub and agent, which costs nothing when they are up to date.
func (b Binaries) buildProduct(ctx context.Context) error {
	unlock, err := lockFile(filepath.Join(b.Dir, ".lock"))
	if err != nil {
		return fmt.Errorf("building hub and agent: %w", err)
	}
	defer unlock()
	return b.goTool(ctx, b.Root, "build", "-o", b.Dir+string(filepath.Separator), "./cmd/hub", "./cmd/agent")
}

func (b Binaries) goTool(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("go %s in %s: %w\n%s", args[0], dir, err, out)
	}
	return fmt.Errorf("running the go command: %w", err)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// lockFile takes a lock that ends with the process at the latest, so that test
// binaries that run at the same time do not build over each other.
func lockFile(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

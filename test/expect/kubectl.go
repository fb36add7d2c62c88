package expect

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// Kubectl runs kubectl against a cluster as its admin, and gives what it prints.
func Kubectl(t testing.TB, c *fleet.Cluster, stdin string, args ...string) (string, error) {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, err := fleet.FindRoot(wd)
	if err != nil {
		t.Fatal(err)
	}
	path := fleet.Binaries{Root: root, Dir: filepath.Join(root, "bin")}.Path("kubectl")
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--kubeconfig", c.Kubeconfig()}, args...)...) //nolint:gosec // the kubectl that was built here
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

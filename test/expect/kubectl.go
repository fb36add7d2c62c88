package expect

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// Root is the repository that the test is in.
func Root(t testing.TB) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root, err := fleet.FindRoot(wd)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Kubectl runs kubectl with a kubeconfig, and gives what it prints. It is the kubectl of
// local fleets; where none was built, as nothing else of them is needed, that of PATH.
func Kubectl(t testing.TB, kubeconfig, stdin string, args ...string) (string, error) {
	t.Helper()
	root := Root(t)
	path := fleet.Binaries{Root: root, Dir: filepath.Join(root, "bin")}.Path("kubectl")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		path = "kubectl"
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{"--kubeconfig", kubeconfig}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

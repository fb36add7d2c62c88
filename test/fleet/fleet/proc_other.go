//go:build !linux

package fleet

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttr has nothing to offer here: children of a fleet that was killed
// live on until `fleet down` finds them.
func childAttr() *syscall.SysProcAttr { return nil }

// CommandLine returns the arguments of a process, separated by spaces; empty
// if it is gone.
func CommandLine(pid int) string {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

package fleet

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// childAttr makes a child die with the thread that started it (see spawner) and
// keeps a Ctrl-C at the terminal from reaching it: the fleet stops it in order.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// CommandLine returns the arguments of a process, separated by spaces; empty
// if it is gone.
func CommandLine(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
}

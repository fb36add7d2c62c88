//go:build unix

package fleet

import (
	"os"
	"syscall"
)

// flock waits for the lock on f; closing f gives it up.
func flock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }

//go:build unix

package main

import "syscall"

// detached puts the supervisor into a session of its own: neither Ctrl-C nor
// the end of the terminal reaches it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

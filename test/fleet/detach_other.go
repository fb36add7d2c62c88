//go:build !unix

package main

import "syscall"

// detached has nothing to offer here.
func detached() *syscall.SysProcAttr { return nil }

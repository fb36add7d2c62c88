// Package pprof says where Go's profiles may be served. They need no right to be
// read, show a process from the inside and cost CPU time to make.
package pprof

import (
	"fmt"
	"net"
)

// CheckAddress refuses an address that others than this machine can reach. Empty
// and "0" serve nothing.
func CheckAddress(address string) error {
	if address == "" || address == "0" {
		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("profiles are served to anybody who asks, so %q must be an address and port of the loopback interface: set --pprof-bind-address to 127.0.0.1:6060 and use kubectl port-forward", address)
	}
	return nil
}

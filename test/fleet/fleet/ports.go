package fleet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the range that the kernel hands to outgoing
// connections: an API server that was crashed must find its port free again.
const (
	lowestPort = 20000
	portCount  = 10000
)

// errPortTaken is what a process that could not bind its port ends with.
var errPortTaken = errors.New("a port was taken by someone else")

// freePorts returns n ports of 127.0.0.1 that nobody listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	var held []net.Listener // until all are found, so that they differ
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for range 50 * n {
		if len(ports) == n {
			return ports, nil
		}
		l, err := net.Listen("tcp", loopback(lowestPort+rand.IntN(portCount)))
		if err != nil {
			continue
		}
		held = append(held, l)
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d", n, lowestPort, lowestPort+portCount)
}

// withPorts calls start with n free ports, and again with others if someone
// was quicker to bind one.
func withPorts(n int, start func(ports []int) error) error {
	var last error
	for range 3 {
		ports, err := freePorts(n)
		if err != nil {
			return err
		}
		if last = start(ports); !errors.Is(last, errPortTaken) {
			return last
		}
	}
	return last
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

package meter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// established is the state of a TCP connection in /proc/net/tcp.
const established = "01"

// Connections are the numbers of TCP connections of a process by the port of the
// other end.
func Connections(pid int) (map[int]int, error) {
	owned, err := sockets(pid)
	if err != nil {
		return nil, fmt.Errorf("connections of process %d: %w", pid, err)
	}
	ports := map[int]int{}
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("connections of process %d: %w", pid, err)
		}
		err = eachConnection(f, func(inode string, port int) {
			if owned[inode] {
				ports[port]++
			}
		})
		_ = f.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("connections of process %d: %w", pid, err)
		}
	}
	return ports, nil
}

// sockets are the inodes of the sockets that a process has open.
func sockets(pid int) (map[string]bool, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	owned := map[string]bool{}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // closed since
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			owned[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return owned, nil
}

// eachConnection visits the established connections of a table of proc(5)'s
// /proc/net/tcp, by inode and remote port.
func eachConnection(table io.Reader, visit func(inode string, port int)) error {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		// sl local_address rem_address st tx:rx tr:tm->when retrnsmt uid timeout inode
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != established {
			continue
		}
		_, port, _ := strings.Cut(fields[2], ":")
		n, err := strconv.ParseInt(port, 16, 32)
		if err != nil {
			return fmt.Errorf("remote address %q: %w", fields[2], err)
		}
		visit(fields[9], int(n))
	}
	return lines.Err()
}

package fleet_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// quiet is how long a connection must be silent to count as cut.
const quiet = 100 * time.Millisecond

func TestProxyPassesBothWaysAndHalfCloses(t *testing.T) {
	p := newProxy(t, echoServer(t).Addr().String())
	c := dial(t, p)
	mustWrite(t, c, "hello")
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "hello" {
		t.Fatalf("got %q and %v, want an echo and EOF", got, err)
	}
}

func TestPartitionHoldsBytesBackUntilHealed(t *testing.T) {
	p := newProxy(t, echoServer(t).Addr().String())
	old := dial(t, p)
	mustWrite(t, old, "a")
	mustRead(t, old, "a")

	p.Partition()
	if !p.Partitioned() {
		t.Error("Partitioned is false after Partition")
	}
	mustWrite(t, old, "b")
	mustBeSilent(t, old)
	fresh := dial(t, p)
	mustWrite(t, fresh, "c")
	mustBeSilent(t, fresh)

	p.Heal()
	mustRead(t, old, "b")
	mustRead(t, fresh, "c")
}

// The reader has stopped reading, so the proxy's write hangs: Partition must
// return all the same, and no byte may get lost or doubled.
func TestPartitionInterruptsAHangingWrite(t *testing.T) {
	p := newProxy(t, echoServer(t).Addr().String())
	c := dial(t, p)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	var writing sync.WaitGroup
	writing.Go(func() {
		if _, err := c.Write(sent); err != nil {
			t.Errorf("writing: %v", err)
		}
	})
	time.Sleep(quiet) // the buffers fill up
	for range 3 {
		p.Partition()
		p.Heal()
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	writing.Wait()
	if !bytes.Equal(got, sent) {
		t.Error("what came back is not what was sent")
	}
}

func TestProxyClosesConnectionsWhenTheBackendIsDown(t *testing.T) {
	backend := echoServer(t)
	p := newProxy(t, backend.Addr().String())
	if err := backend.Close(); err != nil {
		t.Fatal(err)
	}
	mustBeClosed(t, dial(t, p))
}

func TestProxyPassesAResetOn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c := dial(t, newProxy(t, l.Addr().String()))
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(server.(*net.TCPConn).SetLinger(0), server.Close()); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read: %v, want a reset", err)
	}
}

func TestCloseDropsConnectionsEvenWhenPartitioned(t *testing.T) {
	p := newProxy(t, echoServer(t).Addr().String())
	old := dial(t, p)
	mustWrite(t, old, "a")
	mustRead(t, old, "a")
	p.Partition()
	mustWrite(t, old, "b")
	fresh := dial(t, p)
	mustBeSilent(t, fresh)
	if err := p.Close(); err != nil { // waits for the proxy's goroutines
		t.Fatal(err)
	}
	mustBeClosed(t, old)
	mustBeClosed(t, fresh)
}

func newProxy(t *testing.T, backend string) *fleet.Proxy {
	t.Helper()
	p, err := fleet.NewProxy(backend)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func echoServer(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c) // ends when the proxy hangs up
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // the test may have closed it
		serving.Wait()
	})
	return l
}

func dial(t *testing.T, p *fleet.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func mustWrite(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func mustRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q and %v, want %q", got, err, want)
	}
}

func mustBeSilent(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(quiet)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes and %v, want silence", n, err)
	}
}

func mustBeClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes and %v, want a closed connection", n, err)
	}
}

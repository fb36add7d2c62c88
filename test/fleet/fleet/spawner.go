package fleet

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
)

var errSpawnerClosed = errors.New("the fleet is down")

// spawner starts every child from one OS thread. Linux sends a child's parent
// death signal when the thread that forked it ends, not the process; a thread
// that Go may retire would take the children with it.
type spawner struct {
	requests chan func()
	closing  chan struct{}
	close    func()
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan func()), closing: make(chan struct{})}
	s.close = sync.OnceFunc(func() { close(s.closing) })
	go s.run()
	return s
}

func (s *spawner) run() {
	runtime.LockOSThread()
	// Unlocked at the end, or the thread would end with the goroutine. By then
	// the children are gone.
	defer runtime.UnlockOSThread()
	for {
		select {
		case f := <-s.requests:
			f()
		case <-s.closing:
			return
		}
	}
}

func (s *spawner) start(cmd *exec.Cmd) error {
	select {
	case <-s.closing: // asked first: the other select may choose either
		return errSpawnerClosed
	default:
	}
	started := make(chan error, 1)
	select {
	case s.requests <- func() { started <- cmd.Start() }:
		return <-started
	case <-s.closing:
		return errSpawnerClosed
	}
}

package fleet

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared is one fleet for all tests of a package, started for the first that asks. Its
// logs are kept if a test fails. The zero value is ready for use.
type Shared struct {
	once  sync.Once
	fleet *Fleet
	err   error
	dir   string
}

// Main is the package's TestMain: it runs the tests, and takes the fleet down.
func (s *Shared) Main(m *testing.M) {
	code := m.Run()
	if s.fleet != nil {
		if err := s.fleet.Down(); err != nil {
			fmt.Fprintln(os.Stderr, "taking the shared fleet down:", err)
			code = 1
		}
	}
	if code == 0 && s.dir != "" {
		_ = os.RemoveAll(s.dir)
	} else if s.dir != "" {
		fmt.Fprintln(os.Stderr, "the shared fleet's logs are kept in", s.dir)
	}
	os.Exit(code)
}

// Get is the fleet. It is started as config says, in a directory of its own, with its
// progress on standard error.
func (s *Shared) Get(t testing.TB, config func() Config) *Fleet {
	t.Helper()
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "fleet-"); s.err != nil {
			return
		}
		cfg := config()
		cfg.Dir, cfg.Progress = s.dir, os.Stderr
		s.fleet, s.err = Up(context.Background(), cfg)
	})
	if s.err != nil {
		t.Fatalf("starting the shared fleet: %v", s.err)
	}
	return s.fleet
}

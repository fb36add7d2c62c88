package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	logDir = "logs"
	// recordFile lists the processes; it also marks a directory as a fleet's.
	recordFile = "processes.json"
	// SupervisorDir, inside Config.Dir, belongs to the caller and outlives the fleet.
	SupervisorDir = "supervisor"
)

// processRecord is what must be known to find a process again.
type processRecord struct {
	Name string `json:"name"`
	Pid  int    `json:"pid"`
}

// claim makes dir the directory of a new fleet: it must be missing, empty or
// that of a fleet which has ended.
func claim(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	old, err := readRecords(dir)
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case len(entries) == 1 && entries[0].Name() == SupervisorDir:
	case len(entries) > 0:
		return fmt.Errorf("fleet: %s is not empty and no fleet has been there; give another directory", dir)
	}
	for _, r := range old {
		if r.alive(dir) {
			return fmt.Errorf("fleet: %s of an earlier fleet in %s still runs (pid %d); take that fleet down first", r.Name, dir, r.Pid)
		}
	}
	for _, e := range entries {
		if e.Name() == SupervisorDir {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("fleet: removing what an earlier fleet left: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, logDir), 0o700); err != nil {
		return fmt.Errorf("fleet: %w", err)
	}
	return writeRecords(dir, nil)
}

// Cleanup kills what a fleet in dir has left behind whose owner was killed,
// and returns the names. A process is ours only if its command line names dir.
func Cleanup(dir string) (killed []string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	records, err := readRecords(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if !r.alive(dir) {
			continue
		}
		p, err := os.FindProcess(r.Pid)
		if err == nil {
			err = p.Kill()
		}
		if err != nil && !errors.Is(err, os.ErrProcessDone) {
			return killed, fmt.Errorf("killing %s (pid %d): %w", r.Name, r.Pid, err)
		}
		killed = append(killed, r.Name)
	}
	return killed, nil
}

func (r processRecord) alive(dir string) bool {
	return r.Pid > 0 && strings.Contains(CommandLine(r.Pid), dir+string(filepath.Separator))
}

// record writes down the processes of the fleet. It is for the unlucky day, so
// the fleet goes on without it.
func (f *Fleet) record() {
	f.recording.Lock()
	defer f.recording.Unlock()
	var records []processRecord
	for _, p := range f.Processes() {
		if pid := p.Pid(); pid != 0 {
			records = append(records, processRecord{Name: p.name, Pid: pid})
		}
	}
	if err := writeRecords(f.cfg.Dir, records); err != nil {
		f.say("fleet", err.Error())
	}
}

func readRecords(dir string) ([]processRecord, error) {
	b, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return nil, fmt.Errorf("fleet: reading what runs: %w", err)
	}
	var records []processRecord
	if err := json.Unmarshal(b, &records); err != nil {
		return nil, fmt.Errorf("fleet: reading what runs from %s: %w", filepath.Join(dir, recordFile), err)
	}
	return records, nil
}

func writeRecords(dir string, records []processRecord) error {
	b, err := json.Marshal(records)
	if err != nil {
		return fmt.Errorf("fleet: recording what runs: %w", err)
	}
	tmp := filepath.Join(dir, recordFile+".new")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("fleet: recording what runs: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(dir, recordFile)); err != nil {
		return fmt.Errorf("fleet: recording what runs: %w", err)
	}
	return nil
}

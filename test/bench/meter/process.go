package meter

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

// Usage is what a process has used.
type Usage struct {
	// CPU is user and system time since the process started.
	CPU time.Duration
	// RSS is the memory now and PeakRSS the most since ResetPeak, in bytes; Anon
	// is the part of RSS that is no file's.
	RSS, PeakRSS, Anon int64
}

// UsageOf reads what a process has used so far.
func UsageOf(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("usage of process %d: %w", pid, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("usage of process %d: %w", pid, err)
	}
	u, err := parseUsage(stat, status)
	if err != nil {
		return Usage{}, fmt.Errorf("usage of process %d: %w", pid, err)
	}
	return u, nil
}

// parseUsage reads stat and status as proc(5) has them.
func parseUsage(stat, status []byte) (Usage, error) {
	// The name of the program is in parentheses and may contain anything.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return Usage{}, fmt.Errorf("no program in %q", stat)
	}
	fields := strings.Fields(string(stat[end+1:]))
	const utime, stime = 14 - 3, 15 - 3 // fields are counted from 1, and two are gone
	if len(fields) <= stime {
		return Usage{}, fmt.Errorf("%d fields in %q", len(fields), stat)
	}
	var ticks int64
	for _, i := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("field %d of %q: %w", i, stat, err)
		}
		ticks += n
	}
	u := Usage{CPU: time.Duration(ticks) * tick}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch key {
		case "VmRSS":
			u.RSS = kilobytes(value)
		case "VmHWM":
			u.PeakRSS = kilobytes(value)
		case "RssAnon":
			u.Anon = kilobytes(value)
		}
	}
	return u, lines.Err()
}

// kilobytes reads "  1234 kB" as bytes; zero if it is something else.
func kilobytes(value string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// ResetPeak makes the present memory of a process its peak.
func ResetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("resetting the peak memory of process %d: %w", pid, err)
	}
	return nil
}

// LoadAverage is that of the last minute, zero where there is none.
func LoadAverage() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"sync"
)

// progressLine is a line of what fleet.Up says, or the end of it.
type progressLine struct {
	Line  string `json:"line,omitempty"`
	Done  bool   `json:"done,omitempty"`
	Error string `json:"error,omitempty"`
}

// progress keeps the lines for all who ask, now or later.
type progress struct {
	mu      sync.Mutex
	lines   []progressLine
	done    bool
	changed chan struct{} // closed and replaced by each line
}

func newProgress() *progress { return &progress{changed: make(chan struct{})} }

// Write takes whole lines.
func (p *progress) Write(b []byte) (int, error) {
	for _, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
		p.add(progressLine{Line: string(line)})
	}
	return len(b), nil
}

func (p *progress) finish(err error) {
	last := progressLine{Done: true}
	if err != nil {
		last.Error = err.Error()
	}
	p.add(last)
}

func (p *progress) add(l progressLine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, l)
	p.done = p.done || l.Done
	close(p.changed)
	p.changed = make(chan struct{})
}

// since returns the lines from the nth on, and a channel that is closed when
// there are more.
func (p *progress) since(n int) ([]progressLine, bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lines[n:], p.done, p.changed
}

// serve streams the lines until fleet.Up has returned.
func (p *progress) serve(w http.ResponseWriter, r *http.Request) {
	out := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	for n := 0; ; {
		lines, done, changed := p.since(n)
		for _, l := range lines {
			if out.Encode(l) != nil {
				return // the reader has left
			}
		}
		n += len(lines)
		if done || flush.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

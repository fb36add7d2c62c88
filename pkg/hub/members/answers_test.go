package members

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// endless answers with zeros, as many as it is asked for.
type endless struct{ size int64 }

func (e endless) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{Body: io.NopCloser(io.LimitReader(zeros{}, e.size))}, nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// lines are events of a watch, of a mebibyte each.
type lines struct {
	size int64
	// mark is the event with which the beginning ends; 0 for never.
	mark int64
}

func (l lines) RoundTrip(*http.Request) (*http.Response, error) {
	event := append(make([]byte, 1<<20-1), '\n')
	var all []io.Reader
	for i := range l.size >> 20 {
		all = append(all, bytes.NewReader(event))
		if i+1 == l.mark { // in two parts
			all = append(all, strings.NewReader("k8s.io/initial-"), strings.NewReader("events-"), strings.NewReader("end\n"))
		}
	}
	return &http.Response{Body: io.NopCloser(io.MultiReader(all...))}, nil
}

// read reads all of an answer, and gives what was refused.
func read(t *testing.T, next http.RoundTripper, path string) (n int64, refused string) {
	t.Helper()
	f := newFrugal(next, func(message string) { refused = message })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://member"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := f.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	n, err = io.Copy(io.Discard, response.Body)
	if (err == nil) != (refused == "") {
		t.Errorf("%s: refused for %q, and the reader has %v", path, refused, err)
	}
	return n, refused
}

func TestAnswersAreBounded(t *testing.T) {
	const list, watch = "/apis/apps/v1/deployments", "/apis/apps/v1/deployments?watch=true"
	const begin = watch + "&sendInitialEvents=true"
	for name, c := range map[string]struct {
		server  http.RoundTripper
		path    string
		refused string
	}{
		"a list of the allowed size":   {endless{size: maxAnswer}, list, ""},
		"a list that is too large":     {endless{size: maxAnswer + 1}, list, "the answer to " + list + " has more than 32 MiB"},
		"a watch with many events":     {lines{size: maxAnswer + maxEvent}, watch, ""},
		"a beginning without an end":   {lines{size: maxAnswer + maxEvent}, begin, "the answer to " + list + " has more than 32 MiB"},
		"events after the beginning":   {lines{size: maxAnswer + maxEvent, mark: 3}, begin, ""},
		"a watch with too large a one": {endless{size: maxEvent + 1}, watch, "an event of " + list + " has more than 8 MiB"},
	} {
		if n, refused := read(t, c.server, c.path); refused != c.refused || n > maxAnswer+maxEvent+100 {
			t.Errorf("%s: %d bytes were read, refused for %q", name, n, refused)
		}
	}
}

// A watch may go on for ever, but after a burst only so fast.
func TestAnswersAreNotReadFasterThanAllowed(t *testing.T) {
	const more = readRate / 4
	begun := time.Now()
	if n, _ := read(t, lines{size: readBurst + more}, "/apis/apps/v1/deployments?watch=true"); n != readBurst+more {
		t.Errorf("%d bytes", n)
	}
	if took := time.Since(begun); took < 200*time.Millisecond {
		t.Errorf("%d bytes beyond the burst took %v", more, took)
	}
}

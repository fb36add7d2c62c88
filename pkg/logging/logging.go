// Package logging makes the logger of a process: structured, as JSON for
// machines or as text for people.
package logging

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
)

// Formats of a log.
const (
	JSON = "json"
	Text = "text"
)

// Setup makes the process's logger and gives it to controller-runtime and
// client-go as well. verbosity 0 shows what an operator wants to know, 1 every
// change on a member, higher numbers what libraries say.
func Setup(w io.Writer, format string, verbosity int) (logr.Logger, error) {
	options := &slog.HandlerOptions{Level: slog.Level(-verbosity)}
	var handler slog.Handler
	switch format {
	case JSON:
		handler = slog.NewJSONHandler(w, options)
	case Text:
		handler = slog.NewTextHandler(w, options)
	default:
		return logr.Logger{}, fmt.Errorf("log format %q is not known: use %s or %s", format, JSON, Text)
	}
	log := logr.FromSlogHandler(handler)
	logf.SetLogger(log)
	klog.SetLogger(log)
	return log, nil
}

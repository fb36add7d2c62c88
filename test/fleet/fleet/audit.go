package fleet

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// AuditEvent is a request that an API server has answered.
type AuditEvent struct {
	// Time at which the answer was complete; for a watch that began, its start.
	Time time.Time
	// Stage is ResponseComplete, and ResponseStarted for a watch that began. Count
	// one of the two.
	Stage string
	// Verb is that of RBAC: get, list, watch, create, update, patch, delete, ...
	Verb string
	// User who asked; a ServiceAccount is system:serviceaccount:NAMESPACE:NAME.
	User string
	// As whom, if as somebody else.
	As                    string
	APIGroup              string
	Resource, Subresource string
	Namespace, Name       string
	RequestURI            string
	Code                  int
	UserAgent             string
}

// Write says whether the request asked for a change.
func (e AuditEvent) Write() bool {
	switch e.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return true
	}
	return false
}

// auditLine is what is of interest in an audit.k8s.io/v1 Event.
type auditLine struct {
	Stage          string    `json:"stage"`
	StageTimestamp time.Time `json:"stageTimestamp"`
	Verb           string    `json:"verb"`
	RequestURI     string    `json:"requestURI"`
	UserAgent      string    `json:"userAgent"`
	User           struct {
		Username string `json:"username"`
	} `json:"user"`
	ImpersonatedUser struct {
		Username string `json:"username"`
	} `json:"impersonatedUser"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		APIGroup    string `json:"apiGroup"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

// Audit returns every request the API server has answered so far. An event is
// written just after its answer was sent: poll for one that must be there.
func (c *Cluster) Audit() ([]AuditEvent, error) { return c.AuditSince(0) }

// AuditMark is the present end of the audit log, for AuditSince.
func (c *Cluster) AuditMark() int64 {
	info, err := os.Stat(c.auditPath())
	if err != nil {
		return 0 // nothing was logged yet
	}
	return info.Size()
}

// AuditSince returns the requests answered since the mark was taken.
func (c *Cluster) AuditSince(mark int64) ([]AuditEvent, error) {
	var events []AuditEvent
	err := c.EachAudit(mark, func(e AuditEvent) { events = append(events, e) })
	return events, err
}

// EachAudit visits the requests answered since the mark was taken, in the order
// of the log, without holding them all.
func (c *Cluster) EachAudit(mark int64, visit func(AuditEvent)) error {
	f, err := os.Open(c.auditPath())
	if err != nil {
		return fmt.Errorf("reading the audit log of %s: %w", c.name, err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.Seek(mark, io.SeekStart); err != nil {
		return fmt.Errorf("reading the audit log of %s: %w", c.name, err)
	}
	if err := eachAudit(f, visit); err != nil {
		return fmt.Errorf("reading the audit log of %s: %w", c.name, err)
	}
	return nil
}

func (c *Cluster) auditPath() string { return filepath.Join(c.dir, "audit.log") }

// eachAudit reads events, one JSON object a line; the last line may still be
// being written, and a mark may have been taken within a line.
func eachAudit(r io.Reader, visit func(AuditEvent)) error {
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var l auditLine
		if err := json.Unmarshal(line, &l); err != nil {
			if n == 1 {
				continue
			}
			return fmt.Errorf("audit event %d: %w", n, err)
		}
		visit(l.event())
	}
}

func (l auditLine) event() AuditEvent {
	return AuditEvent{
		Time: l.StageTimestamp, Stage: l.Stage, Verb: l.Verb, User: l.User.Username, As: l.ImpersonatedUser.Username,
		APIGroup: l.ObjectRef.APIGroup, Resource: l.ObjectRef.Resource, Subresource: l.ObjectRef.Subresource,
		Namespace: l.ObjectRef.Namespace, Name: l.ObjectRef.Name, RequestURI: l.RequestURI,
		Code: l.ResponseStatus.Code, UserAgent: l.UserAgent,
	}
}

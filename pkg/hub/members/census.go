package members

import (
	"context"
	"fmt"
	"net/http"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/census"
)

// appsFirst is how long a census waits for the cache of its session at the most. Both
// share what a member may send in a second, and apps are what the connection is for.
const appsFirst = 10 * time.Second

// newCensus makes the census of a member; nil if nothing is to be measured.
func newCensus(c *connection, client *http.Client) (*census.Census, error) {
	if c.options.FactsInterval <= 0 {
		return nil, nil
	}
	made, err := census.New(census.Options{
		Config: c.cfg, HTTP: client, Namespaced: c.namespace != "", Interval: c.options.FactsInterval,
		Report: c.learn, Clock: c.options.Clock, Log: c.options.Log.WithValues("member", c.member),
	})
	if err != nil {
		return nil, fmt.Errorf("making the census of member %s: %w", c.member, err)
	}
	return made, nil
}

// count runs the census of a session until ctx ends.
func (c *connection) count(ctx context.Context, s *Session) {
	if s.census == nil {
		return
	}
	wait, cancel := context.WithTimeout(ctx, appsFirst)
	s.GetCache().WaitForCacheSync(wait)
	cancel()
	if ctx.Err() == nil {
		s.census.Run(ctx)
	}
}

// learn takes in what a census has found out.
func (c *connection) learn(facts v1.MemberReportSpec) {
	c.mu.Lock()
	c.facts = &facts
	c.mu.Unlock()
	c.changed(c.member)
}

// measured is what the last census of the connection has found out. It is not to be
// changed.
func (c *connection) measured() *v1.MemberReportSpec {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts
}

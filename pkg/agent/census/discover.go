package census

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"

	"github.com/example/myapp-hub/pkg/agent/facts"
)

const (
	// discoveryInterval is the time between two looks at what the cluster serves, and
	// discoveryRetry that after one that failed; it is also the least time between two.
	discoveryInterval = 5 * time.Minute
	discoveryRetry    = 30 * time.Second
)

// discover asks for the version and the kinds now and then, until ctx ends.
func (c *Census) discover(ctx context.Context) {
	for said := false; ; {
		err := c.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !said {
			c.options.Log.Info("What the cluster serves cannot be found out; it is tried again", "error", err.Error())
		}
		said = err != nil
		c.signal()
		if !pause(ctx, c.options.Clock, discoveryRetry, nil) {
			return
		}
		if err == nil && !pause(ctx, c.options.Clock, discoveryInterval-discoveryRetry, c.look) {
			return
		}
	}
}

// ask keeps what was known of what cannot be asked for now.
func (c *Census) ask(ctx context.Context) error {
	served, versionErr := c.askVersion(ctx)
	_, lists, err := c.discovery.ServerGroupsAndResources()
	var partly *discovery.ErrGroupDiscoveryFailed
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = true
	if versionErr == nil {
		c.version = served
	}
	switch {
	case err == nil:
		c.apis = facts.APIs(lists)
	case errors.As(err, &partly):
		// A group whose API server is down stays so for long: no reason to hurry.
		c.apis = facts.Keep(facts.APIs(lists), c.apis, slices.Collect(maps.Keys(partly.Groups)))
		return versionErr
	}
	return errors.Join(versionErr, err)
}

func (c *Census) askVersion(ctx context.Context) (string, error) {
	body, err := c.discovery.RESTClient().Get().AbsPath("/version").Do(ctx).Raw()
	if err != nil {
		return "", fmt.Errorf("asking for the version: %w", err)
	}
	var info version.Info
	if err := json.Unmarshal(body, &info); err != nil {
		return "", fmt.Errorf("reading the version: %w", err)
	}
	return info.GitVersion, nil
}

package apply

import "sync"

// maxCovered bounds what a Covered remembers.
const maxCovered = 8192

// Covered remembers which manifests are covered by which trees of fields, for all the
// engines that share it: what is the same on many members is compared once. It is
// safe for concurrent use; the zero value is ready.
type Covered struct {
	mu    sync.Mutex
	known map[clean]struct{}
}

func (c *Covered) has(pair clean) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.known[pair]
	return ok
}

func (c *Covered) add(pair clean) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxCovered {
		c.known = map[clean]struct{}{}
	}
	c.known[pair] = struct{}{}
}

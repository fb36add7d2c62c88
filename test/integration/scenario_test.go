package integration

import (
	"testing"
	"time"

	"github.com/example/myapp-hub/test/scenario"
)

// What happens to apps on any kind of fleet, on the shared one.
func TestScenarios(t *testing.T) {
	f := sharedFleet(t)
	world := scenario.World{
		Fleet:   f,
		Push:    "push-1",
		Pull:    "pull-1",
		Members: allMembers,
		Images:  scenario.Images{First: "registry.example.com/web:1", Second: "registry.example.com/web:2"},
		Soon:    soon,
		Prompt:  10 * time.Second,
		Notice:  map[string]time.Duration{"push-1": noticePush, "pull-1": noticePull},
		Cut: func(_ *testing.T, member string) func() {
			f.Cluster(member).Partition()
			return f.Cluster(member).Heal
		},
	}
	for _, s := range scenario.All() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, world) })
	}
}

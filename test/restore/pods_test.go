package restore

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// pods do what the kubelet does for the hub's replicas and the agent: a process
// that ends by itself is started again.
type pods struct {
	end func()

	mu       sync.Mutex
	wanted   []*fleet.Process
	restarts map[string]int
}

func keep(processes ...*fleet.Process) *pods {
	ctx, stop := context.WithCancel(context.Background())
	p := &pods{wanted: processes, restarts: map[string]int{}}
	var running sync.WaitGroup
	running.Go(func() { wait.UntilWithContext(ctx, p.look, 100*time.Millisecond) })
	p.end = func() { stop(); running.Wait() }
	return p
}

func (p *pods) look(context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, process := range p.wanted {
		if process.Running() {
			continue
		}
		p.restarts[process.Name()]++
		if err := process.Start(); err != nil {
			fmt.Fprintf(os.Stderr, "starting %s again: %v\n", process.Name(), err)
		}
	}
}

// add keeps one more process running.
func (p *pods) add(process *fleet.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Contains(p.wanted, process) {
		p.wanted = append(p.wanted, process)
	}
}

// stop kills a process for good.
func (p *pods) stop(process *fleet.Process) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted = slices.DeleteFunc(p.wanted, func(wanted *fleet.Process) bool { return wanted == process })
	return process.Kill()
}

// restarted is how often a process has ended by itself.
func (p *pods) restarted(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.restarts[name]
}

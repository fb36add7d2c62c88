package render

import (
	"fmt"
	"strings"
	"sync"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// maxShapes bounds what a Plan remembers; members seldom get more than a few
// different things.
const maxShapes = 16

// Plan renders one revision of an app for its members, and what is the same on many
// of them only once. It is safe for concurrent use; the zero value is ready.
type Plan struct {
	mu sync.Mutex
	// overrides say whom they are for, and nothing else, once that is known.
	overrides []v1.Override
	known     bool
	shapes    map[shape]frames
}

// shape is all that decides what members get that nothing peculiar is made for.
type shape struct {
	replicas int32
	// namespaced: all objects are in the member's namespace.
	namespaced bool
	// overrides are the numbers of those that are for the member.
	overrides string
}

// frames are the objects of members of one shape.
type frames struct {
	manifests []manifest.Frame
	secrets   []SecretCopy
}

// Render is Render of the input with the template, which must be the same each
// time. It is asked for only when something is to be made anew.
func (p *Plan) Render(in Input, template func() (v1.MyAppSpec, error)) (Objects, error) {
	s, shaped, err := p.shapeOf(in, template)
	if err != nil {
		return Objects{}, err
	}
	if shaped {
		if f, ok := p.made(s); ok {
			return f.objects(in), nil
		}
	}
	if in.Template, err = template(); err != nil {
		return Objects{}, err
	}
	f, alike, err := framesOf(in)
	if err != nil {
		return Objects{}, err
	}
	if shaped && alike {
		p.keep(s, f)
	}
	return f.objects(in), nil
}

// shapeOf is the shape of a member. It has none if it cannot be told which
// overrides are for it; rendering says why.
func (p *Plan) shapeOf(in Input, template func() (v1.MyAppSpec, error)) (shape, bool, error) {
	overrides, err := p.overridesOf(template)
	if err != nil {
		return shape{}, false, err
	}
	var chosen strings.Builder
	for i := range overrides {
		applies, err := selects(&overrides[i], in.Cluster)
		if err != nil {
			return shape{}, false, nil //nolint:nilerr // rendering meets it again
		}
		if applies {
			fmt.Fprintf(&chosen, "%d ", i)
		}
	}
	return shape{replicas: in.Replicas, namespaced: in.Cluster.Namespace != "", overrides: chosen.String()}, true, nil
}

func (p *Plan) overridesOf(template func() (v1.MyAppSpec, error)) ([]v1.Override, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known {
		return p.overrides, nil
	}
	t, err := template()
	if err != nil {
		return nil, err
	}
	for _, o := range t.Overrides {
		p.overrides = append(p.overrides, v1.Override{ClusterSelector: o.ClusterSelector, ClusterNames: o.ClusterNames})
	}
	p.known = true
	return p.overrides, nil
}

func (p *Plan) made(s shape) (frames, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.shapes[s]
	return f, ok
}

func (p *Plan) keep(s shape, f frames) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shapes == nil || len(p.shapes) >= maxShapes {
		p.shapes = map[shape]frames{}
	}
	p.shapes[s] = f
}

// framesOf renders; alike is true if every member of the shape gets the same.
func framesOf(in Input) (f frames, alike bool, err error) {
	r := newRendering(in)
	if err := r.run(); err != nil {
		return frames{}, false, fmt.Errorf("rendering %s/%s for %s: %w", in.Namespace, in.Name, in.Cluster.Name, err)
	}
	f = frames{manifests: make([]manifest.Frame, 0, len(r.objects)), secrets: r.secrets}
	for _, o := range r.objects {
		frame, err := manifest.NewFrame(o.content, memberOf(in))
		if err != nil {
			return frames{}, false, fmt.Errorf("rendering %s/%s for %s: %w", in.Namespace, in.Name, in.Cluster.Name, err)
		}
		f.manifests = append(f.manifests, frame)
	}
	return f, !r.peculiar, nil
}

func memberOf(in Input) manifest.Member {
	return manifest.Member{Name: in.Cluster.Name, Namespace: in.Cluster.Namespace}
}

// objects are those of the member.
func (f frames) objects(in Input) Objects {
	out := Objects{Manifests: make([]manifest.Manifest, 0, len(f.manifests)), Secrets: f.secrets}
	for _, frame := range f.manifests {
		out.Manifests = append(out.Manifests, frame.For(memberOf(in), in.Stamp))
	}
	return out
}

package render

import (
	"testing"

	v1 "github.com/example/myapp-hub/api/v1"
)

// BenchmarkRender is the objects of one app on one member.
func BenchmarkRender(b *testing.B) {
	service := input(b, "plain")
	service.Template.Ports = []v1.Port{{Name: "http", ContainerPort: 8080}}
	service.Template.Service = &v1.Service{Ports: []v1.ServicePort{{Port: 80}}}
	for _, bb := range []struct {
		name string
		in   Input
	}{
		{"plain", input(b, "plain")},
		{"service", service},
		{"overrides", input(b, "overrides")},
		{"rich", input(b, "rich")},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if out, err := Render(bb.in); err != nil || len(out.Manifests) == 0 {
					b.Fatal("nothing was rendered", err)
				}
			}
		})
	}
}

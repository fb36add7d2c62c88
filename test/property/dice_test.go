package property

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

type (
	// obj and list are JSON as it is written by hand.
	obj  = map[string]any
	list = []any
)

// dice make the choices of one spec. The same seed makes the same choices.
type dice struct{ *rand.Rand }

func newDice(seed, stream uint64) dice {
	return dice{rand.New(rand.NewPCG(seed, stream))} //nolint:gosec // a test's dice
}

// chance is true that often in a hundred.
func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// between is a number from low to high, both included.
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// perhaps sets a field, that often in a hundred.
func (d dice) perhaps(percent int, m obj, key string, value func() any) {
	if d.chance(percent) {
		m[key] = value()
	}
}

// repeat is a list of low to high elements.
func (d dice) repeat(low, high int, element func(i int) any) list {
	n := d.between(low, high)
	l := make(list, 0, n)
	for i := range n {
		l = append(l, element(i))
	}
	return l
}

// text is what people put into strings, and what makes encoders stumble.
func (d dice) text() string {
	switch d.IntN(12) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("v%d", d.IntN(1000))
	case 2:
		return strings.Repeat("x", d.between(1, 300))
	}
	return pick(d, "info", " led and trailed ", "two\nlines\n", "tab\there", `"quoted" 'twice' \n`, "<b>&amp;</b>",
		"ümläut 漢字 ☃ 🚀", "e\u0301 is not é", "\u2028\u2029", "\u0001", d.unprintable(), "true", "null", "~", "1e3", "0x1F", "007", "-0", "1.0", "a: b # c", "- x",
		"$(HOME)", "$$(cluster.name)", "$(", "$", "{{ .Values.x }}", "%s %d", "=", "https://example.com/?a=1&b=[2]")
}

// unprintable is what JSON has as it is and YAML, as which an API server reads an
// apply, has not: it refuses some of it and takes the rest for line breaks.
func (d dice) unprintable() string {
	return pick(d, "a\u007fb", "a\u0085b", "a\u009f", "\ufeffa\ufeff", "\uffff")
}

// clusterText has variables of the cluster in it.
func (d dice) clusterText() string {
	return pick(d, "$(cluster.name)", "https://$(cluster.properties.domain)/$(cluster.labels.region)", "$$(cluster.name)=$(cluster.name)", "$(HOME)/$(cluster.properties.domain)")
}

// annotation is the key of an annotation, label its like with a value for it.
func (d dice) annotation() string {
	return pick(d, "example.org/note", "prometheus.io/scrape", "a", "A.b_c-D", "eks.amazonaws.com/role-arn", "x-1.example.org/"+strings.Repeat("k", 63), "checksum/config")
}

func (d dice) annotations() obj {
	m := obj{}
	for range d.between(0, 3) {
		m[d.annotation()] = d.text()
	}
	return m
}

func (d dice) labels() obj {
	m := obj{}
	for range d.between(0, 3) {
		m[pick(d, "team", "tier", "example.org/part", "A_b.c-1", "app.kubernetes.io/component", "app.kubernetes.io/part-of")] = d.labelValue()
	}
	return m
}

func (d dice) labelValue() string {
	return pick(d, "", "a", "A_b.c-1", "1", "true", strings.Repeat("v", 63))
}

// image is a reference; one with a variable gets its registry from the member.
func (d dice) image() string {
	return pick(d, "nginx", "nginx:1.27", "docker.io/library/nginx:1.27-alpine", "registry.example.com:5000/team/web:1.4", "localhost/web",
		"registry.example.com/web@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
		"registry.example.com/web:1@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1",
		"$(cluster.properties.registry)/web:1.4", "registry.example.com/$(cluster.labels.region)/web:$(cluster.name)", fmt.Sprintf("web:%d", d.IntN(1000)))
}

// quantities of a resource in all notations, each no larger than the next group.
var quantities = map[string][3][]any{
	"cpu": {
		{0, "0", "0m", "1m", "0.001", "1e-3"},
		{"100m", "0.1", "100e-3", "250m", ".25", "+0.3"},
		{1, 2, "1", "1000m", "1.5", "1500m", "2000m", "1e0", "2k", "01"},
	},
	"memory": {
		{0, "0", "0Mi", 1000, "128974848", "129e6", "129M"},
		{"192Mi", "196608Ki", "0.25Gi", "256M", 268435456, "268435456"},
		{"1Gi", "1024Mi", 2147483648, "1.5Gi", "2e9", "2E9", "2G", "1Ti"},
	},
	"ephemeral-storage": {
		{0, "0", "1Mi"}, {"1Gi", "1024Mi"}, {"2Gi", "1e12", "10G"},
	},
}

func (d dice) quantity(resource string, size int) any {
	return pick(d, quantities[resource][size]...)
}

// resources are requests and limits of which each request is within its limit.
func (d dice) resources() obj {
	requests, limits := obj{}, obj{}
	for _, resource := range []string{"cpu", "memory", "ephemeral-storage"} {
		size := d.IntN(3)
		d.perhaps(40, requests, resource, func() any { return d.quantity(resource, d.IntN(size+1)) })
		if d.chance(40) {
			if _, requested := requests[resource]; !requested {
				limits[resource] = d.quantity(resource, d.between(1, 2))
			} else if size == 2 {
				requests[resource], limits[resource] = d.quantity(resource, d.IntN(2)), d.quantity(resource, 2)
			} else {
				limits[resource] = d.quantity(resource, size+1)
			}
		}
	}
	if d.chance(10) {
		requests["example.com/gpu"], limits["example.com/gpu"] = pick[any](d, 1, "1"), pick[any](d, 1, "1", "1000m")
	}
	r := obj{}
	for key, m := range map[string]obj{"requests": requests, "limits": limits} {
		if len(m) > 0 || d.chance(10) {
			r[key] = m
		}
	}
	return r
}

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// spec is what a fleet was asked to be.
type spec struct {
	Root          string               `json:"root"`
	DeployDir     string               `json:"deployDir,omitempty"`
	Members       []fleet.MemberConfig `json:"members"`
	NoControllers bool                 `json:"noControllers"`
	Fsync         bool                 `json:"fsync"`
}

// parseMember reads NAME=push|pull[,LABEL=VALUE...].
func parseMember(text string) (fleet.MemberConfig, error) {
	fail := func(why string) (fleet.MemberConfig, error) {
		return fleet.MemberConfig{}, fmt.Errorf("--member %s: %s; write NAME=push or NAME=pull, then labels as in eu-1=push,region=eu", text, why)
	}
	parts := strings.Split(text, ",")
	name, mode, ok := strings.Cut(parts[0], "=")
	if !ok || name == "" {
		return fail("the name or the mode is missing")
	}
	m := fleet.MemberConfig{Name: name}
	switch mode {
	case "push":
		m.Mode = fleet.ModePush
	case "pull":
		m.Mode = fleet.ModePull
	default:
		return fail(fmt.Sprintf("%q is no mode", mode))
	}
	for _, label := range parts[1:] {
		key, value, ok := strings.Cut(label, "=")
		problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...)
		if !ok || len(problems) > 0 {
			return fail(fmt.Sprintf("%q is no label", label))
		}
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[key] = value
	}
	return m, nil
}

// missing returns the members that are wanted beyond those that run, and an
// error if what runs would have to be changed for the wish to come true.
func (s spec) missing(wanted spec) ([]fleet.MemberConfig, error) {
	if s.NoControllers != wanted.NoControllers {
		return nil, fmt.Errorf("the running fleet has --no-controllers=%t; take it down first", s.NoControllers)
	}
	if s.Fsync != wanted.Fsync {
		return nil, fmt.Errorf("the running fleet has --fsync=%t; take it down first", s.Fsync)
	}
	var out []fleet.MemberConfig
	for _, m := range wanted.Members {
		i := slices.IndexFunc(s.Members, func(have fleet.MemberConfig) bool { return have.Name == m.Name })
		switch {
		case i < 0:
			out = append(out, m)
		case s.Members[i].Mode != m.Mode:
			return nil, fmt.Errorf("member %s runs in mode %s; take the fleet down first", m.Name, s.Members[i].Mode)
		case !maps.Equal(s.Members[i].Labels, m.Labels):
			return nil, fmt.Errorf("member %s runs with other labels; change them on its MemberCluster, or take the fleet down first", m.Name)
		}
	}
	return out, nil
}

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

func TestParseMember(t *testing.T) {
	for _, tt := range []struct {
		text, reason string
		want         fleet.MemberConfig
		err          string
	}{
		{"eu-1=push", "a name and a mode", fleet.MemberConfig{Name: "eu-1", Mode: fleet.ModePush}, ""},
		{"us-1=pull,region=us,example.com/tier=", "labels may have a prefix and no value", fleet.MemberConfig{
			Name: "us-1", Mode: fleet.ModePull, Labels: map[string]string{"region": "us", "example.com/tier": ""}}, ""},
		{"eu-1", "no mode", fleet.MemberConfig{}, "missing"},
		{"=push", "no name", fleet.MemberConfig{}, "missing"},
		{"eu-1=pish", "a mode that is none", fleet.MemberConfig{}, `"pish" is no mode`},
		{"eu-1=push,region", "a label without =", fleet.MemberConfig{}, `"region" is no label`},
		{"eu-1=push,region=a b", "a value that is none", fleet.MemberConfig{}, `"region=a b" is no label`},
	} {
		got, err := parseMember(tt.text)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s (%s): %v, want an error with %q", tt.text, tt.reason, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (%s): -want +got\n%s", tt.text, tt.reason, diff)
		}
	}
}

func TestMissing(t *testing.T) {
	eu := fleet.MemberConfig{Name: "eu-1", Mode: fleet.ModePush, Labels: map[string]string{"region": "eu"}}
	us := fleet.MemberConfig{Name: "us-1", Mode: fleet.ModePull}
	pullEU, plainEU := eu, eu
	pullEU.Mode, plainEU.Labels = fleet.ModePull, nil
	runs := spec{Members: []fleet.MemberConfig{eu}}
	for _, tt := range []struct {
		reason string
		wanted spec
		want   []fleet.MemberConfig
		err    string
	}{
		{"the same", runs, nil, ""},
		{"nothing more: members are never taken away", spec{}, nil, ""},
		{"another member", spec{Members: []fleet.MemberConfig{eu, us}}, []fleet.MemberConfig{us}, ""},
		{"another mode", spec{Members: []fleet.MemberConfig{pullEU}}, nil, "runs in mode Push"},
		{"other labels", spec{Members: []fleet.MemberConfig{plainEU}}, nil, "other labels"},
		{"without controllers", spec{NoControllers: true}, nil, "--no-controllers=false"},
		{"with fsync", spec{Fsync: true}, nil, "--fsync=false"},
	} {
		got, err := runs.missing(tt.wanted)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v, want an error with %q", tt.reason, err, tt.err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", tt.reason, diff)
		}
	}
}

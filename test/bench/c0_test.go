package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/example/myapp-hub/test/bench/floor/plan"
)

func TestTemplatesOfC0(t *testing.T) {
	for name, tenanted := range map[string]bool{"whole clusters": false, "namespaces": true} {
		t.Run(name, func(t *testing.T) { checkTemplates(t, tenanted) })
	}
}

func checkTemplates(t *testing.T, tenanted bool) {
	objects, err := templates(tenanted)
	if err != nil {
		t.Fatal(err)
	}
	var resources []string
	for _, o := range objects {
		resources = append(resources, o.Resource)
		for _, placeholder := range []string{plan.Namespace, plan.App, plan.UID, plan.Member} {
			if !strings.Contains(o.Content, placeholder) {
				t.Errorf("%s has no %s: all members would get the same", o.Resource, placeholder)
			}
		}
		if !strings.Contains(o.Content, plan.HubLabel) || !strings.Contains(o.Content, plan.MemberLabel) {
			t.Errorf("%s lacks the labels that C0 watches by", o.Resource)
		}
		if tenanted != strings.Contains(o.Content, plan.Home) || tenanted != strings.Contains(o.Content, plan.NamespaceLabel) {
			t.Errorf("the member's namespace is %v, but: %s", tenanted, o.Content)
		}
		if o.HasImage() != (o.Resource == "deployments") {
			t.Errorf("an image is in a Deployment and nowhere else: %s", o.Content)
		}
	}
	if diff := cmp.Diff([]string{"services", "deployments"}, resources); diff != "" {
		t.Errorf("an app is one Deployment and one Service (-want +got):\n%s", diff)
	}
}

func TestChains(t *testing.T) {
	for _, tt := range []struct {
		reason string
		only   []string
		want   map[string]int
	}{
		{"nothing picked is everything", nil, map[string]int{"S1": 2, "S3": 0, "1xN": 1}},
		{"what goes on from S1 needs it", []string{"S3"}, map[string]int{"S1": 2, "S3": 0, "1xN": 0}},
		{"S1 goes on to nothing", []string{"S1"}, map[string]int{"S1": 1, "S3": 0, "1xN": 0}},
	} {
		o := options{only: tt.only}
		got := map[string]int{}
		for _, s := range scenarios(o) {
			if _, ok := tt.want[s.name]; ok {
				got[s.name] = len(o.chain(s))
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.reason, diff)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		reason string
		o      options
		want   []setting
	}{
		{"each fleet starts once", options{}, []setting{pushWhole, pushTenants, pullWhole}},
		{"and only for what was picked", options{only: []string{"S7-idle", "1x100"}}, []setting{pushTenants, pullWhole}},
		{"large crowds are on namespaces", options{only: []string{"S2", "S5"}, large: true}, []setting{pushTenants}},
	} {
		if got := settings(tt.o); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.reason, got, tt.want)
		}
	}
}

func TestOrderAlternates(t *testing.T) {
	var got []string
	for pair := range 3 {
		for _, c := range order(pair, &world{}) {
			got = append(got, c.name)
		}
	}
	if diff := cmp.Diff([]string{"C0", "hub", "hub", "C0", "C0", "hub"}, got); diff != "" {
		t.Errorf("a machine that gets slower must not favour one (-want +got):\n%s", diff)
	}
}

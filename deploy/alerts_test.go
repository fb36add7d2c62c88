package deploy

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// An alert says how bad it is, what it is and where to read on.
func TestAlertsAreComplete(t *testing.T) {
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalStrict(read(t, "charts/hub/files/alerts.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	operations := string(read(t, "../docs/operations.md"))
	quoted := regexp.MustCompile(`See docs/operations\.md, (.*)\.$`)
	seen := map[string]bool{}
	for _, group := range rules.Groups {
		for _, r := range group.Rules {
			if r.Alert == "" || r.Expr == "" || r.For == "" || r.Annotations["summary"] == "" || seen[r.Alert] {
				t.Errorf("%q lacks a name of its own, an expression, a time or a summary", r.Alert)
			}
			seen[r.Alert] = true
			if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
				t.Errorf("%s: severity %q", r.Alert, severity)
			}
			if !strings.Contains(operations, "| `"+r.Alert+"` |") {
				t.Errorf("%s has no line in docs/operations.md", r.Alert)
			}
			pointer := quoted.FindStringSubmatch(r.Annotations["description"])
			if pointer == nil {
				t.Errorf("%s: the description does not end in a section of docs/operations.md", r.Alert)
				continue
			}
			for _, section := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(pointer[1], -1) {
				if !strings.Contains(operations, "# "+section[1]+"\n") {
					t.Errorf("%s: docs/operations.md has no section %q", r.Alert, section[1])
				}
			}
		}
	}
	if len(seen) == 0 {
		t.Error("there are no alerts")
	}
}

// A panel says what it shows, and in what unit.
func TestPanelsAreComplete(t *testing.T) {
	var dashboard struct {
		UID    string
		Panels []struct {
			ID                       int
			Type, Title, Description string
			FieldConfig              struct{ Defaults struct{ Unit string } }
			Targets                  []struct{ Expr string }
			GridPos                  struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(read(t, "charts/hub/files/dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.UID != "myapp-hub" {
		t.Errorf("the dashboard's uid is %q: links to it break", dashboard.UID)
	}
	ids, panels := map[int]bool{}, 0
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("%q has the id of another panel", p.Title)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%q is beyond the right edge", p.Title)
		}
		if p.Type == "row" {
			continue
		}
		panels++
		if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d, %q, lacks a title, a description, a unit or a target", p.ID, p.Title)
		}
	}
	if panels == 0 {
		t.Error("there are no panels")
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

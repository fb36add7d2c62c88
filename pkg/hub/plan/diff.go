package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
)

// Diff is what becomes of one object on some members. It is of what is rendered.
type Diff struct {
	// Object is the object as a person calls it.
	Object string `json:"object"`
	// Clusters are the members for which the diff is the same.
	Clusters []string `json:"clusters"`
	// Text is a unified diff.
	Text string `json:"text"`
}

// compare renders what members have and what they get that run the app, and gives those
// that have it before and after and get something else.
func (p *Plan) compare(before, after State, rows []v1.PlacementRow) (updated []string, err error) {
	same := map[string]*Diff{}
	had := map[string]int32{} // pods of those that have the app
	for i := range after.App.Status.Placements {
		row := &after.App.Status.Placements[i]
		if row.IsPlaced() {
			had[row.Cluster] = row.Replicas
		}
	}
	for i := range rows {
		row := &rows[i]
		var old, next objects
		replicas, has := had[row.Cluster]
		if has {
			if old, err = objectsOf(&before, row.Cluster, replicas); err != nil {
				old = objects{} // what is there was rendered from a spec that was valid
			}
		}
		if next, err = objectsOf(&after, row.Cluster, row.Replicas); err != nil {
			return nil, err
		}
		changed := false
		for _, name := range namesOf(old, next) {
			if old[name] == next[name] {
				continue
			}
			changed = true
			text, err := unified(name, old[name], next[name])
			if err != nil {
				return nil, err
			}
			if same[name+"\n"+text] == nil {
				same[name+"\n"+text] = &Diff{Object: name, Text: text}
			}
			same[name+"\n"+text].Clusters = append(same[name+"\n"+text].Clusters, row.Cluster)
		}
		if changed && has {
			updated = append(updated, row.Cluster)
		}
	}
	for _, d := range same {
		p.Diffs = append(p.Diffs, *d)
	}
	slices.SortFunc(p.Diffs, func(a, b Diff) int {
		if a.Object != b.Object {
			return strings.Compare(a.Object, b.Object)
		}
		return strings.Compare(a.Clusters[0], b.Clusters[0])
	})
	return updated, nil
}

// objects are what a member gets, as text by name. Secrets are in it without content.
type objects map[string]string

func objectsOf(s *State, cluster string, replicas int32) (objects, error) {
	is, ok := s.Clusters[cluster]
	if !ok || s.App == nil {
		return objects{}, nil
	}
	manifests, err := render.Manifests(render.Input{
		Namespace: s.App.Namespace, Name: s.App.Name, UID: s.App.UID, Cluster: is,
		Stamp:    manifest.Stamp{},
		Template: render.Template(&s.App.Spec), Replicas: replicas,
	})
	if err != nil {
		return nil, err
	}
	all := objects{}
	for i := range manifests {
		text, err := plain(manifests[i].Raw)
		if err != nil {
			return nil, fmt.Errorf("printing %s: %w", manifests[i], err)
		}
		all[manifests[i].String()] = text
	}
	return all, nil
}

// plain is an object as text, without the marks that the hub puts on it: they differ from
// member to member, and nobody means them.
func plain(raw []byte) (string, error) {
	var o map[string]any
	if err := json.Unmarshal(raw, &o); err != nil {
		return "", err
	}
	if metadata, ok := o["metadata"].(map[string]any); ok {
		for field, marks := range map[string][]string{
			"labels":      {v1.LabelHubID, v1.LabelMember, v1.LabelAppUID, v1.LabelManagedBy},
			"annotations": {v1.AnnotationAppGeneration, v1.AnnotationAppSpecHash, v1.AnnotationContentHash, v1.AnnotationHubEpoch, v1.AnnotationHubVersion},
		} {
			values, _ := metadata[field].(map[string]any)
			for _, mark := range marks {
				delete(values, mark)
			}
			if len(values) == 0 {
				delete(metadata, field)
			}
		}
	}
	text, err := yaml.Marshal(o)
	return string(text), err
}

func namesOf(lists ...objects) []string {
	var all []string
	for _, list := range lists {
		for name := range list {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func unified(name, old, next string) (string, error) {
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(old), B: lines(next), FromFile: name + " (as it is)", ToFile: name + " (as it would be)", Context: 3,
	})
	if err != nil {
		return "", fmt.Errorf("comparing %s: %w", name, err)
	}
	return text, nil
}

// DiffTemplates compares a stored template with that of a spec, as a unified diff; empty if
// they say the same.
func DiffTemplates(oldName string, old []byte, name string, spec *v1.MyAppSpec) (string, error) {
	was, err := render.ParseTemplate(old)
	if err != nil {
		return "", err
	}
	var texts [2]string
	for i, template := range []v1.MyAppSpec{was, render.Template(spec)} {
		text, err := yaml.Marshal(template)
		if err != nil {
			return "", err
		}
		texts[i] = string(text)
	}
	if texts[0] == texts[1] {
		return "", nil
	}
	return difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: lines(texts[0]), B: lines(texts[1]), FromFile: oldName, ToFile: name, Context: 3})
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return difflib.SplitLines(strings.TrimSuffix(text, "\n"))
}

// Objects are what each member that has the app is to have, by member, as a person calls
// them.
func (s *State) Objects() (map[string][]string, error) {
	all := map[string][]string{}
	for i := range s.App.Status.Placements {
		row := &s.App.Status.Placements[i]
		if !row.IsPlaced() {
			continue
		}
		has, err := objectsOf(s, row.Cluster, row.Replicas)
		if err != nil {
			return nil, err
		}
		all[row.Cluster] = namesOf(has)
	}
	return all, nil
}

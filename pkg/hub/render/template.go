package render

import (
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// Template is the part of a spec that renders: all but replicas (those of
// overrides too), placement and policies, which are read live and start no
// revision.
func Template(spec *v1.MyAppSpec) v1.MyAppSpec {
	t := *spec.DeepCopy()
	t.Replicas = nil
	t.Placement, t.Failover, t.Rollout, t.DependsOn = nil, nil, nil, nil
	t.DeletionPolicy = ""
	t.Paused = false
	t.RevisionHistoryLimit = nil
	t.Drift = nil
	t.Adoption = ""
	t.HealthRules = nil
	t.Overrides = templateOverrides(t.Overrides)
	return t
}

// templateOverrides are the overrides without their replicas. One that has
// nothing else says nothing that renders, not even for whom; it keeps its place,
// so that errors name the entry that the user wrote.
func templateOverrides(overrides []v1.Override) []v1.Override {
	for i := range overrides {
		o := &overrides[i]
		o.Replicas = nil
		if o.Image == nil && o.Env == nil && o.Args == nil && o.Resources == nil && len(o.Patches) == 0 {
			*o = v1.Override{}
		}
	}
	for len(overrides) > 0 && equality.Semantic.DeepEqual(overrides[len(overrides)-1], v1.Override{}) {
		overrides = overrides[:len(overrides)-1]
	}
	return overrides
}

// WithTemplate is a spec with another template: what a stored one says, and of the spec
// what belongs to no template.
func WithTemplate(spec *v1.MyAppSpec, template v1.MyAppSpec) v1.MyAppSpec {
	s := *template.DeepCopy()
	own := *spec.DeepCopy()
	s.Replicas = own.Replicas
	s.Placement, s.Failover, s.Rollout, s.DependsOn = own.Placement, own.Failover, own.Rollout, own.DependsOn
	s.DeletionPolicy, s.Paused, s.RevisionHistoryLimit = own.DeletionPolicy, own.Paused, own.RevisionHistoryLimit
	s.Drift, s.Adoption, s.HealthRules = own.Drift, own.Adoption, own.HealthRules
	for i := range own.Overrides {
		o := &own.Overrides[i]
		switch {
		case o.Replicas == nil:
		case i < len(s.Overrides) && sameMembers(o, &s.Overrides[i]):
			s.Overrides[i].Replicas = o.Replicas
		default:
			s.Overrides = append(s.Overrides, v1.Override{ClusterSelector: o.ClusterSelector, ClusterNames: o.ClusterNames, Replicas: o.Replicas})
		}
	}
	return s
}

// sameMembers is true for overrides that are for the same members.
func sameMembers(a, b *v1.Override) bool {
	return equality.Semantic.DeepEqual(a.ClusterSelector, b.ClusterSelector) && slices.Equal(a.ClusterNames, b.ClusterNames)
}

// Replicas is the number of pods on a member. With an autoscaler it is the
// fewest, from where the autoscaler goes on; without, the last override for the
// member that has replicas wins over spec.replicas. An override whose selector
// cannot be understood is for no member.
func Replicas(spec *v1.MyAppSpec, cluster Cluster) int32 {
	if spec.Autoscaling != nil {
		return minReplicas(spec.Autoscaling)
	}
	for i := range slices.Backward(spec.Overrides) {
		o := &spec.Overrides[i]
		if o.Replicas == nil {
			continue
		}
		if applies, err := selects(o, cluster); err == nil && applies {
			return *o.Replicas
		}
	}
	if spec.Replicas != nil {
		return *spec.Replicas
	}
	return 1
}

// Policies say how a member's engine treats what it finds there. An app with an
// autoscaler leaves the number of pods to it.
func Policies(spec *v1.MyAppSpec) v1.Policies {
	p := v1.Policies{Drift: v1.Drift{Mode: v1.DriftCorrect}, Adoption: v1.AdoptNever}
	if spec.Drift != nil {
		p.Drift = *spec.Drift.DeepCopy()
		if p.Drift.Mode == "" {
			p.Drift.Mode = v1.DriftCorrect
		}
	}
	if spec.Adoption != "" {
		p.Adoption = spec.Adoption
	}
	p.HealthRules = slices.Clone(spec.HealthRules)
	if spec.Autoscaling != nil {
		p.Drift.Ignore = append(p.Drift.Ignore, v1.IgnoredFields{Group: "apps", Kind: "Deployment", Fields: []string{"/spec/replicas"}})
	}
	return p
}

// specSchema names the schema of MyAppSpec. It is part of every SpecHash: a field
// that a later version adds, and its default, change the hash of a spec that
// nobody has changed. A test says what it has to be.
const specSchema = "b7c99390"

// SpecHash is the hash of a whole spec, which tells two histories of one
// generation apart. Hashes of different schemas do not compare, see
// manifest.Stamp.
func SpecHash(spec *v1.MyAppSpec) string {
	data, err := json.Marshal(spec)
	if err != nil {
		return "" // cannot be for a spec that was read as JSON; an empty hash claims nothing
	}
	return specSchema + "-" + manifest.Hash(data)
}

// Revision is a template as it is stored.
type Revision struct {
	// Name of the ControllerRevision: the app's name and a hash.
	Name string
	// Data is the template as JSON.
	Data []byte
}

// RevisionOf is the revision of a spec. The app's UID is hashed too, so that an
// app that was deleted and made again never meets its predecessor's revisions.
// The collision is 0 unless another template already has the name.
func RevisionOf(appName string, uid types.UID, spec *v1.MyAppSpec, collision int) (Revision, error) {
	t := Template(spec)
	data, err := json.Marshal(t)
	if err != nil {
		return Revision{}, fmt.Errorf("encoding the template of %s: %w", appName, err)
	}
	hash := manifest.Hash(fmt.Appendf(nil, "%s#%d#%s", uid, collision, data))
	return Revision{Name: appName + "-" + hash[:10], Data: data}, nil
}

// ParseTemplate reads a template that RevisionOf stored.
func ParseTemplate(data []byte) (v1.MyAppSpec, error) {
	var t v1.MyAppSpec
	if err := json.Unmarshal(data, &t); err != nil {
		return t, fmt.Errorf("decoding a stored template: %w", err)
	}
	return t, nil
}

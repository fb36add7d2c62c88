package render

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// maxObjects is how many objects an app may have on a member: what a Work holds.
const maxObjects = 100

// Input is all that decides what a member gets.
type Input struct {
	// Namespace, Name and UID of the MyApp.
	Namespace, Name string
	UID             types.UID
	// Stamp is put on every object; it is not part of its content.
	Stamp manifest.Stamp
	// HubID is the identity of the hub.
	HubID string
	// Cluster is the member.
	Cluster Cluster
	// Template is what renders; Replicas the number of pods on this member.
	Template v1.MyAppSpec
	Replicas int32
}

// Cluster is a member as overrides and variables see it.
type Cluster struct {
	// Name, Labels and Properties are the MemberCluster's.
	Name       string
	Labels     map[string]string
	Properties map[string]v1.PropertyValue
	// Namespace is where all objects are on a namespaced member. Empty: each app's
	// are in the namespace that it has on the hub.
	Namespace string
}

// ClusterOf is the member as rendering sees it.
func ClusterOf(m *v1.MemberCluster) Cluster {
	return Cluster{Name: m.Name, Labels: m.Labels, Properties: m.Spec.Properties, Namespace: m.Spec.Namespace}
}

// Objects are what one member gets.
type Objects struct {
	// Manifests are in the order in which they are applied: what pods need first,
	// then the workload, then what acts on it. Secrets among them are frames
	// without content; manifest.Fill adds it where they are written.
	Manifests []manifest.Manifest
	// Secrets are those that the app's pods refer to and that the member does not
	// have itself, ordered by name.
	Secrets []SecretCopy
}

// Render renders the objects of one app on one member. An *Error is the user's to
// mend.
func Render(in Input) (Objects, error) {
	f, _, err := framesOf(in)
	return f.objects(in), err
}

// Manifests are the manifests of Render.
func Manifests(in Input) ([]manifest.Manifest, error) {
	out, err := Render(in)
	return out.Manifests, err
}

// rendering is one app on its way to the objects of one member.
type rendering struct {
	in   Input
	spec *field.Path
	vars variables
	// applies says which overrides are for the member.
	applies func(i int) (bool, error)

	// objects are in the order in which they are applied.
	objects []*object
	// workload is the Deployment among them.
	workload *object
	// secrets are what has to be copied to the member.
	secrets []SecretCopy
	// peculiar is true once something was made that depends on more of the member
	// than which overrides are for it.
	peculiar bool
}

func newRendering(in Input) *rendering {
	r := &rendering{in: in, spec: field.NewPath("spec")}
	r.vars = variables{cluster: in.Cluster, used: &r.peculiar}
	r.applies = func(i int) (bool, error) { return selects(&in.Template.Overrides[i], in.Cluster) }
	return r
}

// run shows the order of things twice: the objects are made in the order in
// which a member gets them, and then changed for the member. Secrets come last,
// since any step before may refer to one; their frames go to the front.
func (r *rendering) run() error {
	for _, step := range []func() error{
		r.addServiceAccount,
		r.addConfigMap,
		r.addService,
		r.addDisruptionBudget,
		r.addManifests,
		r.addDeployment,
		r.addAutoscaler,

		r.override,
		r.nameAccountTwice,
		r.hashConfig,
		r.copySecrets,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if len(r.objects) > maxObjects {
		return failf(r.spec, "the app has %d objects and may have %d: split it, or take entries off spec.manifests", len(r.objects), maxObjects)
	}
	return nil
}

package v1

import (
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Override changes the app on some members. Overrides apply in their order; the
// later wins. Within one, image, replicas, env, args and resources apply first,
// then the patches.
type Override struct {
	// ClusterSelector chooses the members by label; with clusterNames too, both
	// must hold. Default: every member. Example: {matchLabels: {region: eu}}
	// +optional
	ClusterSelector *ClusterSelector `json:"clusterSelector,omitempty"`
	// ClusterNames chooses the members by name.
	// Default: every member. Example: [eu-1, eu-2]
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	ClusterNames []ClusterName `json:"clusterNames,omitempty"`
	// Image changes parts of the app's image.
	// Default: none. Example: {registry: mirror.eu.example.com}
	// +optional
	Image *ImageOverride `json:"image,omitempty"`
	// Replicas is the number of pods on each of these members. It starts no
	// revision. Default: spec.replicas. Example: 2
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Replicas *int32 `json:"replicas,omitempty"`
	// Env sets environment variables of the app's container: one of the same
	// name is replaced, others are added.
	// Default: none. Example: [{name: REGION, value: $(cluster.labels.region)}]
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Env []corev1.EnvVar `json:"env,omitempty"`
	// Args replaces the arguments of the app's container.
	// Default: none. Example: ["--port=8080"]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Args []string `json:"args,omitempty"`
	// Resources replaces the requests and limits of the app's container.
	// Default: none. Example: {requests: {cpu: 500m}}
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// Patches change the rendered objects. They cannot change what an object is
	// (kind, name, namespace), the hub's labels and annotations, the Deployment's
	// selector and replicas, or Secrets.
	// Default: none. Example: [{target: {kind: Service}, patch: [{op: add, path: /spec/sessionAffinity, value: ClientIP}]}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Patches []Patch `json:"patches,omitempty"`
}

// ClusterName is the name of a MemberCluster.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=56
type ClusterName string

// ImageOverride changes parts of an image reference.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.tag) && has(self.digest))",message="set a tag or a digest, not both: each takes the other's place"
type ImageOverride struct {
	// Registry takes the place of the registry's host, or goes in front of an
	// image that names none: nginx becomes mirror.eu.example.com/nginx. It may
	// have a path.
	// Default: unchanged. Example: mirror.eu.example.com
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Registry string `json:"registry,omitempty"`
	// Repository takes the place of the path after the registry.
	// Default: unchanged. Example: team/web
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Repository string `json:"repository,omitempty"`
	// Tag takes the place of tag and digest. Default: unchanged. Example: "1.5"
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Tag string `json:"tag,omitempty"`
	// Digest takes the place of tag and digest.
	// Default: unchanged. Example: sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
	// +optional
	// +kubebuilder:validation:MaxLength=160
	Digest string `json:"digest,omitempty"`
}

// Patch is a JSON patch (RFC 6902) on rendered objects.
type Patch struct {
	// Target names the objects to patch. A target that names none is an error.
	// +required
	Target PatchTarget `json:"target"`
	// Patch are the operations. Example: [{op: replace, path: /spec/type, value: NodePort}]
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Patch []PatchOperation `json:"patch"`
}

// PatchTarget names rendered objects.
type PatchTarget struct {
	// Group of the kind. Default: any group. Example: apps
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// Kind of the objects. Example: Deployment
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Name of the object. Default: any name. Example: web
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
}

// PatchOperation is one operation of a JSON patch.
//
// +kubebuilder:validation:XValidation:rule="self.op in ['move', 'copy'] ? has(self.from) : !has(self.from)",message="move and copy need from; other operations must have none"
type PatchOperation struct {
	// Op is the operation. Example: add
	// +required
	// +kubebuilder:validation:Enum=add;remove;replace;move;copy;test
	Op string `json:"op"`
	// Path is a JSON pointer into the object. Example: /spec/template/spec/priorityClassName
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/')",message="a path is a JSON pointer and begins with '/': for example /spec/replicas"
	Path string `json:"path"`
	// From is the JSON pointer that move and copy take the value from.
	// Default: none. Example: /metadata/labels/a
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	From string `json:"from,omitempty"`
	// Value is the value to add, replace with or test for.
	// Default: none. Example: high
	// +optional
	Value *apiextensionsv1.JSON `json:"value,omitempty"`
}

// DriftMode says what happens when somebody changes on a member what the hub
// put there.
//
// +kubebuilder:validation:Enum=Correct;Report
type DriftMode string

const (
	// DriftCorrect restores what was changed.
	DriftCorrect DriftMode = "Correct"
	// DriftReport leaves it and shows what was changed, by whom.
	DriftReport DriftMode = "Report"
)

// Drift says what happens when somebody changes the app's objects on a member.
type Drift struct {
	// Mode is Correct or Report.
	// Default: Correct. Example: Report
	// +optional
	// +default="Correct"
	Mode DriftMode `json:"mode,omitempty"`
	// Ignore are fields that others may change: they are set when an object is
	// created and belong to whoever changes them afterwards.
	// Default: none. Example: [{kind: Deployment, fields: [/spec/replicas]}]
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Ignore []IgnoredFields `json:"ignore,omitempty"`
}

// IgnoredFields are fields of a kind that others may change.
type IgnoredFields struct {
	// Group of the kind. Default: any group. Example: apps
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// Kind of the objects. Example: Deployment
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Name of the object. Default: any name. Example: web
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// Fields are paths into the object, written like JSON pointers; what is
	// below a path is ignored too. An element of a list is named by its name,
	// or else by its index.
	// Example: [/spec/replicas, /spec/template/spec/containers/web/resources]
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.all(f, f.startsWith('/') && size(f) > 1)",message="a field is a path that begins with '/': for example /spec/replicas"
	Fields []string `json:"fields"`
}

// AdoptionPolicy says what happens with an object that exists on a member
// before the app is put there. Objects of another app are never taken.
//
// +kubebuilder:validation:Enum=Never;IfIdentical;Always
type AdoptionPolicy string

const (
	// AdoptNever leaves the object and reports it.
	AdoptNever AdoptionPolicy = "Never"
	// AdoptIfIdentical takes the object if that changes nothing but marks.
	AdoptIfIdentical AdoptionPolicy = "IfIdentical"
	// AdoptAlways takes the object and changes it as needed.
	AdoptAlways AdoptionPolicy = "Always"
)

// HealthRule says with CEL when objects of a kind are healthy. The expressions
// see the object as `object`.
type HealthRule struct {
	// Group of the kind. Default: the core group. Example: example.org
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
	// Kind of the objects. Example: Database
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Ready is true when the object is healthy; an expression that fails is false.
	// Example: object.status.phase == "Running"
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Ready string `json:"ready"`
	// Failed is true when the object cannot become healthy by itself.
	// Default: never. Example: object.status.phase == "Error"
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Failed string `json:"failed,omitempty"`
	// Message says for a person why the object is not healthy.
	// Default: which object is waited for. Example: object.status.message
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`
}

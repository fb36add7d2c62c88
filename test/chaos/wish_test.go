package chaos

import (
	"encoding/json"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
)

// part is something that an app may have or not; all but an environment variable
// are objects, in the order in which a member gets them.
type part int

const (
	account part = iota
	secret
	config
	service
	budget
	manifests
	scaler
	variable
	parts // how many there are
)

// object is an object of an app on a member.
type object struct{ kind, resource, name string }

func (o object) String() string { return o.kind + " " + o.name }

// credentials is the Secret on the hub that apps have copied to members.
const credentials = "credentials"

// wish is what an app is asked to be.
type wish struct {
	name     string
	uid      types.UID
	replicas int32
	// version is in the image, in the files, in the variable and in the manifest.
	version int
	has     [parts]bool
	// blocked is the kind of an object that somebody else has under the name that
	// the app's would have; it and what comes after it is never made.
	blocked string
	// control is an app that nobody edits.
	control bool
}

// everything has all parts but an autoscaler, whose pods nobody counts here.
func everything(name string) *wish {
	w := &wish{name: name, replicas: 1, version: 1}
	for p := range parts {
		w.has[p] = p != scaler
	}
	return w
}

// app is the MyApp that wishes it; on the first of the members it differs.
func (w *wish) app(members ...string) *v1.MyApp {
	version := strconv.Itoa(w.version)
	return expect.App(namespace, w.name, expect.On(members...), func(a *v1.MyApp) {
		s := &a.Spec
		s.Image = "registry.example.com/web:" + version
		s.Replicas = ptr.To(w.replicas)
		s.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}}
		s.Overrides = []v1.Override{{
			ClusterNames: []v1.ClusterName{v1.ClusterName(members[0])},
			Image:        &v1.ImageOverride{Registry: "mirror.example.com"},
			Env:          []corev1.EnvVar{{Name: "MEMBER", Value: "$(cluster.name)"}},
		}}
		if w.has[account] {
			s.ServiceAccount = &v1.ServiceAccount{Annotations: map[string]string{"example.org/role": "web"}}
		}
		if w.has[secret] {
			s.Env = append(s.Env, corev1.EnvVar{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: credentials}, Key: "password",
			}}})
		}
		if w.has[config] {
			s.Config = map[string]v1.ConfigValue{"app.yaml": v1.ConfigValue("version: " + version)}
		}
		if w.has[service] {
			expect.WithService(a)
		}
		if w.has[budget] {
			s.Disruption = &v1.Disruption{MaxUnavailable: ptr.To(intstr.FromInt32(1))}
		}
		if w.has[manifests] {
			s.Manifests = []runtime.RawExtension{{Raw: w.extra()}}
		}
		if w.has[scaler] {
			s.Autoscaling = &v1.Autoscaling{MinReplicas: ptr.To[int32](1), MaxReplicas: 3, TargetCPUUtilization: ptr.To[int32](70)}
		}
		if w.has[variable] {
			s.Env = append(s.Env, corev1.EnvVar{Name: "VERSION", Value: version})
		}
	})
}

func (w *wish) extra() []byte {
	raw, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": w.name + "-extra"},
		"data":     map[string]any{"version": strconv.Itoa(w.version)},
	})
	if err != nil {
		panic(fmt.Sprintf("text is always JSON: %v", err))
	}
	return raw
}

// of are the objects that a part is.
func (w *wish) of(p part) []object {
	switch p {
	case account:
		return []object{{"ServiceAccount", "serviceaccounts", w.name}}
	case secret:
		return []object{{"Secret", "secrets", w.name + "." + credentials}}
	case config:
		return []object{{"ConfigMap", "configmaps", w.name}}
	case service:
		return []object{{"Service", "services", w.name}}
	case budget:
		return []object{{"PodDisruptionBudget", "poddisruptionbudgets", w.name}}
	case manifests:
		return []object{{"ConfigMap", "configmaps", w.name + "-extra"}}
	case scaler:
		return []object{{"HorizontalPodAutoscaler", "horizontalpodautoscalers", w.name}}
	}
	return nil
}

// objects are those that every member is to have.
func (w *wish) objects() []object {
	var all []object
	for p := range parts {
		if p == scaler {
			all = append(all, object{"Deployment", "deployments", w.name})
		}
		if w.has[p] {
			all = append(all, w.of(p)...)
		}
	}
	for i, o := range all {
		if o.kind == w.blocked {
			return all[:i]
		}
	}
	return all
}

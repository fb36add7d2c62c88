package render

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

const labelName = "app.kubernetes.io/name"

// Input is all that decides what a member gets.
type Input struct {
	// Namespace, Name, UID and Generation of the MyApp.
	Namespace, Name string
	UID             types.UID
	Generation      int64
	// HubID is the identity of the hub, Member the name of the MemberCluster.
	HubID, Member string
	// Template is what renders; Replicas the number of pods on this member.
	Template v1.MyAppSpec
	Replicas int32
}

// Manifests renders the objects of one app on one member, in the order in
// which they are applied: what pods need first, then the workload.
func Manifests(in Input) ([]manifest.Manifest, error) {
	objects := []any{}
	if in.Template.Service != nil {
		objects = append(objects, service(in))
	}
	objects = append(objects, deployment(in))

	manifests := make([]manifest.Manifest, 0, len(objects))
	for _, o := range objects {
		object, err := toMap(o)
		if err != nil {
			return nil, fmt.Errorf("rendering %s/%s for %s: %w", in.Namespace, in.Name, in.Member, err)
		}
		m, err := manifest.New(object, in.Generation)
		if err != nil {
			return nil, fmt.Errorf("rendering %s/%s for %s: %w", in.Namespace, in.Name, in.Member, err)
		}
		manifests = append(manifests, m)
	}
	return manifests, nil
}

// PodSelector is the selector of an app's pods on every member, as a query.
func PodSelector(appName string) string { return v1.LabelApp + "=" + appName }

func deployment(in Input) *appsv1.Deployment {
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: objectMeta(in),
		Spec: appsv1.DeploymentSpec{
			Replicas: &in.Replicas,
			Selector: &metav1.LabelSelector{MatchLabels: podSelector(in)},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{
					v1.LabelApp: in.Name, labelName: in.Name, v1.LabelManagedBy: v1.ManagedBy,
				}},
				Spec: corev1.PodSpec{Containers: []corev1.Container{container(in)}},
			},
		},
	}
}

func container(in Input) corev1.Container {
	t := in.Template
	c := corev1.Container{
		Name:    in.Name,
		Image:   t.Image,
		Command: t.Command,
		Args:    t.Args,
		Env:     t.Env,
		EnvFrom: t.EnvFrom,
	}
	for _, p := range t.Ports {
		c.Ports = append(c.Ports, corev1.ContainerPort{Name: p.Name, ContainerPort: p.ContainerPort, Protocol: protocol(p.Protocol)})
	}
	if t.Resources != nil {
		c.Resources = *t.Resources
	}
	if t.Probes != nil {
		c.LivenessProbe, c.ReadinessProbe, c.StartupProbe = t.Probes.Liveness, t.Probes.Readiness, t.Probes.Startup
	}
	return c
}

func service(in Input) *corev1.Service {
	t := in.Template.Service
	s := &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: objectMeta(in),
		Spec:       corev1.ServiceSpec{Type: t.Type, Selector: podSelector(in)},
	}
	for _, p := range t.Ports {
		port := corev1.ServicePort{Name: p.Name, Port: p.Port, Protocol: protocol(p.Protocol)}
		if p.TargetPort != nil {
			port.TargetPort = *p.TargetPort
		} else {
			port.TargetPort.IntVal = p.Port
		}
		s.Spec.Ports = append(s.Spec.Ports, port)
	}
	return s
}

func objectMeta(in Input) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: in.Namespace,
		Name:      in.Name,
		Labels: map[string]string{
			labelName:         in.Name,
			v1.LabelManagedBy: v1.ManagedBy,
			v1.LabelApp:       in.Name,
			v1.LabelAppUID:    string(in.UID),
			v1.LabelHubID:     in.HubID,
			v1.LabelMember:    in.Member,
		},
	}
}

func podSelector(in Input) map[string]string { return map[string]string{v1.LabelApp: in.Name} }

// protocol fills in the default, which is part of the key of a port in
// server-side apply.
func protocol(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

// toMap is the object as server-side apply wants it: without the fields that a
// Go type writes although nothing was said about them.
func toMap(object any) (map[string]any, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, err
	}
	delete(m, "status")
	if spec, ok := m["spec"].(map[string]any); ok {
		deleteEmpty(spec, "strategy")
		if template, ok := spec["template"].(map[string]any); ok {
			if podSpec, ok := template["spec"].(map[string]any); ok {
				containers, _ := podSpec["containers"].([]any)
				for _, c := range containers {
					deleteEmpty(c.(map[string]any), "resources")
				}
			}
		}
	}
	deleteNulls(m)
	return m, nil
}

func deleteEmpty(m map[string]any, key string) {
	if v, ok := m[key].(map[string]any); ok && len(v) == 0 {
		delete(m, key)
	}
}

func deleteNulls(m map[string]any) {
	for k, v := range m {
		switch v := v.(type) {
		case nil:
			delete(m, k)
		case map[string]any:
			deleteNulls(v)
		case []any:
			for _, item := range v {
				if item, ok := item.(map[string]any); ok {
					deleteNulls(item)
				}
			}
		}
	}
}

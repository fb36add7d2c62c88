package render

import (
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// configVolume is the name of the volume with the files of spec.config.
const configVolume = "config"

func (r *rendering) addConfigMap() error {
	if len(r.in.Template.Config) == 0 {
		return nil
	}
	config := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: r.objectMeta(),
		Data:       make(map[string]string, len(r.in.Template.Config)),
	}
	for file, content := range r.in.Template.Config {
		config.Data[file] = string(content)
	}
	return add(r, r.spec.Child("config"), config)
}

// mountConfig gives the app's container the files of spec.config.
func (r *rendering) mountConfig(pod *corev1.PodSpec) {
	if len(r.in.Template.Config) == 0 {
		return
	}
	path := r.in.Template.ConfigMountPath
	if path == "" {
		path = v1.DefaultConfigMountPath
	}
	pod.Volumes = append(pod.Volumes, corev1.Volume{
		Name: configVolume,
		VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: r.in.Name},
		}},
	})
	pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts,
		corev1.VolumeMount{Name: configVolume, MountPath: path, ReadOnly: true})
}

// hashConfig puts the hash of the files on the pods, so that a change of a file
// rolls them. It reads the ConfigMap as patches have left it.
func (r *rendering) hashConfig() error {
	if len(r.in.Template.Config) == 0 {
		return nil
	}
	for _, o := range r.objects {
		if kind := o.groupKind(); kind.Group != "" || kind.Kind != "ConfigMap" || o.name() != r.in.Name {
			continue
		}
		content, err := json.Marshal([]any{o.content["data"], o.content["binaryData"]})
		if err != nil {
			return fmt.Errorf("encoding spec.config: %w", err)
		}
		return unstructured.SetNestedField(r.workload.content, manifest.Hash(content),
			"spec", "template", "metadata", "annotations", v1.AnnotationConfigHash)
	}
	return nil
}

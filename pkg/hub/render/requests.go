package render

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// PodRequests are what one pod of an app requests on a member, as a scheduler counts it:
// what all containers that run together request, or one that runs before them.
func PodRequests(in Input) (corev1.ResourceList, error) {
	manifests, err := Manifests(in)
	if err != nil {
		return nil, err
	}
	for i := range manifests {
		m := &manifests[i]
		if m.GVK.Group != appsv1.GroupName || m.GVK.Kind != "Deployment" || m.Name != in.Name {
			continue
		}
		var workload appsv1.Deployment
		if err := json.Unmarshal(m.Raw, &workload); err != nil {
			return nil, fmt.Errorf("reading the Deployment of %s/%s: %w", in.Namespace, in.Name, err)
		}
		return requests(&workload.Spec.Template.Spec), nil
	}
	return nil, fmt.Errorf("app %s/%s has no Deployment", in.Namespace, in.Name)
}

func requests(pod *corev1.PodSpec) corev1.ResourceList {
	together, before := corev1.ResourceList{}, corev1.ResourceList{}
	for i := range pod.Containers {
		addTo(together, pod.Containers[i].Resources.Requests)
	}
	for i := range pod.InitContainers {
		c := &pod.InitContainers[i]
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			addTo(together, c.Resources.Requests) // a sidecar
			continue
		}
		most(before, c.Resources.Requests)
	}
	most(together, before)
	return together
}

func addTo(sum, more corev1.ResourceList) {
	for name, quantity := range more {
		total := sum[name]
		total.Add(quantity)
		sum[name] = total
	}
}

func most(sum, other corev1.ResourceList) {
	for name, quantity := range other {
		if is, ok := sum[name]; !ok || is.Cmp(quantity) < 0 {
			sum[name] = quantity
		}
	}
}

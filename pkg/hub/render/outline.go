package render

import (
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Outline is what an app needs of a member, whatever member it is.
type Outline struct {
	// Kinds are those of its objects, in order, as VERSION/KIND or GROUP/VERSION/KIND.
	Kinds []string
	// CPUMillis is what one pod requests in thousandths of a core, MemoryMiB in mebibytes,
	// rounded up. Overrides are left out.
	CPUMillis, MemoryMiB int64
}

// OutlineOf is the outline of an app whose spec is valid.
func OutlineOf(app *v1.MyApp) (Outline, error) {
	r := newTrial(app, nil)
	if err := r.run(); err != nil {
		return Outline{}, err
	}
	var o Outline
	for _, object := range r.objects {
		version, _ := object.content["apiVersion"].(string)
		o.Kinds = append(o.Kinds, version+"/"+object.groupKind().Kind)
		if object.groupKind().Group != appsv1.GroupName || object.groupKind().Kind != "Deployment" || object.name() != app.Name {
			continue
		}
		data, err := json.Marshal(object.content)
		if err != nil {
			return o, fmt.Errorf("encoding the Deployment of %s/%s: %w", app.Namespace, app.Name, err)
		}
		var workload appsv1.Deployment
		if err := json.Unmarshal(data, &workload); err != nil {
			return o, fmt.Errorf("reading the Deployment of %s/%s: %w", app.Namespace, app.Name, err)
		}
		each := requests(&workload.Spec.Template.Spec)
		const mebi = 1 << 20
		o.CPUMillis, o.MemoryMiB = each.Cpu().MilliValue(), (each.Memory().Value()+mebi-1)/mebi
	}
	slices.Sort(o.Kinds)
	o.Kinds = slices.Compact(o.Kinds)
	return o, nil
}

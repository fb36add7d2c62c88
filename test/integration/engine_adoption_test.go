package integration

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
)

// withAllKinds makes an app have one object of every kind that fields of a MyApp
// make, but for a Secret.
func withAllKinds(in *render.Input) {
	one, percent := intstr.FromInt32(1), int32(80)
	withConfig(in)
	in.Template.ServiceAccount = &v1.ServiceAccount{Annotations: map[string]string{"role": "ours"}}
	in.Template.Disruption = &v1.Disruption{MinAvailable: &one}
	in.Template.Autoscaling = &v1.Autoscaling{MaxReplicas: 5, TargetCPUUtilization: &percent}
}

// theirs is what a person has who put the same object there before: the content
// of the manifest without the hub's marks.
func theirs(t *testing.T, m manifest.Manifest) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal(m.Raw, &u.Object); err != nil {
		t.Fatal(err)
	}
	annotations := u.GetAnnotations()
	for key := range annotations {
		if strings.HasPrefix(key, "example.com/") {
			delete(annotations, key)
		}
	}
	u.SetAnnotations(annotations)
	u.SetLabels(map[string]string{v1.LabelManagedBy: "Helm", "team": "shop"})
	return u
}

// as makes the engine act for another app of the namespace.
func (e *engineTest) as(name string) {
	e.owner.Name, e.owner.UID = name, types.UID("uid-"+name)
}

// alone applies one manifest and nothing else. Nothing is pruned.
func (e *engineTest) alone(m manifest.Manifest) apply.Change {
	e.t.Helper()
	return e.apply([]manifest.Manifest{m}, apply.Observed{}).Changes[0]
}

// Whether an object that somebody has made is taken is decided by the policy,
// for every kind, and taking it changes no more than the policy allows. Reporting
// drift is about what comes afterwards.
func TestEngineAdopts(t *testing.T) {
	e := newEngineTest(t)
	e.namespace()
	e.as("differs")
	differing := e.render(withAllKinds)
	e.as("same")
	same := e.render(withAllKinds)
	var files []string
	for i := range same {
		for _, m := range []manifest.Manifest{same[i], differing[i]} {
			raw, err := theirs(t, m).MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, string(raw))
		}
	}
	mustKubectl(t, e.c, strings.Join(files, "\n---\n"), "apply", "--validate=false", "-f", "-")
	e.watched(same)
	edits := map[string]struct{ patch, path string }{
		"ServiceAccount":          {`{"metadata":{"annotations":{"role":"theirs"}}}`, "/annotations/role"},
		"ConfigMap":               {`{"data":{"a.conf":"theirs"}}`, "/data/a.conf"},
		"Service":                 {`[{"op":"replace","path":"/spec/ports/0/targetPort","value":9}]`, "/spec/ports"},
		"PodDisruptionBudget":     {`{"spec":{"minAvailable":2}}`, "/spec/minAvailable"},
		"Deployment":              {`[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"theirs:1"}]`, "/spec/template"},
		"HorizontalPodAutoscaler": {`{"spec":{"maxReplicas":9}}`, "/spec/maxReplicas"},
	}
	e.policies.Drift.Mode = v1.DriftReport
	for i := range same {
		t.Run(same[i].GVK.Kind, func(t *testing.T) {
			e.t = t
			e.as("same")
			e.takesIdentical(same[i])
			e.as("differs")
			edit := edits[same[i].GVK.Kind]
			e.edit(differing[i], edit.patch)
			e.takesDiffering(differing[i], edit.path)
		})
	}
}

func (e *engineTest) takesIdentical(m manifest.Manifest) {
	e.t.Helper()
	before := e.live(m)
	for _, never := range []v1.AdoptionPolicy{"", v1.AdoptNever} {
		e.policies.Adoption = never
		change := e.alone(m)
		if change.Action != apply.Refused || change.Reason != v1.ReasonNotOwned {
			e.t.Errorf("with adoption %q: %+v; want it refused as %s", never, change, v1.ReasonNotOwned)
		}
		says(e.t, change.Message, m.String(), "something else", "made it", "spec.adoption")
	}
	e.untouched(before, m)
	e.policies.Adoption = v1.AdoptIfIdentical
	if change := e.alone(m); change.Action != apply.Adopted {
		e.t.Errorf("with IfIdentical: %+v; want it adopted", change)
	}
	after := e.live(m)
	if after.GetLabels()[v1.LabelAppUID] != string(e.owner.UID) || after.GetLabels()["team"] != "shop" {
		e.t.Errorf("labels are %v; want our marks and theirs", after.GetLabels())
	}
	for _, u := range []*unstructured.Unstructured{before, after} {
		u.SetLabels(nil)
		u.SetAnnotations(nil)
	}
	if diff := cmp.Diff(values(before), values(after)); diff != "" {
		e.t.Errorf("adopting it changed more than marks (-before +after):\n%s", diff)
	}
	if change := e.alone(m); change.Action != apply.Unchanged {
		e.t.Errorf("after the adoption: %+v", change)
	}
}

func (e *engineTest) takesDiffering(m manifest.Manifest, path string) {
	e.t.Helper()
	before := e.live(m)
	e.policies.Adoption = v1.AdoptIfIdentical
	change := e.alone(m)
	if change.Action != apply.Refused || change.Reason != v1.ReasonNotOwned {
		e.t.Errorf("with IfIdentical: %+v; want it refused as %s", change, v1.ReasonNotOwned)
	}
	says(e.t, change.Message, "not identical: "+path+" differ", "spec.adoption to Always")
	e.untouched(before, m)
	e.policies.Adoption = v1.AdoptAlways
	if change = e.alone(m); change.Action != apply.Adopted {
		e.t.Errorf("with Always: %+v; want it adopted", change)
	}
	marked := e.live(m).GetAnnotations()[v1.AnnotationContentHash]
	if marked != m.Hash {
		e.t.Errorf("its content hash is %q, want %q", marked, m.Hash)
	}
	if text, _ := json.Marshal(values(e.live(m))); strings.Contains(string(text), "theirs") || strings.Contains(string(text), `:9}`) {
		e.t.Errorf("what differed is still there: %s", text)
	}
}

func (e *engineTest) untouched(before *unstructured.Unstructured, m manifest.Manifest) {
	e.t.Helper()
	if after := e.live(m); after.GetResourceVersion() != before.GetResourceVersion() || after.GetUID() != before.GetUID() {
		e.t.Errorf("%s was written: %v", m, after.GetManagedFields())
	}
}

// What belongs to an app, of whatever hub, is not taken by another.
func TestAdoptionNeverTakesFromAnApp(t *testing.T) {
	e := newEngineTest(t)
	e.namespace()
	e.policies.Adoption = v1.AdoptAlways
	m := only(t, e.render(), "Service")
	marks := func(hub, member, app, uid string) map[string]string {
		return map[string]string{v1.LabelHubID: hub, v1.LabelMember: member, v1.LabelApp: app, v1.LabelAppUID: uid}
	}
	for _, tt := range []struct {
		whose, reason string
		labels        map[string]string
		says          string
	}{
		{"another app of this hub", v1.ReasonNotOwned, marks("hub-1", engineMember, "other", "uid-9"), "app other (UID uid-9) of hub hub-1"},
		{"another app of another hub", v1.ReasonNotOwned, marks("hub-2", engineMember, "other", "uid-9"), "app other (UID uid-9) of hub hub-2"},
		{"this app of another hub", v1.ReasonHubReplaced, marks("hub-2", engineMember, "web", "uid-9"), "hub hub-2"},
		{"this app under another member's name", v1.ReasonNotOwned, marks("hub-1", "other", "web", string(e.owner.UID)), "for member other of this hub"},
	} {
		object := foreign(t, m)
		object.SetLabels(tt.labels)
		if err := e.c.Client().Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		before := e.live(m)
		for range 2 {
			change := e.alone(m)
			if change.Action != apply.Refused || change.Reason != tt.reason {
				t.Errorf("%s: %+v; want it refused as %s", tt.whose, change, tt.reason)
			}
			says(t, change.Message, m.String(), tt.says)
		}
		e.untouched(before, m)
		if err := e.c.Client().Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

// What takes an object's place between the read and the write is not taken.
func TestAdoptionTakesWhatWasRead(t *testing.T) {
	e := newEngineTest(t)
	e.namespace()
	e.policies.Adoption = v1.AdoptAlways
	m := only(t, e.render(), "Service")
	if err := e.c.Client().Create(t.Context(), foreign(t, m)); err != nil {
		t.Fatal(err)
	}
	writes := 0
	e.meddle = func(r *http.Request) error {
		if r.Method != http.MethodPatch {
			return nil
		}
		if writes++; writes < 2 { // The first is for an object that does not exist.
			return nil
		}
		if err := e.c.Client().Delete(t.Context(), foreign(t, m)); err != nil {
			return err
		}
		return e.c.Client().Create(t.Context(), foreign(t, m))
	}
	set, err := e.engine.Apply(t.Context(), e.owner, []manifest.Manifest{m}, e.policies, apply.Observed{})
	if err == nil || writes != 2 {
		t.Errorf("after %d writes: %+v, %v; want an error, which is tried again, after 2", writes, set, err)
	}
	if labels := e.live(m).GetLabels(); labels[v1.LabelAppUID] != "" {
		t.Errorf("the object that took its place has the labels %v", labels)
	}
}

// The number of pods that an autoscaler has chosen stays when its Deployment is
// adopted: from an earlier epoch, and by policy.
func TestAdoptionKeepsReplicasOfAutoscaler(t *testing.T) {
	two := int32(2)
	scaled := func(e *engineTest) []manifest.Manifest {
		return e.render(func(in *render.Input) {
			in.Template.Autoscaling = &v1.Autoscaling{MinReplicas: &two, MaxReplicas: 20}
			adoption := e.policies.Adoption
			e.policies = render.Policies(&in.Template)
			e.policies.Adoption = adoption
		})
	}
	t.Run("epoch", func(t *testing.T) {
		e := newEngineTest(t)
		e.settle(scaled(e))
		e.scale(9)
		e.owner.UID, e.owner.Stamp.Epoch = "uid-2", 1
		if change := e.alone(only(t, scaled(e), "Deployment")); change.Action != apply.Adopted {
			t.Errorf("%+v; want it adopted", change)
		}
		e.runs("adopted", 9)
		e.settle(scaled(e))
		e.runs("settled", 9)
	})
	for _, policy := range []v1.AdoptionPolicy{v1.AdoptAlways, v1.AdoptIfIdentical} {
		t.Run(string(policy), func(t *testing.T) {
			e := newEngineTest(t)
			e.namespace()
			e.policies.Adoption = policy
			m := only(t, scaled(e), "Deployment")
			if err := e.c.Client().Create(t.Context(), theirs(t, m)); err != nil {
				t.Fatal(err)
			}
			e.edit(m, `{"spec":{"replicas":9}}`)
			if change := e.alone(m); change.Action != apply.Adopted {
				t.Errorf("%+v; want it adopted", change)
			}
			e.runs("adopted", 9)
		})
	}
}

// What differs is compared again when it has changed, and otherwise seldom.
func TestRefusedAdoptionIsNotTriedEachTime(t *testing.T) {
	e := newEngineTest(t)
	e.namespace()
	e.policies.Adoption = v1.AdoptIfIdentical
	m := only(t, e.render(), "Service")
	object := theirs(t, m)
	if err := e.c.Client().Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	port := func(target string) {
		t.Helper()
		e.edit(m, `[{"op":"replace","path":"/spec/ports/0/targetPort","value":`+target+`}]`)
	}
	refused := func(times int) {
		t.Helper()
		for range times {
			change := e.alone(m)
			if change.Action != apply.Refused || change.Reason != v1.ReasonNotOwned {
				t.Errorf("%+v; want it refused as %s", change, v1.ReasonNotOwned)
			}
			says(t, change.Message, "/spec/ports differ")
		}
	}
	port("9")
	refused(1)
	mark := e.c.AuditMark()
	refused(3)
	e.asks(mark, "get services", "get services", "get services")
	port("10")
	mark = e.c.AuditMark()
	refused(2)
	e.asks(mark, "get services", "get services", "patch services", "get services") // The patch is a dry run.
	port("8080")
	if change := e.alone(m); change.Action != apply.Adopted {
		t.Errorf("alike: %+v; want it adopted", change)
	}
}

package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
)

const otherPort = `[{"op":"replace","path":"/spec/ports/0/port","value":81}]`

// A changed key makes another element of the list, which an apply leaves beside
// ours. Where the API server does not accept both, the other one goes.
func TestChangedKeyIsCorrected(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{})
	manifests := e.render()
	service, deployment := only(t, manifests, "Service"), only(t, manifests, "Deployment")
	e.settle(manifests)
	before, mark := e.live(service), e.c.AuditMark()
	e.edit(service, `{"metadata":{"labels":{"theirs":"x"}}}`)
	e.edit(service, otherPort)
	change := e.noticed(manifests)
	if change.Action != apply.Corrected || change.Reason != "" || change.Object != service.String() {
		t.Fatalf("%+v; want %s corrected", change, service)
	}
	says(t, change.Detail, "/spec/ports", "81", "set by "+kubectlEdit)
	e.asks(mark, "get services", "patch services", "get services", "patch services", "patch services")
	after := e.live(service)
	if after.GetLabels()["theirs"] != "x" {
		t.Errorf("its labels are %v; want theirs kept", after.GetLabels())
	}
	after.SetLabels(before.GetLabels())
	if diff := cmp.Diff(values(before), values(after)); diff != "" {
		t.Errorf("after the correction (-before +after):\n%s", diff)
	}
	e.settle(manifests)

	// It was one correction: the next waits for a second, and the object after it
	// does not.
	e.edit(service, otherPort)
	change = e.noticed(manifests)
	if change.Action != apply.Drifted || change.Retry <= 0 || change.Retry > time.Second {
		t.Errorf("the second time: %+v; want it told, and a retry within the second", change)
	}
	e.edit(deployment, theirImage)
	e.settle(manifests)
	if diff := cmp.Diff(values(before)["spec"], values(e.live(service))["spec"]); diff != "" {
		t.Errorf("after the second correction (-before +after):\n%s", diff)
	}
}

// So it is where other content arrives before the change was noticed, and where a
// new list of ours does not fit theirs.
func TestChangedKeyDoesNotStopAnUpdate(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{})
	e.settle(e.render())
	e.edit(only(t, e.render(), "Service"), otherPort)
	e.settle(e.render(func(in *render.Input) {
		in.Template.Service.Ports[0].Port = 82
		in.Template.Env[0].Value = "2"
	}))
	e.hasPort(82)
}

// Where it does not help, whoever had the lists has them again, and it is not tried
// in each pass.
func TestListsAreGivenBack(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{})
	e.settle(e.render())
	service := only(t, e.render(), "Service")
	e.edit(service, otherPort)
	before, mark := e.live(service), e.c.AuditMark()
	bad := e.noPort()
	for range 3 {
		if set := e.pass(bad); set.Changes[0].Reason != v1.ReasonRejected || set.Changes[0].Action != apply.Refused {
			t.Errorf("%+v; want it refused as %s", set, v1.ReasonRejected)
		}
	}
	e.asks(mark, "patch services", "get services", "patch services", "patch services", "get services", "patch services", "patch services", "patch services")
	after := e.live(service)
	if diff := cmp.Diff(values(before), values(after)); diff != "" {
		t.Errorf("after the refusals (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(before.GetManagedFields(), after.GetManagedFields(), cmpopts.IgnoreFields(metav1.ManagedFieldsEntry{}, "Time")); diff != "" {
		t.Errorf("whose its fields are (-before +after):\n%s", diff)
	}
}

// A takeover that breaks off is undone, at the latest in the next pass: whoever had
// the lists has them again.
func TestBrokenTakeOverIsUndone(t *testing.T) {
	for _, lasts := range []bool{false, true} {
		t.Run(fmt.Sprintf("lasts-%v", lasts), func(t *testing.T) {
			e := newEngineTest(t)
			e.policies = render.Policies(&v1.MyAppSpec{})
			e.settle(e.render())
			service := only(t, e.render(), "Service")
			e.edit(service, otherPort)
			before := e.live(service)
			patches := 0
			e.meddle = func(r *http.Request) error {
				if r.Method != http.MethodPatch {
					return nil
				}
				patches++ // an apply that is refused, the record, the apply
				if patches == 3 || lasts && patches > 3 {
					return errors.New("the connection broke")
				}
				return nil
			}
			bad := e.noPort()
			if set, err := e.engine.Apply(t.Context(), e.owner, bad, e.policies, e.observe()); err == nil {
				t.Errorf("%+v; want the error", set)
			}
			e.meddle = nil
			if lasts {
				if set := e.pass(bad); set.Changes[0].Reason != v1.ReasonRejected {
					t.Errorf("%+v; want it refused as %s", set, v1.ReasonRejected)
				}
			}
			if diff := cmp.Diff(before.GetManagedFields(), e.live(service).GetManagedFields(), cmpopts.IgnoreFields(metav1.ManagedFieldsEntry{}, "Time")); diff != "" {
				t.Errorf("whose its fields are (-before +after):\n%s", diff)
			}
			e.settle(e.render())
			e.hasPort(80)
		})
	}
}

// noPort is an app whose Service has a port that no API server accepts.
func (e *engineTest) noPort() []manifest.Manifest {
	e.t.Helper()
	manifests := e.render()
	for i, m := range manifests {
		if m.GVK.Kind != "Service" {
			continue
		}
		var object map[string]any
		err := json.Unmarshal(bytes.Replace(m.Raw, []byte(`"port":80`), []byte(`"port":70000`), 1), &object)
		if err == nil {
			manifests[i], err = manifest.New(object, e.owner.Stamp)
		}
		if err != nil || bytes.Equal(manifests[i].Raw, m.Raw) {
			e.t.Fatalf("%s is as before: %v", m.Raw, err)
		}
	}
	return manifests
}

func (e *engineTest) hasPort(port int32) {
	e.t.Helper()
	s := &corev1.Service{}
	if err := e.c.Client().Get(e.t.Context(), key(e.owner.Namespace, e.owner.Name), s); err != nil {
		e.t.Fatal(err)
	}
	if len(s.Spec.Ports) != 1 || s.Spec.Ports[0].Port != port {
		e.t.Errorf("its ports are %v, want %d alone", s.Spec.Ports, port)
	}
}

// What is adopted with Always has our lists and not two that do not fit.
func TestAdoptionOfOtherKeys(t *testing.T) {
	e := newEngineTest(t)
	e.namespace()
	m := only(t, e.render(), "Service")
	if err := e.c.Client().Create(t.Context(), foreign(t, m)); err != nil {
		t.Fatal(err)
	}
	e.policies = render.Policies(&v1.MyAppSpec{Drift: &v1.Drift{Mode: v1.DriftReport}})
	e.policies.Adoption = v1.AdoptAlways
	if change := e.alone(m); change.Action != apply.Adopted {
		t.Errorf("%+v; want it adopted", change)
	}
	e.hasPort(80)
}

// With Report nothing is taken over.
func TestChangedKeyIsReported(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{Drift: &v1.Drift{Mode: v1.DriftReport}})
	manifests := e.render()
	e.settle(manifests)
	service := only(t, manifests, "Service")
	e.edit(service, otherPort)
	theirs := e.live(service)
	for range 3 {
		if change := e.noticed(manifests); change.Action != apply.Drifted || change.Reason != v1.ReasonDrifted {
			t.Errorf("%+v; want it reported", change)
		}
	}
	next := e.render(func(in *render.Input) { in.Template.Service.Ports[0].Port = 82 })
	if set := e.pass(next); set.Changes[0].Action != apply.Refused {
		t.Errorf("another port: %+v; want it refused", set)
	}
	e.untouched(theirs, service)
}

// What somebody adds to a list and the API server accepts is theirs.
func TestForeignElementsStay(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{})
	manifests := e.render(func(in *render.Input) { in.Template.Service.Ports[0].Name = "http" })
	service := only(t, manifests, "Service")
	e.settle(manifests)
	e.edit(service, `[{"op":"add","path":"/spec/ports/-","value":{"name":"theirs","port":99,"targetPort":9}},{"op":"replace","path":"/spec/ports/0/targetPort","value":9}]`)
	if change := e.noticed(manifests); change.Action != apply.Corrected {
		t.Errorf("%+v; want it corrected", change)
	}
	s := &corev1.Service{}
	if err := e.c.Client().Get(t.Context(), key(e.owner.Namespace, e.owner.Name), s); err != nil {
		t.Fatal(err)
	}
	if p := s.Spec.Ports; len(p) != 2 || p[0].TargetPort.IntValue() != 8080 || p[1].Name != "theirs" {
		t.Errorf("its ports are %v; want ours as it was and theirs", p)
	}
}

// A change that cannot be corrected is tried as seldom as one that is fought over,
// says what it is, and does not keep the objects after it from being corrected.
func TestCorrectionThatFails(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{})
	manifests := e.render(withConfig)
	config, deployment := only(t, manifests, "ConfigMap"), only(t, manifests, "Deployment")
	e.settle(manifests)
	e.edit(config, `{"data":{"a.conf":"theirs"},"immutable":true}`)
	e.edit(deployment, theirImage)
	e.seen()
	mark := e.c.AuditMark()
	said := map[string]bool{}
	for range 10 {
		change := e.noticed(manifests)
		if change.Action != apply.Drifted || change.Reason != v1.ReasonRejected || change.Object != config.String() || change.Retry <= 0 || change.Retry > time.Minute {
			t.Fatalf("%+v; want %s drifted, %s and tried again soon", change, config, v1.ReasonRejected)
		}
		said[change.Message] = true
		says(t, change.Message, config.String(), `/data/a.conf is "theirs" (set by `+kubectlEdit+`), wanted "ours"`, "cannot be corrected", "immutable")
	}
	if len(said) != 1 {
		t.Errorf("it says one thing in %d ways: %v", len(said), said)
	}
	asked := e.requests(mark)
	count := func(what string) int {
		return len(slices.DeleteFunc(slices.Clone(asked), func(r string) bool { return r != what }))
	}
	if configs, deployments := count("patch configmaps"), count("patch deployments"); configs != 1 || deployments != 1 {
		t.Errorf("%d writes of the ConfigMap and %d of the Deployment, want 1 of each: %q", configs, deployments, asked)
	}
	if image := e.deployment().Spec.Template.Spec.Containers[0].Image; image != wantedImage {
		t.Errorf("the image is %s: the object after it was not corrected", image)
	}
	// Made again by a person, it is as wanted, and nothing is said of a fight.
	if err := e.c.Client().Delete(t.Context(), reference(config)); err != nil {
		t.Fatal(err)
	}
	e.settle(manifests)
	if trouble, is := e.pass(manifests).Trouble(); is {
		t.Errorf("after it was made again: %+v", trouble)
	}
}

// An object of ours without a mark is ours. Without that of the member the cache
// does not show it.
func TestMarkThatIsGone(t *testing.T) {
	for _, mode := range []v1.DriftMode{v1.DriftCorrect, v1.DriftReport} {
		for _, label := range []string{v1.LabelMember, v1.LabelApp, v1.LabelManagedBy} {
			t.Run(fmt.Sprintf("%s/%s", mode, label[strings.Index(label, "/")+1:]), func(t *testing.T) {
				e := newEngineTest(t)
				e.policies = render.Policies(&v1.MyAppSpec{Drift: &v1.Drift{Mode: mode, Ignore: []v1.IgnoredFields{{Kind: "Deployment", Fields: []string{replicaField}}}}})
				manifests := e.render()
				e.settle(manifests)
				e.scale(5)
				for _, m := range manifests {
					before := e.live(m)
					e.edit(m, `{"metadata":{"labels":{"`+label+`":null}}}`)
					change := e.noticed(manifests)
					if change.Object != m.String() {
						t.Fatalf("%+v; want %s noticed", change, m)
					}
					path := "/metadata/labels/" + strings.ReplaceAll(label, "/", "~1")
					says(t, change.Detail+change.Message, path+" is (none) (set by nobody), wanted")
					after := e.live(m)
					if mode == v1.DriftReport {
						if change.Action != apply.Drifted || change.Reason != v1.ReasonDrifted {
							t.Errorf("%+v; want it reported", change)
						}
						if _, has := after.GetLabels()[label]; has {
							t.Error("the label was put back")
						}
						e.edit(m, `{"metadata":{"labels":{"`+label+`":"`+before.GetLabels()[label]+`"}}}`)
						e.cached(manifests) // a pass by a live read is not the last
						e.settle(manifests)
						continue
					}
					if change.Action != apply.Corrected {
						t.Errorf("%+v; want it corrected", change)
					}
					if diff := cmp.Diff(values(before), values(after)); diff != "" {
						t.Errorf("after the correction (-before +after):\n%s", diff)
					}
				}
				e.settle(manifests)
				e.runs("after the marks were lost", 5)
			})
		}
	}
}

// Without our hub's ID an object is not taken for another hub's.
func TestHubIDThatIsGone(t *testing.T) {
	e := newEngineTest(t)
	manifests := e.render()
	service := only(t, manifests, "Service")
	e.settle(manifests)
	e.edit(service, `{"metadata":{"labels":{"`+v1.LabelHubID+`":null}}}`)
	change := e.noticed(manifests)
	if change.Action != apply.Refused || change.Reason != v1.ReasonNotOwned {
		t.Errorf("%+v; want it refused as %s", change, v1.ReasonNotOwned)
	}
	says(t, change.Message, service.String(), v1.LabelHubID)
}

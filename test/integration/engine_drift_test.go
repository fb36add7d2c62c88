package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	wantedImage  = "registry.example.com/web:1"
	theirImage   = `{"spec":{"template":{"spec":{"containers":[{"name":"web","image":"theirs:1"}]}}}}`
	imageField   = "/spec/template/spec/containers/web/image"
	replicaField = "/spec/replicas"
)

func withConfig(in *render.Input) {
	in.Template.Config = map[string]v1.ConfigValue{"a.conf": "ours"}
}

// What somebody changes is corrected in the next pass, with one read to say what
// it was and one write.
func TestEngineCorrectsDrift(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{})
	manifests := e.render(withConfig)
	e.settle(manifests)
	for _, tt := range []struct {
		reason, kind, patch       string
		path, found, by, isWanted string
	}{
		{"an image", "Deployment", theirImage, imageField, `"theirs:1"`, kubectlEdit, `"` + wantedImage + `"`},
		{"a variable", "Deployment", `{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"9"}]}]}}}}`,
			"/spec/template/spec/containers/web/env/A/value", `"9"`, kubectlEdit, `"1"`},
		{"a label is gone", "Deployment", `{"metadata":{"labels":{"app.kubernetes.io/name":null}}}`,
			"/metadata/labels/app.kubernetes.io~1name", "(none)", "nobody", `"web"`},
		{"the target of a port", "Service", `[{"op":"replace","path":"/spec/ports/0/targetPort","value":9}]`,
			"/spec/ports/0/targetPort", "9", kubectlEdit, "8080"},
		{"a key", "ConfigMap", `{"data":{"a.conf":"theirs"}}`, "/data/a.conf", `"theirs"`, kubectlEdit, `"ours"`},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			e.t = t
			e.restart() // Without the memory of the row before: a second correction waits.
			e.settle(manifests)
			object := only(t, manifests, tt.kind)
			before, mark := e.live(object), e.c.AuditMark()
			e.edit(object, tt.patch)
			change := e.noticed(manifests)
			if change.Action != apply.Corrected || change.Reason != "" || change.Object != object.String() {
				t.Errorf("%+v; want %s corrected", change, object)
			}
			says(t, change.Detail, tt.path+" is "+tt.found+" (set by "+tt.by+"), wanted "+tt.isWanted)
			resource := strings.ToLower(tt.kind) + "s"
			// An engine that has not applied this itself tries it first.
			e.asks(mark, "get "+resource, "patch "+resource, "patch "+resource)
			if diff := cmp.Diff(values(before), values(e.live(object))); diff != "" {
				t.Errorf("after the correction (-before +after):\n%s", diff)
			}
		})
	}
}

// What others add is theirs, and costs no request.
func TestForeignAdditionsAreLeftAlone(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{})
	manifests := e.render()
	e.settle(manifests)
	e.edit(only(t, manifests, "Deployment"), `{"metadata":{"labels":{"theirs":"x"}},"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"THEIRS","value":"x"}]},{"name":"aaa","image":"x"}]}}}}`)
	e.seen()
	mark, theirs := e.c.AuditMark(), e.deployment().ResourceVersion
	e.settle(manifests)
	e.restart()
	e.settle(manifests)
	e.asks(mark)
	if now := e.deployment().ResourceVersion; now != theirs {
		t.Error("the Deployment was written")
	}
}

// With Report, a change is told once and left, and a new version waits until the
// field is free.
func TestEngineReportsDrift(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{Drift: &v1.Drift{Mode: v1.DriftReport}})
	first := e.render()
	deployment := only(t, first, "Deployment")
	e.settle(first)
	e.edit(deployment, theirImage)
	e.seen()
	theirs, mark := e.live(deployment), e.c.AuditMark()
	for range 10 {
		change := e.noticed(first)
		if change.Action != apply.Drifted || change.Reason != v1.ReasonDrifted || change.Object != deployment.String() {
			t.Fatalf("%+v; want %s drifted", change, deployment)
		}
		says(t, change.Message, imageField+` is "theirs:1" (set by `+kubectlEdit+`), wanted "`+wantedImage+`"`)
	}
	e.asks(mark, "get deployments")

	second := e.render(func(in *render.Input) {
		in.Template.Image = "registry.example.com/web:2"
		in.Template.Env[0].Value = "2"
	})
	change := e.noticed(second)
	if change.Action != apply.Refused || change.Reason != v1.ReasonConflict || !v1.NeedsPerson(change.Reason) {
		t.Errorf("a new image: %+v; want it refused as %s", change, v1.ReasonConflict)
	}
	says(t, change.Message, `.spec.template.spec.containers[name="web"].image`, kubectlEdit, "spec.drift.ignore")
	if diff := cmp.Diff(values(theirs), values(e.live(deployment))); diff != "" {
		t.Errorf("the refused version changed (-before +after):\n%s", diff)
	}

	// Ignored, their image stays and the rest arrives.
	report := e.policies
	e.policies.Drift.Ignore = []v1.IgnoredFields{{Kind: "Deployment", Fields: []string{imageField}}}
	e.settle(second)
	web := e.deployment().Spec.Template.Spec.Containers[0]
	if web.Image != "theirs:1" || web.Env[0].Value != "2" {
		t.Errorf("with the image ignored: image %s, env %v; want theirs and ours", web.Image, web.Env)
	}

	// They agree: there is nothing left to fight over.
	e.policies = report
	third := e.render(func(in *render.Input) { in.Template.Image = "registry.example.com/web:3" })
	if change := e.noticed(third); change.Reason != v1.ReasonConflict {
		t.Errorf("no longer ignored: %+v; want %s", change, v1.ReasonConflict)
	}
	e.edit(deployment, strings.Replace(theirImage, "theirs:1", "registry.example.com/web:3", 1))
	e.settle(third)
}

// A change that was taken back by hand is not reported any more.
func TestDriftThatWasTakenBack(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{Drift: &v1.Drift{Mode: v1.DriftReport}})
	manifests := e.render()
	e.settle(manifests)
	e.edit(only(t, manifests, "Deployment"), theirImage)
	e.noticed(manifests)
	e.edit(only(t, manifests, "Deployment"), strings.Replace(theirImage, "theirs:1", wantedImage, 1))
	e.seen()
	e.settle(manifests)
}

// The values of a Secret are in no change, whatever happens to it.
func TestDriftOfSecretsIsHidden(t *testing.T) {
	e := newEngineTest(t)
	var said []string
	note := func(set apply.ChangeSet) { said = append(said, fmt.Sprintf("%+v", set)) }
	fill := func(data string, edits ...func(*render.Input)) []manifest.Manifest {
		manifests := e.render(append(edits, withSecret)...)
		for i, m := range manifests {
			if !m.IsSecret() {
				continue
			}
			filled, err := manifest.Fill(m, &corev1.Secret{Data: map[string][]byte{"password": []byte(data)}})
			if err != nil {
				t.Fatal(err)
			}
			manifests[i] = filled
		}
		return manifests
	}
	first := fill("hunter2")
	secret := only(t, first, "Secret")
	e.settle(first)
	for _, mode := range []v1.DriftMode{v1.DriftReport, v1.DriftCorrect} {
		e.policies.Drift.Mode = mode
		e.edit(secret, `{"data":{"password":"c2VzYW1l"}}`)
		change := e.noticed(first)
		says(t, change.Message+change.Detail, "/data/password is (hidden) (set by "+kubectlEdit+"), wanted (hidden)")
		note(apply.ChangeSet{Changes: []apply.Change{change}})
		if mode == v1.DriftReport {
			conflict := e.pass(fill("correct horse"))
			if trouble, _ := conflict.Trouble(); trouble.Reason != v1.ReasonConflict {
				t.Errorf("a new password: %+v; want %s", conflict, v1.ReasonConflict)
			}
			note(conflict)
		}
	}
	e.edit(secret, `{"immutable":true}`)
	refused := e.pass(fill("correct horse"))
	if trouble, _ := refused.Trouble(); trouble.Reason != v1.ReasonRejected {
		t.Errorf("a new password of an immutable Secret: %+v; want %s", refused, v1.ReasonRejected)
	}
	note(refused)
	for _, value := range []string{"hunter2", "sesame", "correct horse", "aHVudGVyMg==", "c2VzYW1l", "Y29ycmVjdCBob3JzZQ=="} {
		if all := strings.Join(said, "\n"); strings.Contains(all, value) {
			t.Errorf("%s is shown:\n%s", value, all)
		}
	}
}

func withSecret(in *render.Input) {
	in.Template.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "db"}}}}
}

// scale is what kubectl scale and autoscalers do.
func (e *engineTest) scale(replicas int32) {
	e.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: e.owner.Namespace, Name: e.owner.Name}}
	s := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}
	if err := e.c.Client().SubResource("scale").Update(e.t.Context(), d, client.WithSubResourceBody(s), client.FieldOwner("autoscaler")); err != nil {
		e.t.Fatal(err)
	}
	e.seen()
}

func (e *engineTest) runs(reason string, replicas int32) {
	e.t.Helper()
	if got := *e.deployment().Spec.Replicas; got != replicas {
		e.t.Errorf("%s: %d replicas, want %d", reason, got, replicas)
	}
}

// An ignored number of replicas is set when the Deployment is made and belongs
// to whoever scales it.
func TestIgnoredReplicas(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{Drift: &v1.Drift{Ignore: []v1.IgnoredFields{{Group: "apps", Kind: "Deployment", Fields: []string{replicaField}}}}})
	version := func(value string, replicas int32) []manifest.Manifest {
		return e.render(func(in *render.Input) { in.Template.Env[0].Value, in.Replicas = value, replicas })
	}
	e.settle(version("1", 3))
	e.runs("created", 3)
	e.settle(version("2", 3))
	e.runs("other content, and nobody has scaled it", 3)
	e.settle(version("2", 4))
	e.runs("another number, and nobody has scaled it", 3)
	e.scale(5)
	mark := e.c.AuditMark()
	e.settle(version("2", 4))
	e.asks(mark)
	for _, value := range []string{"3", "4"} {
		e.settle(version(value, 4))
		e.runs("other content after it was scaled", 5)
	}
	e.restart()
	e.settle(version("5", 4))
	e.runs("other content after a restart", 5)

	e.policies = render.Policies(&v1.MyAppSpec{})
	e.settle(version("5", 4))
	e.runs("no longer ignored", 4)
}

// Turning autoscaling on changes no number: the pods stay until the autoscaler
// acts.
func TestHandOverToAutoscaling(t *testing.T) {
	e := newEngineTest(t)
	version := func(value string, edit func(*v1.MyAppSpec)) []manifest.Manifest {
		return e.render(func(in *render.Input) {
			in.Template.Env[0].Value, in.Replicas = value, 10
			edit(&in.Template)
			e.policies = render.Policies(&in.Template)
		})
	}
	fixed, two := func(*v1.MyAppSpec) {}, int32(2)
	scaled := func(spec *v1.MyAppSpec) {
		spec.Autoscaling = &v1.Autoscaling{MinReplicas: &two, MaxReplicas: 20}
	}
	e.settle(version("1", fixed))
	e.runs("by number", 10)
	e.settle(version("1", scaled))
	e.runs("handed over", 10)
	e.settle(version("2", scaled))
	e.runs("other content before the autoscaler acts", 10)
	e.scale(4)
	e.settle(version("3", scaled))
	e.runs("other content after the autoscaler has acted", 4)
	e.settle(version("3", fixed))
	e.runs("taken back", 10)
}

// Taken back from an autoscaler that never scaled, the number is that of the app,
// whatever it was before.
func TestTakeBackFromAutoscaling(t *testing.T) {
	e := newEngineTest(t)
	two := int32(2)
	version := func(replicas int32, autoscaling *v1.Autoscaling) []manifest.Manifest {
		return e.render(func(in *render.Input) {
			in.Replicas, in.Template.Autoscaling = replicas, autoscaling
			e.policies = render.Policies(&in.Template)
		})
	}
	scaled := &v1.Autoscaling{MinReplicas: &two, MaxReplicas: 20}
	for _, mode := range []v1.DriftMode{v1.DriftCorrect, v1.DriftReport} {
		e.settle(version(10, nil))
		e.settle(version(2, scaled))
		e.runs("handed over", 10)
		if kept := e.deployment().Annotations[v1.AnnotationKeptReplicas]; kept != "10" {
			t.Errorf("it says that %q replicas were kept, want 10", kept)
		}
		mark := e.c.AuditMark()
		e.restart()
		e.settle(version(2, scaled))
		e.asks(mark)
		manifests := version(2, nil)
		e.policies.Drift.Mode = mode
		e.settle(manifests)
		e.runs("taken back", 2)
		if kept, has := e.deployment().Annotations[v1.AnnotationKeptReplicas]; has {
			t.Errorf("it still says that %q replicas were kept", kept)
		}
	}
}

// A number that was kept is not that of a cache which is behind whoever scales.
func TestKeptReplicasAreNotOld(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{Drift: &v1.Drift{Ignore: []v1.IgnoredFields{{Group: "apps", Kind: "Deployment", Fields: []string{replicaField}}}}})
	e.settle(e.render(func(in *render.Input) { in.Replicas = 3 }))
	stale := e.observe()
	e.scale(7)
	next := e.render(func(in *render.Input) { in.Replicas, in.Template.Env[0].Value = 2, "2" })
	if set, err := e.engine.Apply(t.Context(), e.owner, next, e.policies, stale); !apierrors.IsConflict(err) {
		t.Errorf("from a cache that is behind: %+v, %v; want a conflict, which is tried again", set, err)
	}
	e.runs("from a cache that is behind", 7)
	e.settle(next)
	e.runs("after that", 7)
}

// An ignored field of a container is named by the container's name.
func TestIgnoredImage(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{Drift: &v1.Drift{Ignore: []v1.IgnoredFields{{Kind: "Deployment", Fields: []string{imageField}}}}})
	first := e.render()
	e.settle(first)
	e.edit(only(t, first, "Deployment"), theirImage)
	e.seen()
	mark := e.c.AuditMark()
	e.settle(first)
	e.asks(mark)
	second := e.render(func(in *render.Input) {
		in.Template.Env[0].Value, in.Template.Image = "2", "registry.example.com/web:2"
	})
	e.settle(second)
	if web := e.deployment().Spec.Template.Spec.Containers[0]; web.Image != "theirs:1" || web.Env[0].Value != "2" {
		t.Errorf("image %s, env %v; want theirs and ours", web.Image, web.Env)
	}
	e.policies = render.Policies(&v1.MyAppSpec{})
	if change := e.noticed(second); change.Action != apply.Corrected {
		t.Errorf("no longer ignored: %+v; want it corrected", change)
	}
}

// An ignored element of a list that the app has only now is nobody's yet.
func TestIgnoredElement(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{Drift: &v1.Drift{Ignore: []v1.IgnoredFields{{Kind: "Service", Fields: []string{"/spec/ports/0"}}}}})
	port := func(protocol corev1.Protocol) func(*render.Input) {
		return func(in *render.Input) {
			in.Template.Service = &v1.Service{Ports: []v1.ServicePort{{Name: "dns", Port: 53, Protocol: protocol}}}
		}
	}
	e.settle(e.render(port(corev1.ProtocolUDP)))
	e.settle(e.render(port(corev1.ProtocolTCP)))
	service := &corev1.Service{}
	if err := e.c.Client().Get(t.Context(), key(e.owner.Namespace, e.owner.Name), service); err != nil {
		t.Fatal(err)
	}
	if ports := service.Spec.Ports; len(ports) != 1 || ports[0].Protocol != corev1.ProtocolTCP {
		t.Errorf("ports %+v; want 53 of TCP only", ports)
	}
}

// fight changes the image whenever it is as wanted, until the context ends.
func (e *engineTest) fight(ctx context.Context) (ended <-chan error) {
	end := make(chan error, 1)
	c, at := e.c.Client(), key(e.owner.Namespace, e.owner.Name)
	go func() {
		end <- wait.PollUntilContextCancel(ctx, 20*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			d := &appsv1.Deployment{}
			if err := c.Get(ctx, at, d); err != nil || d.Spec.Template.Spec.Containers[0].Image != wantedImage {
				return false, err
			}
			return false, c.Patch(ctx, d, client.RawPatch(types.StrategicMergePatchType, []byte(theirImage)), client.FieldOwner("fighter"))
		})
	}()
	return end
}

// A field that is changed back each time is corrected at once, after a second,
// after ten more, and then it is said that it is fought over.
func TestFightIsNotEndless(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{})
	manifests := e.render()
	e.settle(manifests)
	mark, began := e.c.AuditMark(), time.Now()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := e.fight(ctx)
	var said []string
	reason := ""
	look := func() error {
		trouble, _ := e.pass(manifests).Trouble()
		if trouble.Message != "" && !slices.Contains(said, trouble.Message) {
			said = append(said, trouble.Message)
		}
		reason = trouble.Reason
		return nil
	}
	fleet.Eventually(t, 20*time.Second, "the fight to be reported", func(context.Context) error {
		if err := look(); err != nil || reason == v1.ReasonContested {
			return err
		}
		return fmt.Errorf("the reason is %q", reason)
	})
	if took := time.Since(began); took < 11*time.Second {
		t.Errorf("the third correction came after %s", took)
	}
	fleet.Consistently(t, 500*time.Millisecond, "the fight is reported", func(context.Context) error {
		if err := look(); err != nil || reason == v1.ReasonContested {
			return err
		}
		return fmt.Errorf("the reason is %q", reason)
	})
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the fighter gave up: %v", err)
	}
	if len(said) != 2 {
		t.Errorf("%d messages, want one of the change and one of the fight: %q", len(said), said)
	}
	says(t, said[len(said)-1], imageField, "fighter", "changed back each time", "spec.drift.ignore")
	if writes := slices.DeleteFunc(e.requests(mark), func(r string) bool { return r != "patch deployments" }); len(writes) != 3 {
		t.Errorf("%d corrections in the first 12 s, want 3", len(writes))
	}
	if retry := apply.RetryAfter(e.pass(manifests)); retry <= 0 || retry > time.Minute+time.Second {
		t.Errorf("the next look is after %s, want within the minute that the next correction waits", retry)
	}
}

// A second change within a second waits for it, and then all is as wanted.
func TestShortFightEnds(t *testing.T) {
	e := newEngineTest(t)
	manifests := e.render()
	e.settle(manifests)
	e.edit(only(t, manifests, "Deployment"), theirImage)
	if change := e.noticed(manifests); change.Action != apply.Corrected {
		t.Errorf("the first change: %+v; want it corrected", change)
	}
	mark := e.c.AuditMark()
	e.edit(only(t, manifests, "Deployment"), theirImage)
	change := e.noticed(manifests)
	if change.Action != apply.Drifted || change.Reason != v1.ReasonDrifted || change.Retry <= 0 || change.Retry > time.Second {
		t.Errorf("the second change: %+v; want it told, and a retry within the second", change)
	}
	e.settle(manifests)
	e.asks(mark, "get deployments", "patch deployments")
	if set := e.pass(manifests); set.Changes[1].Reason != "" {
		t.Errorf("after it was left alone: %+v", set)
	}
}

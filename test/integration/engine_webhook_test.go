package integration

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// dropRecord is what some platforms do to keep objects small.
var dropRecord = map[string]any{"op": "add", "path": "/metadata/managedFields", "value": []any{}}

// mutate runs a webhook that moves images to a mirror, adds a label and a variable
// and takes the variable B away, as platforms do, from the Deployments of the
// test's namespace, and does more if it is told to.
func (e *engineTest) mutate(more ...map[string]any) {
	e.t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := answer(w, r.Body, more); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	e.t.Cleanup(server.Close)
	none, always := admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.Fail
	hook := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: e.owner.Namespace},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "mirror.example.com",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL: &server.URL, CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: e.owner.Namespace}},
			SideEffects:       &none, FailurePolicy: &always, AdmissionReviewVersions: []string{"v1"},
		}},
	}
	if err := e.c.Client().Create(e.t.Context(), hook); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		if err := e.c.Client().Delete(context.Background(), hook); err != nil {
			e.t.Errorf("removing the webhook: %v", err)
		}
	})
	trial := foreign(e.t, manifest.Manifest{GVK: appsv1.SchemeGroupVersion.WithKind("Deployment"), Namespace: e.owner.Namespace, Name: "trial"})
	fleet.Eventually(e.t, soon, "the webhook to be asked", func(ctx context.Context) error {
		d := trial.DeepCopyObject().(client.Object)
		if err := e.c.Client().Create(ctx, d, client.DryRunAll); err != nil {
			return err
		}
		if d.GetLabels()["injected"] == "" {
			return errors.New("it is not")
		}
		return nil
	})
}

func answer(w io.Writer, body io.Reader, more []map[string]any) error {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(body).Decode(&review); err != nil {
		return err
	}
	var d appsv1.Deployment
	if err := json.Unmarshal(review.Request.Object.Raw, &d); err != nil {
		return err
	}
	web := d.Spec.Template.Spec.Containers[0]
	_, name, _ := strings.Cut(web.Image, "/")
	injected := corev1.EnvVar{Name: "INJECTED", Value: "x"}
	env := slices.DeleteFunc(web.Env, func(v corev1.EnvVar) bool { return v.Name == injected.Name || v.Name == "B" })
	patch, err := json.Marshal(append([]map[string]any{
		{"op": "add", "path": "/metadata/labels/injected", "value": "x"},
		{"op": "add", "path": "/spec/template/spec/containers/0/image", "value": "mirror.example.com/" + name},
		{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": append([]corev1.EnvVar{injected}, env...)},
	}, more...))
	if err != nil {
		return err
	}
	kind := admissionv1.PatchTypeJSONPatch
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true, Patch: patch, PatchType: &kind}
	return json.NewEncoder(w).Encode(review)
}

// What a webhook makes of an object is not drift: not after the object was made,
// not after a restart, not after an update.
func TestMutatingWebhookIsNoDrift(t *testing.T) {
	e := newEngineTest(t)
	e.policies = render.Policies(&v1.MyAppSpec{})
	e.namespace()
	e.mutate()
	for _, value := range []string{"1", "2"} {
		manifests := e.render(func(in *render.Input) { in.Template.Env[0].Value = value })
		e.settle(manifests)
		web := e.deployment().Spec.Template.Spec.Containers[0]
		if web.Image != "mirror.example.com/web:1" || !slices.Contains(web.Env, corev1.EnvVar{Name: "A", Value: value}) {
			t.Fatalf("image %s, env %v; want the mirror's and ours", web.Image, web.Env)
		}
		mark := e.c.AuditMark()
		for range 2 {
			for range 20 {
				e.settle(manifests)
			}
			e.restart()
		}
		e.settle(manifests)
		e.asks(mark)
	}
}

// What a cluster never kept is no drift for an engine that did not see it: what
// it is not sure of it tries once, and writes nothing.
func TestWhatIsNeverKeptIsNoDriftAfterRestart(t *testing.T) {
	for _, mode := range []v1.DriftMode{v1.DriftCorrect, v1.DriftReport} {
		t.Run(string(mode), func(t *testing.T) {
			e := newEngineTest(t)
			e.policies = render.Policies(&v1.MyAppSpec{Drift: &v1.Drift{Mode: mode}})
			e.namespace()
			e.mutate(dropRecord)
			manifests := e.render()
			deployment := only(t, manifests, "Deployment")
			e.settle(manifests)
			before := e.live(deployment)
			if len(before.GetManagedFields()) > 0 {
				t.Fatalf("whose its fields are was kept: %v; the test tests nothing", before.GetManagedFields())
			}
			e.restart()
			e.seen()
			mark := e.c.AuditMark()
			for range 10 {
				for _, change := range e.pass(manifests).Changes {
					if change.Action != apply.Unchanged || change.Reason != "" {
						t.Errorf("%+v; want it unchanged", change)
					}
				}
			}
			e.asks(mark, "get deployments", "patch deployments") // The patch is a dry run.
			e.untouched(before, deployment)
		})
	}
}

// A field that the kind does not have is the user's mistake, and is named.
func TestUnknownFieldIsRejected(t *testing.T) {
	e := newEngineTest(t)
	const group = "unknown.example.com"
	e.serve(group)
	manifests := e.render(withManifests(widget(group, `{"size":1,"unknown":{"x":"y"}}`)))
	e.watched(manifests)
	for range 2 {
		refused, _ := e.pass(manifests).Trouble()
		if refused.Action != apply.Refused || refused.Reason != v1.ReasonRejected {
			t.Errorf("%+v; want it refused as %s", refused, v1.ReasonRejected)
		}
		says(t, refused.Message, "Widget", ".spec.unknown")
	}
}

const widgetCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.GROUP}
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: Widget, listKind: WidgetList, plural: widgets, singular: widget}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}`

// serve makes the cluster serve Widgets of a group until the test ends.
func (e *engineTest) serve(group string) {
	e.t.Helper()
	crd := fieldsObject(e.t, strings.ReplaceAll(widgetCRD, "GROUP", group))
	if err := e.c.Apply(e.t.Context(), crd); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		if err := client.IgnoreNotFound(e.c.Client().Delete(context.Background(), crd)); err != nil {
			e.t.Errorf("removing the CRD of %s: %v", group, err)
		}
	})
	fleet.Eventually(e.t, soon, "Widgets to be served", func(context.Context) error { return e.served(group) })
}

// served is nil if Widgets of a group are served.
func (e *engineTest) served(group string) error {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: "v1", Kind: "WidgetList"})
	return e.c.Client().List(e.t.Context(), list)
}

func widget(group, spec string) string {
	return fmt.Sprintf(`{"apiVersion":"%s/v1","kind":"Widget","metadata":{"name":"web"},"spec":%s}`, group, spec)
}

func withManifests(objects ...string) func(*render.Input) {
	return func(in *render.Input) {
		for _, o := range objects {
			in.Template.Manifests = append(in.Template.Manifests, runtime.RawExtension{Raw: []byte(o)})
		}
	}
}

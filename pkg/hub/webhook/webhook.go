package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/dependencies"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// Path is where the webhook is served; deploy has it in the
// ValidatingWebhookConfiguration.
const Path = "/validate-example-com-v1-myapp"

// Register serves the webhook. The function check compiles the expressions of a
// health rule; nil accepts all. Apps are read from the reader.
func Register(server webhook.Server, check func(v1.HealthRule) error, apps client.Reader) {
	server.Register(Path, &admission.Webhook{Handler: &handler{check: check, apps: apps}})
}

type handler struct {
	check func(v1.HealthRule) error
	apps  client.Reader
}

// Handle allows or denies a request, by the first line that holds:
//
//	it neither creates nor updates     allow
//	it is about a subresource          allow
//	the app is being deleted           allow, whatever else is in it
//	the object cannot be read          error
//	an update leaves the spec          allow
//	the spec is not valid              deny, with every error and its field
//	it depends on what depends on it   deny, if that can be seen
//	otherwise                          allow
func (h *handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	if req.Operation != admissionv1.Create && req.Operation != admissionv1.Update || req.SubResource != "" {
		return admission.Allowed("")
	}
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(req.Object.Raw, &object); err == nil && !object.DeletionTimestamp.IsZero() {
		return admission.Allowed("the MyApp is being deleted")
	}
	var app, old v1.MyApp
	if err := json.Unmarshal(req.Object.Raw, &app); err != nil {
		return admission.Errored(http.StatusBadRequest, fmt.Errorf("decoding the MyApp: %w", err))
	}
	if req.Operation == admissionv1.Update {
		// An old object that cannot be read is no reason to keep a new one out.
		if err := json.Unmarshal(req.OldObject.Raw, &old); err == nil && equality.Semantic.DeepEqual(old.Spec, app.Spec) {
			return admission.Allowed("the spec stays as it is")
		}
	}
	errs := render.Validate(&app, h.check)
	if app.Namespace == "" {
		app.Namespace = req.Namespace
	}
	// What cannot be seen now a condition says later.
	if found, err := dependencies.Of(ctx, h.apps, &app); err == nil && len(found.Cycle) > 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "dependsOn"), field.OmitValueType{}, rollout.CycleMessage(found.Cycle)))
	}
	if len(errs) > 0 {
		status := apierrors.NewInvalid(v1.GroupVersion.WithKind("MyApp").GroupKind(), app.Name, errs).Status()
		return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Result: &status}}
	}
	return admission.Allowed("")
}

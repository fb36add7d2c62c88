package chaos

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// What the webhook makes of a Deployment.
const (
	mutatedRegistry = "cache.member.example.com/"
	mutatedLabel    = "member.example.com/mutated"
	mutatedEnv      = "MUTATED"
)

func isMutated(d *appsv1.Deployment) bool {
	c := d.Spec.Template.Spec.Containers[0]
	return strings.HasPrefix(c.Image, mutatedRegistry) && d.Labels[mutatedLabel] == "yes" && c.Env[len(c.Env)-1].Name == mutatedEnv
}

// mutate makes a webhook of a member change the Deployments of an app at every
// write: the image comes from another registry, and there are a label and an
// environment variable more. It returns when the API server asks it.
func mutate(t *testing.T, c *fleet.Cluster, app string) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(serveMutation))
	t.Cleanup(server.Close)
	err := c.Client().Create(t.Context(), &registrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "mutate"},
		Webhooks: []registrationv1.MutatingWebhook{{
			Name: "mutate.member.example.com",
			ClientConfig: registrationv1.WebhookClientConfig{
				URL:      ptr.To(server.URL),
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []registrationv1.RuleWithOperations{{
				Operations: []registrationv1.OperationType{registrationv1.Create, registrationv1.Update},
				Rule:       registrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
			}},
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{v1.LabelApp: app}},
			FailurePolicy:           ptr.To(registrationv1.Fail),
			SideEffects:             ptr.To(registrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	fleet.Eventually(t, soon, "the API server to ask the webhook", func(ctx context.Context) error {
		pod := map[string]string{v1.LabelApp: app}
		probe := &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "probe", Labels: pod},
			Spec: appsv1.DeploymentSpec{
				Selector: &metav1.LabelSelector{MatchLabels: pod},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: pod},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.example.com/web:1"}}},
				},
			},
		}
		if err := c.Client().Create(ctx, probe, client.DryRunAll); err != nil {
			return err
		}
		if !isMutated(probe) {
			return errors.New("nothing was changed")
		}
		return nil
	})
}

func serveMutation(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, "not an AdmissionReview", http.StatusBadRequest)
		return
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	if patch, err := mutation(review.Request.Object.Raw); err != nil {
		review.Response.Allowed = false
		review.Response.Result = &metav1.Status{Message: err.Error()}
	} else {
		review.Response.Patch, review.Response.PatchType = patch, ptr.To(admissionv1.PatchTypeJSONPatch)
	}
	review.Request = nil
	_ = json.NewEncoder(w).Encode(review) // the API server may have left
}

// mutation is the JSON patch of a Deployment.
func mutation(raw []byte) ([]byte, error) {
	var d appsv1.Deployment
	if err := json.Unmarshal(raw, &d); err != nil {
		return nil, err
	}
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	container := d.Spec.Template.Spec.Containers[0]
	_, name, _ := strings.Cut(container.Image, "/")
	env := container.Env
	if len(env) == 0 || env[len(env)-1].Name != mutatedEnv {
		env = append(env, corev1.EnvVar{Name: mutatedEnv, Value: "yes"})
	}
	return json.Marshal([]operation{
		{"add", "/metadata/labels/" + strings.ReplaceAll(mutatedLabel, "/", "~1"), "yes"},
		{"add", "/spec/template/spec/containers/0/image", mutatedRegistry + name},
		{"add", "/spec/template/spec/containers/0/env", env},
	})
}

package fleet

import (
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	webhookName = "myapp-hub"
	webhookPath = "/validate-example-com-v1-myapp"
	// probeLabel marks the objects of which the probe of a webhook is asked.
	probeLabel = "fleet.example.com/webhook-probe"
)

// installWebhook makes the API server ask the hub's process about MyApps, and
// returns when it does. Where nobody answers they are admitted: whoever takes the
// hub down must still be able to edit them, and the reconciler checks them again.
func (c *Cluster) installWebhook(ctx context.Context, addr string) error {
	// An API server notices a webhook some time after it was written. One that
	// fails whatever it is asked shows when.
	probe := c.webhook(addr, "/nobody-answers-here", "", "configmaps")
	probe.Name = "probe.fleet.example.com"
	probe.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{probeLabel: ""}}
	probe.FailurePolicy = ptr.To(admissionv1.Fail)
	validate := c.webhook(addr, webhookPath, "example.com", "myapps")
	validate.Name = "myapps.example.com"

	err := c.applyWebhooks(ctx, validate, probe)
	if err == nil {
		err = poll(ctx, applyTimeout, readyPoll, c.probeWebhooks)
	}
	if err == nil {
		err = c.applyWebhooks(ctx, validate)
	}
	if err != nil {
		return fmt.Errorf("installing the webhook: %w", err)
	}
	return nil
}

func (c *Cluster) webhook(addr, path, group, resource string) admissionv1.ValidatingWebhook {
	return admissionv1.ValidatingWebhook{
		ClientConfig: admissionv1.WebhookClientConfig{URL: ptr.To("https://" + addr + path), CABundle: c.ca.pem},
		Rules: []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
			Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: []string{resource}},
		}},
		FailurePolicy:           ptr.To(admissionv1.Ignore),
		SideEffects:             ptr.To(admissionv1.SideEffectClassNone),
		TimeoutSeconds:          ptr.To[int32](5),
		AdmissionReviewVersions: []string{"v1"},
	}
}

func (c *Cluster) applyWebhooks(ctx context.Context, webhooks ...admissionv1.ValidatingWebhook) error {
	o, err := toUnstructured(&admissionv1.ValidatingWebhookConfiguration{
		TypeMeta: metav1.TypeMeta{
			APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration",
		},
		ObjectMeta: metav1.ObjectMeta{Name: webhookName},
		Webhooks:   webhooks,
	})
	if err != nil {
		return err
	}
	return c.Apply(ctx, o)
}

func (c *Cluster) probeWebhooks(ctx context.Context) error {
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: metav1.NamespaceDefault, Name: "webhook-probe", Labels: map[string]string{probeLabel: ""},
	}}
	if err := c.client.Create(ctx, o, client.DryRunAll); err == nil {
		return errors.New("the API server does not ask the webhooks yet")
	}
	return nil
}

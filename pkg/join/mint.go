package join

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/identity"
)

// makeToken makes the Secret that the token is bound to, and the token, and puts on
// record with the mailbox that this is the one that counts.
func makeToken(ctx context.Context, hub client.Client, o TokenOptions) (string, error) {
	namespace := v1.MailboxNamespace(o.Member)
	if err := deleteSecret(ctx, hub, namespace, v1.JoinSecret); err != nil {
		return "", err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: v1.JoinSecret,
		Labels: map[string]string{v1.LabelManagedBy: v1.ManagedBy, v1.LabelMember: o.Member},
	}}
	if err := hub.Create(ctx, secret); err != nil {
		return "", fmt.Errorf("making Secret %s, which the join token is bound to: %w", client.ObjectKeyFromObject(secret), err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: v1.JoinServiceAccount}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: ptr.To(int64(o.TTL / time.Second)),
		BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Secret", Name: secret.Name, UID: secret.UID,
		},
	}}
	if err := hub.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("asking for a token of ServiceAccount %s: %w", client.ObjectKeyFromObject(account), err)
	}
	claims, err := identity.ClaimsOf(request.Status.Token)
	if err != nil {
		return "", fmt.Errorf("the hub's API server has given a token that is none: %w", err)
	}
	if claims.ID == "" {
		return "", errors.New("the hub's API server has given a token without an ID: it has to be of Kubernetes 1.32 or later")
	}
	return request.Status.Token, record(ctx, hub, namespace, "JTI="+claims.ID, strings.Join(request.Spec.Audiences, ","))
}

// record writes which join token counts in a mailbox, empty for none, and what the
// agent's tokens are for. The admission policies read it.
func record(ctx context.Context, hub client.Client, namespace, tokenID, audiences string) error {
	annotations := map[string]any{v1.AnnotationJoinToken: nil}
	if tokenID != "" {
		annotations = map[string]any{v1.AnnotationJoinToken: tokenID, v1.AnnotationAudiences: audiences}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		return err
	}
	mailbox := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := hub.Patch(ctx, mailbox, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("writing which join token counts to namespace %s: %w", namespace, err)
	}
	return nil
}

// checkPolicies fails if the token is good for more than joining: without the admission
// policies it is, for rights alone cannot say what for.
func checkPolicies(ctx context.Context, o TokenOptions, endpoint *corev1.ConfigMap, token string) error {
	config := o.Reach
	if config == nil {
		config = &rest.Config{Host: endpoint.Data[v1.HubServer], TLSClientConfig: rest.TLSClientConfig{CAData: []byte(endpoint.Data[v1.HubCA])}}
	}
	config = rest.AnonymousClientConfig(config)
	config.BearerToken = token
	joining, err := client.New(config, client.Options{Mapper: secretMapper()})
	if err != nil {
		return fmt.Errorf("making a client with the join token: %w", err)
	}
	canary := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: v1.MailboxNamespace(o.Member), Name: "canary"}}
	err = poll(ctx, mailboxPoll, policyTimeout, func() (bool, error) {
		err := joining.Create(ctx, canary.DeepCopy(), client.DryRunAll)
		switch {
		case err == nil:
			return false, nil
		case apierrors.IsForbidden(err):
			return true, nil
		}
		return false, fmt.Errorf("trying the join token: %w", err)
	})
	if errors.Is(err, errTimeout) {
		return errors.New("a join token could make any Secret in the mailbox: the hub's admission policies are not in force. Apply deploy/admission to the hub; no token was given out")
	}
	return err
}

func secretMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	return mapper
}

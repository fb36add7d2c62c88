package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/agent/apply"
	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
)

// source reads a Secret of the app's namespace that may be copied. The cache
// holds only Secrets that carry the label; one that is not there is nil.
func (r *Reconciler) source(ctx context.Context, o order, secret render.SecretCopy) (*corev1.Secret, error) {
	source := &corev1.Secret{}
	err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: o.app.Namespace, Name: secret.Source}, source)
	if apierrors.IsNotFound(err) || err == nil && source.Labels[v1.LabelPropagate] != "true" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", o.app.Namespace, secret.Source, err)
	}
	return source, nil
}

// fill puts the content into the Secrets among the manifests; missing says which
// is not there. An optional one that is not there is left out where it never was.
// Where it was copied to, the copy stays as it is, with the hash that placed gives
// of it: what is missing deletes nothing.
func (r *Reconciler) fill(ctx context.Context, o order, wanted *rendered, placed func(manifest.Manifest) (hash string, ok bool)) (missing string, err error) {
	for _, secret := range wanted.secrets {
		source, err := r.source(ctx, o, secret)
		if err != nil {
			return "", err
		}
		i := slices.IndexFunc(wanted.manifests, func(m manifest.Manifest) bool { return m.IsSecret() && m.Name == secret.Name })
		if i < 0 {
			continue
		}
		hash, isPlaced := placed(wanted.manifests[i])
		switch {
		case source != nil:
			if wanted.manifests[i], err = manifest.Fill(wanted.manifests[i], source); err != nil {
				return "", err
			}
		case secret.Optional && isPlaced:
			wanted.manifests[i].Hash, wanted.manifests[i].Partial = hash, true
		case secret.Optional:
			wanted.manifests = slices.Delete(wanted.manifests, i, i+1)
		case missing == "":
			missing = missingSecret(o, secret)
		}
	}
	return missing, nil
}

func missingSecret(o order, secret render.SecretCopy) string {
	return fmt.Sprintf("the app refers to Secret %[1]s, and %[2]s/%[1]s does not exist on the hub or may not be copied: create it and label it %[3]s=true, or name it in spec.localSecrets if members have it themselves",
		secret.Source, o.app.Namespace, v1.LabelPropagate)
}

// mailboxSecret is the name of the Secret in the mailbox that has the content.
// Names of Works have no dots.
func mailboxSecret(work, name string) string { return work + "." + name }

// workOfSecret is the name of the Work to which a Secret of a mailbox belongs.
func workOfSecret(name string) string {
	work, _, _ := strings.Cut(name, ".")
	return work
}

// deliverSecrets keeps the content of an app's Secrets in the member's mailbox.
// They belong to the Work and go with it.
func (r *Reconciler) deliverSecrets(ctx context.Context, o order, work *v1.Work, wanted rendered) error {
	kept := map[string]bool{}
	for _, m := range wanted.manifests {
		if !m.IsSecret() {
			continue
		}
		i := slices.IndexFunc(wanted.secrets, func(s render.SecretCopy) bool { return s.Name == m.Name })
		if i < 0 {
			continue
		}
		name := mailboxSecret(work.Name, m.Name)
		kept[name] = true
		source, err := r.source(ctx, o, wanted.secrets[i])
		if err != nil {
			return err
		}
		if source == nil {
			continue
		}
		if err := r.deliverSecret(ctx, o, work, name, m.Hash, source); err != nil {
			return err
		}
	}
	if work.Status.ObservedGeneration != work.Generation {
		return nil // The agent may still need those that the Work does not name any more.
	}
	return r.dropSecrets(ctx, work, kept)
}

func (r *Reconciler) deliverSecret(ctx context.Context, o order, work *v1.Work, name, hash string, source *corev1.Secret) error {
	cached := secretMeta()
	err := r.Hub.Get(ctx, types.NamespacedName{Namespace: work.Namespace, Name: name}, cached)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading Secret %s of mailbox %s: %w", name, work.Namespace, err)
	}
	if err == nil && cached.Annotations[v1.AnnotationContentHash] == hash {
		return nil
	}
	copied := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: work.Namespace, Name: name, ResourceVersion: cached.ResourceVersion,
			Labels:          map[string]string{v1.LabelManagedBy: v1.ManagedBy, v1.LabelMember: o.member, v1.LabelAppUID: string(o.app.UID)},
			Annotations:     map[string]string{v1.AnnotationContentHash: hash},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1.GroupVersion.String(), Kind: "Work", Name: work.Name, UID: work.UID}},
		},
		Type: source.Type, Data: source.Data,
	}
	ctx, cancel := context.WithTimeout(ctx, apply.RequestTimeout)
	defer cancel()
	if cached.ResourceVersion == "" {
		err = r.Hub.Create(ctx, copied, client.FieldOwner(v1.FieldManager))
	} else {
		err = r.Hub.Update(ctx, copied, client.FieldOwner(v1.FieldManager))
	}
	if apierrors.IsInvalid(err) && cached.ResourceVersion != "" {
		// The type of a Secret cannot be changed; this one is the hub's own.
		if err = r.deleteCached(ctx, cached); err == nil {
			return errStale
		}
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || errors.Is(err, errStale) {
		return errStale
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s into mailbox %s: %w", name, work.Namespace, err)
	}
	return nil
}

// dropSecrets deletes the Secrets of a Work but for those to be kept.
func (r *Reconciler) dropSecrets(ctx context.Context, work *v1.Work, kept map[string]bool) error {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	err := r.Hub.List(ctx, list, client.InNamespace(work.Namespace), client.MatchingFields{indexSecretApp: string(work.Spec.App.UID)})
	if err != nil {
		return fmt.Errorf("listing the Secrets of Work %s/%s: %w", work.Namespace, work.Name, err)
	}
	for i := range list.Items {
		old := &list.Items[i]
		if kept[old.Name] || workOfSecret(old.Name) != work.Name {
			continue
		}
		if err := r.deleteCached(ctx, old); err != nil {
			return fmt.Errorf("deleting Secret %s of mailbox %s: %w", old.Name, work.Namespace, err)
		}
	}
	return nil
}

// secretMeta is a Secret without its content.
func secretMeta() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return m
}

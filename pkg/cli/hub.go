package cli

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/plan"
)

// stateOf is what the hub decides about an app from, as far as the user may read it.
func stateOf(ctx context.Context, c client.Client, app *v1.MyApp) (plan.State, error) {
	members, err := membersOf(ctx, c)
	if err != nil {
		return plan.State{}, err
	}
	namespace, err := namespaceLabels(ctx, c, app.Namespace)
	return stateIn(plan.StateOf(members), app, namespace), err
}

// stateIn is an app in a fleet.
func stateIn(s plan.State, app *v1.MyApp, namespace labels.Set) plan.State {
	s.App, s.Namespace, s.Now = app, namespace, time.Now()
	if held := meta.FindStatusCondition(app.Status.Conditions, v1.ConditionHeld); held != nil &&
		held.Status == "True" && (held.Reason == v1.ReasonHubRestored || held.Reason == v1.ReasonHubReplaced) {
		s.Held = held.Message
	}
	return s
}

// membersOf are all members.
func membersOf(ctx context.Context, c client.Client) ([]v1.MemberCluster, error) {
	var members v1.MemberClusterList
	err := c.List(ctx, &members)
	if apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("where apps run cannot be told without the right to list memberclusters, as the ClusterRole myapp-hub-members-view gives it: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("listing the members: %w", err)
	}
	return members.Items, nil
}

// appsOf are the apps that the user may read: all, or those of the namespace.
func appsOf(ctx context.Context, c client.Client, namespace string) (apps []v1.MyApp, everywhere bool, err error) {
	var list v1.MyAppList
	err = c.List(ctx, &list)
	if everywhere = !apierrors.IsForbidden(err); !everywhere {
		err = c.List(ctx, &list, client.InNamespace(namespace))
	}
	if err != nil {
		return nil, everywhere, fmt.Errorf("listing the MyApps: %w", err)
	}
	return list.Items, everywhere, nil
}

// namespaceLabels are nil if the user may not read them: then members that ask for some
// are shown as not known.
func namespaceLabels(ctx context.Context, c client.Client, name string) (labels.Set, error) {
	namespace := &corev1.Namespace{}
	err := c.Get(ctx, types.NamespacedName{Name: name}, namespace)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	if namespace.Labels == nil {
		return labels.Set{}, nil
	}
	return namespace.Labels, nil
}

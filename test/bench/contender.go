package main

import (
	"context"
	"errors"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/bench/floor/plan"
	"github.com/example/myapp-hub/test/bench/report"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// contender is one of the programs that are compared.
type contender struct {
	name string
	// kind and resource of its apps.
	kind     string
	resource schema.GroupVersionResource
	// users are what audit logs call it, on all API servers.
	users []string
	// start begins a run: it returns the process to measure, and what ends it.
	start func(ctx context.Context) (pid int, stop func() error, err error)
	// remove takes what is left of its apps off the members, where it does not do
	// so itself.
	remove func(ctx context.Context, namespace string) error
}

// asked says whether a request is the contender's.
func (c contender) asked(e fleet.AuditEvent) bool { return slices.Contains(c.users, e.User) }

// theFloor is C0.
func theFloor(w *world) contender {
	return contender{
		name: report.Floor, kind: plan.Kind, users: []string{serviceAccount(fleet.HubNamespace, floorAccount)},
		resource: schema.GroupVersionResource{Group: plan.Group, Version: plan.Version, Resource: plan.Resource},
		start:    func(ctx context.Context) (int, func() error, error) { return startFloor(ctx, w) },
		remove:   w.removeObjects,
	}
}

// theHub is the product: the hub and the agents.
func theHub(w *world) contender {
	return contender{
		name: report.Hub, kind: "MyApp", users: append(w.agents(), w.hubUsers()...),
		resource: v1.GroupVersion.WithResource("myapps"),
		start: func(context.Context) (int, func() error, error) {
			return w.fleet.Hub().Pid(), func() error { return nil }, nil
		},
	}
}

// order is that of the contenders in a pair: the other way round each time, so that
// a machine that gets slower or faster favours nobody.
func order(pair int, w *world) []contender {
	if pair%2 == 0 {
		return []contender{theFloor(w), theHub(w)}
	}
	return []contender{theHub(w), theFloor(w)}
}

// hubUsers are the hub, on its own API server and on members.
func (w *world) hubUsers() []string {
	users := []string{serviceAccount(fleet.HubNamespace, hubAccount)}
	if w.mode == fleet.ModePush && w.tenanted {
		for _, m := range w.members {
			users = append(users, serviceAccount(fleet.HubNamespace, hubAccount+"-"+m.namespace))
		}
	}
	return users
}

// agents are the agents, on their own clusters and on the hub.
func (w *world) agents() []string {
	if w.mode != fleet.ModePull {
		return nil
	}
	users := []string{serviceAccount(fleet.HubNamespace, "myapp-agent")}
	for _, m := range w.members {
		users = append(users, serviceAccount(v1.MailboxNamespace(m.name), v1.AgentServiceAccount))
	}
	return users
}

// hubAccount is the ServiceAccount of the hub.
const hubAccount = "myapp-hub"

func serviceAccount(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}

// clean removes the apps of a run, and waits until nothing of them is left.
func (a *apps) clean(ctx context.Context) error {
	mine := a.world.driver.Resource(a.contender.resource).Namespace(a.namespace)
	var refused error // it takes longer than a request may, if there are many
	if err := eventually(ctx, a.patience(), "the apps of "+a.contender.name+" to be deleted", func(ctx context.Context) (bool, error) {
		refused = mine.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		return refused == nil, nil
	}); err != nil {
		return errors.Join(err, refused)
	}
	if err := eventually(ctx, a.patience(), "the apps of "+a.contender.name+" to be gone", func(ctx context.Context) (bool, error) {
		left, err := mine.List(ctx, metav1.ListOptions{Limit: 1})
		return err == nil && len(left.Items) == 0, err
	}); err != nil {
		return err
	}
	if a.contender.remove == nil {
		return nil
	}
	return a.contender.remove(ctx, a.namespace)
}

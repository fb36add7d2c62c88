package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
)

// ErrMoved ends an agent whose hub is reached in another way from now on: the next one
// starts with it.
var ErrMoved = errors.New("the hub's address or certificate authority has changed")

// retryMove is how often an address is tried that did not answer.
const retryMove = time.Minute

// Endpoint follows how the hub is reached, while it is.
type Endpoint struct {
	// Credential is what the agent has started with.
	Credential Credential
	Store      Store
	Tokens     *Tokens
	// Cache is that of the mailbox.
	Cache cache.Cache
	Log   logr.Logger
}

// Start ends with ErrMoved once the hub says that it is reached in another way, the
// agent has reached it so, and that is saved. Until then everything stays as it is.
func (e *Endpoint) Start(ctx context.Context) error {
	informer, err := e.Cache.GetInformer(ctx, &corev1.ConfigMap{})
	if err != nil {
		return fmt.Errorf("watching how the hub is reached: %w", err)
	}
	changes := make(chan *corev1.ConfigMap, 1)
	notify := func(object any) {
		said, ok := object.(*corev1.ConfigMap)
		if !ok || said.Name != v1.HubConfigMap {
			return
		}
		select { // only what was said last counts
		case <-changes:
		default:
		}
		changes <- said
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: notify, UpdateFunc: func(_, now any) { notify(now) },
	})
	if err != nil {
		return fmt.Errorf("watching how the hub is reached: %w", err)
	}
	defer func() { _ = informer.RemoveEventHandler(registration) }() // fails only for one that is not there
	return e.follow(ctx, changes)
}

func (e *Endpoint) follow(ctx context.Context, changes <-chan *corev1.ConfigMap) error {
	var said *corev1.ConfigMap
	for {
		var again <-chan time.Time
		if said != nil {
			moved, err := e.try(ctx, said)
			switch {
			case moved:
				return ErrMoved
			case err != nil && ctx.Err() == nil:
				e.Log.Error(err, "The hub says that it is reached in another way, which does not work yet; going on as before", "server", said.Data[v1.HubServer])
				again = time.After(retryMove)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case said = <-changes:
		case <-again:
		}
	}
}

// try is true when the hub was reached as it says, and that is saved.
func (e *Endpoint) try(ctx context.Context, said *corev1.ConfigMap) (bool, error) {
	next := e.Credential
	next.Server, next.CA = said.Data[v1.HubServer], []byte(said.Data[v1.HubCA])
	if next.Server == "" || len(next.CA) == 0 ||
		next.Server == e.Credential.Server && string(next.CA) == string(e.Credential.CA) {
		return false, nil
	}
	hub, err := hubClient(next, e.Tokens.to(next.Server))
	if err != nil {
		return false, err
	}
	bounded, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := hub.Get(bounded, client.ObjectKeyFromObject(said), &corev1.ConfigMap{}); err != nil {
		return false, fmt.Errorf("reaching the hub at %s: %w", next.Server, err)
	}
	if err := e.Store.SaveHub(bounded, next); err != nil {
		return false, err
	}
	return true, nil
}

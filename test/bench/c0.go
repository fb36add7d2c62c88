package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/example/myapp-hub/pkg/hub/render"
	"github.com/example/myapp-hub/pkg/manifest"
	"github.com/example/myapp-hub/test/bench/floor/plan"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

const (
	// floorAccount is the ServiceAccount of C0 on every cluster.
	floorAccount = "bench-floor"
	tokenTTL     = 24 * time.Hour
)

// installFloor builds C0, and gives it its own kind and just the rights it needs.
func installFloor(ctx context.Context, w *world) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", w.file("floor"), "github.com/example/myapp-hub/test/bench/floor")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building C0: %w: %s", err, out)
	}
	crd, err := floorCRD(ctx, w.hub)
	if err != nil {
		return err
	}
	if err := w.hub.Apply(ctx, append([]*unstructured.Unstructured{crd}, floorRights()...)...); err != nil {
		return err
	}
	if err := w.floorOnMembers(ctx); err != nil {
		return err
	}
	for _, c := range w.fleet.Clusters() {
		token, err := c.Token(ctx, fleet.HubNamespace, floorAccount, tokenTTL)
		if err != nil {
			return err
		}
		config, err := c.KubeconfigFor(token, true)
		if err != nil {
			return err
		}
		if err := os.WriteFile(w.kubeconfig(c), config, 0o600); err != nil {
			return err
		}
	}
	return w.writePlan()
}

// floorOnMembers gives C0 the rights that the hub or the agents have.
func (w *world) floorOnMembers(ctx context.Context) error {
	role := map[fleet.Mode]string{fleet.ModePush: "myapp-hub", fleet.ModePull: "myapp-agent"}[w.mode]
	for _, c := range w.clusters() {
		err := c.Apply(ctx, object("v1", "Namespace", "", fleet.HubNamespace, nil), account())
		if err != nil {
			return err
		}
	}
	for _, m := range w.members {
		if err := m.cluster.Apply(ctx, bind(floorAccount, role, m.namespace)); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) file(name string) string { return filepath.Join(w.fleet.Dir(), name) }

func (w *world) kubeconfig(c *fleet.Cluster) string {
	return w.file("floor-" + c.Name() + ".kubeconfig")
}

// floorCRD is that of MyApps under another name.
func floorCRD(ctx context.Context, hub *fleet.Cluster) (*unstructured.Unstructured, error) {
	crd := object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "myapps.example.com", nil)
	if err := hub.Client().Get(ctx, client.ObjectKeyFromObject(crd), crd); err != nil {
		return nil, fmt.Errorf("reading the CRD of MyApps: %w", err)
	}
	spec, ok := crd.Object["spec"].(map[string]any)
	if !ok {
		return nil, errors.New("the CRD of MyApps has no spec")
	}
	spec["group"] = plan.Group
	spec["names"] = map[string]any{"kind": plan.Kind, "listKind": plan.Kind + "List", "plural": plan.Resource, "singular": "floor"}
	return object("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", plan.Resource+"."+plan.Group, map[string]any{"spec": spec}), nil
}

func account() *unstructured.Unstructured {
	return object("v1", "ServiceAccount", fleet.HubNamespace, floorAccount, nil)
}

// bind gives a ServiceAccount a ClusterRole, or the Role of a namespace.
func bind(account, role, namespace string) *unstructured.Unstructured {
	prefix := "Cluster"
	if namespace != "" {
		prefix = ""
	}
	return object("rbac.authorization.k8s.io/v1", prefix+"RoleBinding", namespace, account, map[string]any{
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": prefix + "Role", "name": role},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": account, "namespace": fleet.HubNamespace}},
	})
}

// floorRights are those on the hub.
func floorRights() []*unstructured.Unstructured {
	rule := func(resource string, verbs ...any) map[string]any {
		return map[string]any{"apiGroups": []any{plan.Group}, "resources": []any{resource}, "verbs": verbs}
	}
	role := object("rbac.authorization.k8s.io/v1", "ClusterRole", "", floorAccount, map[string]any{"rules": []any{
		rule(plan.Resource, "get", "list", "watch"), rule(plan.Resource+"/status", "patch"),
	}})
	return []*unstructured.Unstructured{account(), role, bind(floorAccount, floorAccount, "")}
}

// writePlan writes what C0 reads from its standard input.
func (w *world) writePlan() error {
	p := plan.Plan{Hub: w.kubeconfig(w.hub)}
	for _, m := range w.members {
		p.Members = append(p.Members, plan.Cluster{Name: m.name, Kubeconfig: w.kubeconfig(m.cluster), Namespace: m.namespace})
	}
	var err error
	if p.Objects, err = templates(w.tenanted); err != nil {
		return err
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(w.file("floor.json"), b, 0o600)
}

// templates are what the hub would apply, byte by byte, with placeholders; in an
// app's own namespace or in the one of the member.
func templates(tenanted bool) ([]plan.Object, error) {
	cluster := render.Cluster{Name: plan.Member}
	if tenanted {
		cluster.Namespace = plan.Home
	}
	s := spec(plan.Image, true)
	stamp := manifest.Stamp{Epoch: 1, Generation: 1, SpecHash: "01234567-0123456789abcdef", HubVersion: "12345"}
	manifests, err := render.Manifests(render.Input{
		Namespace: plan.Namespace, Name: plan.App, UID: plan.UID, HubID: plan.Manager, Stamp: stamp,
		Cluster: cluster, Template: render.Template(&s), Replicas: 1,
	})
	if err != nil {
		return nil, err
	}
	var objects []plan.Object
	for _, m := range manifests {
		objects = append(objects, plan.Object{
			Group: m.GVK.Group, Version: m.GVK.Version, Resource: strings.ToLower(m.GVK.Kind) + "s", Content: string(m.Raw),
		})
	}
	return objects, nil
}

// startFloor starts C0 and waits until it watches.
func startFloor(ctx context.Context, w *world) (pid int, stop func() error, err error) {
	stdin, err := os.ReadFile(w.file("floor.json"))
	if err != nil {
		return 0, nil, err
	}
	log, err := os.OpenFile(w.file("floor.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, nil, err
	}
	cmd := exec.CommandContext(ctx, w.file("floor"))
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, nil, errors.Join(err, log.Close())
	}
	if err := cmd.Start(); err != nil {
		return 0, nil, errors.Join(fmt.Errorf("starting C0: %w", err), log.Close())
	}
	stop = func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stopping C0: %w", err)
		}
		if err := cmd.Wait(); err != nil {
			err = fmt.Errorf("C0 failed, see %s: %w", log.Name(), err)
			return errors.Join(err, log.Close())
		}
		return log.Close()
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "ready\n" {
		return 0, nil, errors.Join(fmt.Errorf("C0 said %q and not that it is ready", line), err, stop())
	}
	return cmd.Process.Pid, stop, nil
}

// removeObjects takes the objects of C0 off the members: it does not do so itself.
func (w *world) removeObjects(ctx context.Context, namespace string) error {
	objects, err := templates(w.tenanted)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(driving)
	for _, m := range w.members {
		group.Go(func() error {
			admin, err := dynamic.NewForConfig(m.cluster.Admin())
			if err != nil {
				return err
			}
			for _, o := range objects {
				resource := schema.GroupVersionResource{Group: o.Group, Version: o.Version, Resource: o.Resource}
				err := admin.Resource(resource).Namespace(cmp.Or(m.namespace, namespace)).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
				if err != nil && !apierrors.IsNotFound(err) {
					return fmt.Errorf("removing the %s of C0 from %s: %w", o.Resource, m.name, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	fieldOwner = client.FieldOwner("fleet")
	// applyTimeout covers the moment in which a new CRD is not served yet.
	applyTimeout = 20 * time.Second
)

// parseManifests splits YAML or JSON documents into objects.
func parseManifests(b []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	in := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096)
	for {
		var content map[string]any
		err := in.Decode(&content)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", len(out)+1, err)
		}
		if len(content) > 0 { // an empty document, or only a comment
			out = append(out, &unstructured.Unstructured{Object: content})
		}
	}
}

// readManifests reads the files that match a pattern; there must be one.
func readManifests(pattern string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("manifests %s: %w", pattern, err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("manifests %s: there is no such file", pattern)
	}
	var out []*unstructured.Unstructured
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("manifests: %w", err)
		}
		objects, err := parseManifests(b)
		if err != nil {
			return nil, fmt.Errorf("manifests %s: %w", file, err)
		}
		out = append(out, objects...)
	}
	return out, nil
}

// Apply applies objects to the cluster, server-side and as the manager "fleet",
// in order. A kind that is not served yet is waited for.
func (c *Cluster) Apply(ctx context.Context, objects ...*unstructured.Unstructured) error {
	for _, o := range objects {
		err := poll(ctx, applyTimeout, readyPoll, func(ctx context.Context) error {
			err := c.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()), fieldOwner, client.ForceOwnership)
			if err != nil && !meta.IsNoMatchError(err) {
				return final(err)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("applying %s %s to %s: %w", o.GetKind(), client.ObjectKeyFromObject(o), c.name, err)
		}
	}
	return nil
}

// applyFiles applies the manifests in the files that match a pattern.
func (c *Cluster) applyFiles(ctx context.Context, pattern string) error {
	objects, err := readManifests(pattern)
	if err != nil {
		return err
	}
	if err := c.Apply(ctx, objects...); err != nil {
		return err
	}
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			if err := c.waitEstablished(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cluster) waitEstablished(ctx context.Context, crd *unstructured.Unstructured) error {
	err := poll(ctx, applyTimeout, readyPoll, func(ctx context.Context) error {
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(crd.GroupVersionKind())
		if err := c.client.Get(ctx, client.ObjectKeyFromObject(crd), live); err != nil {
			return err
		}
		conditions, _, err := unstructured.NestedSlice(live.Object, "status", "conditions")
		if err != nil { // the conditions of a new CRD are null
			return err
		}
		for _, item := range conditions {
			if cond, ok := item.(map[string]any); ok && cond["type"] == "Established" && cond["status"] == "True" {
				return nil
			}
		}
		return fmt.Errorf("conditions are %v", conditions)
	})
	if err != nil {
		return fmt.Errorf("waiting for CRD %s on %s to be established: %w", crd.GetName(), c.name, err)
	}
	return nil
}

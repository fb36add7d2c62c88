package expect

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

// forms are the forms in which a text can be found: as it is, and as base64 of
// anything that contains it.
func forms(text string) [][]byte {
	all := [][]byte{[]byte(text)}
	for offset := range 3 {
		// What comes before and after decides about the first and last digits.
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + text))
		first := (offset*8 + 5) / 6
		last := (offset + len(text)) * 8 / 6
		all = append(all, []byte(encoded[first:last]))
	}
	return all
}

// occurrences counts all forms of the texts.
func occurrences(data []byte, texts []string) int {
	n := 0
	for _, text := range texts {
		for _, form := range forms(text) {
			n += bytes.Count(data, form)
		}
	}
	return n
}

// TracesInObjects names the objects of a cluster that have one of the texts in
// them, by resource: every object that can be listed, with its managed fields.
func TracesInObjects(ctx context.Context, c *fleet.Cluster, texts ...string) (map[string][]string, error) {
	config := c.Admin()
	config.WarningHandler = rest.NoWarnings{}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	lists, err := disco.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("discovering what %s has: %w", c.Name(), err)
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	traces := map[string][]string{}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			if !strings.Contains(r.Verbs.String(), "list") {
				continue
			}
			found, err := objects.Resource(version.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("listing %s of %s: %w", r.Name, c.Name(), err)
			}
			for i := range found.Items {
				data, err := found.Items[i].MarshalJSON()
				if err != nil {
					return nil, err
				}
				if occurrences(data, texts) > 0 {
					traces[r.Name] = append(traces[r.Name], found.Items[i].GetNamespace()+"/"+found.Items[i].GetName())
				}
			}
		}
	}
	return traces, nil
}

// TracesInLogs names the log files of a fleet that have one of the texts in them,
// those of the hub, the agents and all API servers and their audit logs included.
// searched is how many files were read.
func TracesInLogs(f *fleet.Fleet, texts ...string) (traces []string, searched int, err error) {
	err = filepath.WalkDir(f.Dir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".log") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		searched++
		if n := occurrences(data, texts); n > 0 {
			traces = append(traces, fmt.Sprintf("%d × %s", n, path))
		}
		return nil
	})
	return traces, searched, err
}

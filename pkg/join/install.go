package join

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/example/myapp-hub/deploy"
	"github.com/example/myapp-hub/pkg/agent/identity"
)

// Namespace is where the agent is on a member.
const Namespace = "myapp-hub-system"

// AgentName is the name of what belongs to an agent on its cluster: the account, the
// Secret and the Deployment. namespace is that of a namespaced member, else empty.
func AgentName(namespace string) string {
	if namespace == "" {
		return "myapp-agent"
	}
	return "myapp-agent-" + namespace
}

// Objects are what has to be on a cluster that joins, in the order in which they are
// applied: the agent's namespace, account and rights, and what it knows of the hub. tenants
// is the ServiceAccount as which the agent acts in each namespace, if it does.
func Objects(l Line, tenants string) ([]*unstructured.Unstructured, error) {
	rights, err := RightsOf("pull", l.Namespace, tenants)
	if err != nil {
		return nil, err
	}
	belongsTo(rights, l.Member, "")
	secret, err := secretOf(l)
	return append(rights, secret), err
}

// SecretObjects are what nobody but the plugin can install: the Secret with the join token,
// and its namespace. The chart of the agent has the rest of Objects.
func SecretObjects(l Line) ([]*unstructured.Unstructured, error) {
	objects, err := Objects(l, "")
	return slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() != "Namespace" && o.GetKind() != "Secret"
	}), err
}

// Rights are the account of a member's mode ("push" or "pull") and what it may do.
func Rights(mode, namespace string) ([]*unstructured.Unstructured, error) {
	file := "rbac/member-" + mode + ".yaml"
	if namespace != "" {
		file = "rbac/member-" + mode + "-namespaced.yaml"
	}
	text, err := deploy.RBAC.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the rights of a member: %w", err)
	}
	if namespace != "" {
		text = bytes.ReplaceAll(text, []byte(deploy.Tenant), []byte(namespace))
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		switch err := decoder.Decode(&object.Object); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("reading %s: %w", file, err)
		case len(object.Object) > 0:
			objects = append(objects, object)
		}
	}
}

func secretOf(l Line) (*unstructured.Unstructured, error) {
	data := map[string][]byte{
		identity.KeyMember: []byte(l.Member), identity.KeyServer: []byte(l.Server),
		identity.KeyCA: l.CA, identity.KeyJoinToken: []byte(l.Token),
	}
	if l.Namespace != "" {
		data[identity.KeyNamespace] = []byte(l.Namespace)
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: AgentName(l.Namespace)},
		Type:       corev1.SecretTypeOpaque, Data: data,
	})
	if err != nil {
		return nil, fmt.Errorf("the agent's Secret: %w", err)
	}
	return &unstructured.Unstructured{Object: content}, nil
}

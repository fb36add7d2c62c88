package fleet

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	nodesPerMember = 2
	nodesTimeout   = 60 * time.Second
)

// makeNodes makes the fake nodes and waits until pods can be scheduled to them
// and the default ServiceAccount, without which no pod is admitted, is there.
func makeNodes(ctx context.Context, c client.Client) error {
	for i := range nodesPerMember {
		node := fakeNode(fmt.Sprintf("node-%d", i+1))
		if err := c.Create(ctx, node); err != nil {
			return fmt.Errorf("creating Node %s: %w", node.Name, err)
		}
	}
	return poll(ctx, nodesTimeout, readyPoll, func(ctx context.Context) error { return checkSchedulable(ctx, c) })
}

func checkSchedulable(ctx context.Context, c client.Client) error {
	var nodes corev1.NodeList
	if err := c.List(ctx, &nodes); err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	for _, n := range nodes.Items {
		if len(n.Spec.Taints) > 0 {
			return fmt.Errorf("node %s is tainted with %s", n.Name, n.Spec.Taints[0].Key)
		}
	}
	sa := client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "default"}
	if err := c.Get(ctx, sa, &corev1.ServiceAccount{}); err != nil {
		return fmt.Errorf("reading ServiceAccount %s: %w", sa, err)
	}
	return nil
}

// fakeNode is a node whose status kwok will write.
func fakeNode(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64", "type": "kwok",
	}}}
}

package fleet_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/example/myapp-hub/test/fleet/fleet"
)

const patience = 30 * time.Second

// One fleet for all of these: starting it takes the most time.
func TestFleet(t *testing.T) {
	f := fleet.Start(t, fleet.WithoutControllers(), fleet.DeployDir("testdata/deploy"),
		fleet.Bare("eu-1"), fleet.Labels("eu-1", map[string]string{"region": "eu"}), fleet.Unjoined("eu-2"))
	hub, bare, full := f.Cluster(fleet.HubName), f.Cluster("eu-1"), f.Cluster("eu-2")

	t.Run("certificates are verified", func(t *testing.T) { testTLS(t, hub, bare) })
	t.Run("joining registers the member", func(t *testing.T) { testJoined(t, hub, bare) })
	t.Run("an unjoined member is not registered", func(t *testing.T) { testNotJoined(t, hub, full) })
	t.Run("a Deployment becomes ready", func(t *testing.T) { testDeployment(t, full, "registry.example.com/web:1", 3) })
	t.Run("a broken image does not", func(t *testing.T) { testDeployment(t, full, "registry.example.com/web:broken", 0) })
	t.Run("a broken image is reported", func(t *testing.T) { testFailedEvent(t, full) })
	t.Run("a pod waits as its annotation says", func(t *testing.T) { testReadyAfter(t, full) })
	t.Run("a crashed API server comes back with its data", func(t *testing.T) { testCrash(t, bare) })
	t.Run("a crashed member runs Deployments again", func(t *testing.T) {
		testCrash(t, full)
		testDeployment(t, full, "registry.example.com/web:2", 3)
	})
	t.Run("a partition hides a cluster from the proxy only", func(t *testing.T) { testPartition(t, bare) })
	t.Run("requests are audited", func(t *testing.T) { testAudit(t, bare) })
}

func testTLS(t *testing.T, hub, member *fleet.Cluster) {
	cfg := member.Admin()
	cfg.CAData = hub.Admin().CAData
	_, err := get(t, cfg, "/version")
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(err, &unknown) {
		t.Errorf("with the CA of another cluster: %v, want an unknown authority", err)
	}
	cfg = member.Admin()
	cfg.CertData, cfg.KeyData = hub.Admin().CertData, hub.Admin().KeyData
	if code, err := get(t, cfg, "/api/v1/namespaces"); err != nil || code != http.StatusUnauthorized {
		t.Errorf("with the client certificate of another cluster: %d and %v, want 401", code, err)
	}
	for _, cfg := range []*rest.Config{member.Admin(), member.AdminViaProxy()} {
		if code, err := get(t, cfg, "/api/v1/namespaces"); err != nil || code != http.StatusOK {
			t.Errorf("%s: %d and %v, want 200", cfg.Host, code, err)
		}
	}
}

func testJoined(t *testing.T, hub, member *fleet.Cluster) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: fleet.HubNamespace, Name: member.Name() + "-kubeconfig"}
	if err := hub.Client().Get(t.Context(), key, &secret); err != nil {
		t.Fatal(err)
	}
	if config := string(secret.Data["kubeconfig"]); !strings.Contains(config, member.ProxyURL()) {
		t.Errorf("the hub's kubeconfig does not go through the proxy %s:\n%s", member.ProxyURL(), config)
	}
	code, err := get(t, hub.Admin(), "/apis/example.com/v1/memberclusters/"+member.Name())
	if err != nil || code != http.StatusOK {
		t.Errorf("reading the MemberCluster: %d and %v", code, err)
	}
	for _, file := range []string{member.Kubeconfig(), hub.Kubeconfig()} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, mode %v, want 0600", file, err, info.Mode())
		}
	}
}

func testNotJoined(t *testing.T, hub, member *fleet.Cluster) {
	code, err := get(t, hub.Admin(), "/apis/example.com/v1/memberclusters/"+member.Name())
	if err != nil || code != http.StatusNotFound {
		t.Errorf("reading the MemberCluster: %d and %v, want 404", code, err)
	}
}

func testDeployment(t *testing.T, c *fleet.Cluster, image string, ready int32) {
	labels := map[string]string{"app": t.Name()[strings.LastIndex(t.Name(), "/")+1:]}
	replicas := int32(3)
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "web-"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: image}}},
			},
		},
	}
	if err := c.Client().Create(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	fleet.Eventually(t, patience, "the pods to settle", func(ctx context.Context) error {
		if err := c.Client().Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
			return err
		}
		var pods corev1.PodList
		if err := c.Client().List(ctx, &pods, client.MatchingLabels(labels)); err != nil {
			return err
		}
		for _, p := range pods.Items {
			if len(p.Status.ContainerStatuses) == 0 {
				return fmt.Errorf("pod %s has no status yet", p.Name)
			}
		}
		if d.Status.UpdatedReplicas != replicas || d.Status.ReadyReplicas != ready {
			return fmt.Errorf("%d pods, %d ready, want %d", d.Status.UpdatedReplicas, d.Status.ReadyReplicas, ready)
		}
		return nil
	})
	if err := c.Client().Delete(t.Context(), d, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
		t.Fatal(err)
	}
	fleet.Eventually(t, patience, "the Deployment and its pods to go", func(ctx context.Context) error {
		err := c.Client().Get(ctx, client.ObjectKeyFromObject(d), d)
		if err == nil {
			return errors.New("it is there")
		}
		return client.IgnoreNotFound(err)
	})
}

func testFailedEvent(t *testing.T, c *fleet.Cluster) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "broken"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "fine", Image: "registry.example.com/fine:1"}, {Name: "broken", Image: "registry.example.com/web:broken"},
		}},
	}
	mustCreate(t, c.Client(), pod)
	fleet.Eventually(t, patience, "the pod to fail", func(ctx context.Context) error {
		if err := c.Client().Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if s := pod.Status.ContainerStatuses; len(s) != 2 || s[1].State.Waiting == nil || s[1].State.Waiting.Reason != "ImagePullBackOff" {
			return fmt.Errorf("its containers are %v", s)
		}
		return nil
	})
	// Written before the status, so there is nothing to wait for.
	var events corev1.EventList
	if err := c.Client().List(t.Context(), &events, client.InNamespace("default")); err != nil {
		t.Fatal(err)
	}
	const want = `Failed to pull image "registry.example.com/web:broken": not found`
	for _, e := range events.Items {
		if e.InvolvedObject.UID != pod.UID || e.Reason != "Failed" {
			continue
		}
		if e.Type != corev1.EventTypeWarning || e.Message != want || e.InvolvedObject.Name != pod.Name || e.LastTimestamp.IsZero() {
			t.Errorf("got %+v, want a warning: %s", e, want)
		}
		return
	}
	t.Errorf("none of %d events says that the image cannot be pulled", len(events.Items))
}

func testReadyAfter(t *testing.T, c *fleet.Cluster) {
	const delay = time.Second
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "slow", Annotations: map[string]string{
			"fleet.example.com/ready-after": delay.String(),
		}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "slow", Image: "registry.example.com/slow:1"}}},
	}
	started := time.Now()
	if err := c.Client().Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	fleet.Eventually(t, patience, "the pod to run", func(ctx context.Context) error {
		if err := c.Client().Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return nil
	})
	if took := time.Since(started); took < delay {
		t.Errorf("it ran after %s, want %s at least", took, delay)
	}
}

func testCrash(t *testing.T, c *fleet.Cluster) {
	config := configMap("survivor")
	if err := c.Client().Create(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := c.Crash(); err != nil {
		t.Fatal(err)
	}
	if c.APIServer().Running() {
		t.Error("the API server runs after a crash")
	}
	for _, cfg := range []*rest.Config{c.Admin(), c.AdminViaProxy()} {
		if code, err := get(t, cfg, "/readyz"); err == nil {
			t.Errorf("%s answers %d after a crash", cfg.Host, code)
		}
	}
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(config), config); err != nil {
		t.Error(err)
	}
}

func testPartition(t *testing.T, c *fleet.Cluster) {
	c.Partition()
	defer c.Heal()
	_, err := get(t, c.AdminViaProxy(), "/readyz")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("through the proxy: %v, want silence", err)
	}
	if _, err := get(t, c.Admin(), "/readyz"); err != nil {
		t.Errorf("past the proxy: %v", err)
	}
	c.Heal()
	if _, err := get(t, c.AdminViaProxy(), "/readyz"); err != nil {
		t.Errorf("after healing: %v", err)
	}
}

func testAudit(t *testing.T, c *fleet.Cluster) {
	mark := c.AuditMark()
	config := configMap("audited")
	if err := c.Client().Create(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if err := c.Client().Create(t.Context(), configMap("audited")); !apierrors.IsAlreadyExists(err) {
		t.Fatalf("creating it again: %v", err)
	}
	fleet.Eventually(t, patience, "both requests to be in the audit log", func(context.Context) error {
		events, err := c.AuditSince(mark)
		if err != nil {
			return err
		}
		var codes []int
		for _, e := range events {
			if e.User == "fleet-admin" && e.Write() && e.Resource == "configmaps" && e.APIGroup == "" && e.Namespace == "default" {
				codes = append(codes, e.Code)
			}
		}
		if len(codes) != 2 || codes[0] != http.StatusCreated || codes[1] != http.StatusConflict {
			return fmt.Errorf("codes are %v, want 201 and 409", codes)
		}
		return nil
	})
}

func TestDownLeavesNothingBehind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fleet")
	f, err := fleet.Up(t.Context(), fleet.Config{
		Dir: dir, DeployDir: "testdata/deploy", NoControllers: true,
		Members: []fleet.MemberConfig{{Name: "eu-1", Bare: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(processesWith(t, dir)) != len(f.Processes()) {
		t.Errorf("%v run, want %d", processesWith(t, dir), len(f.Processes()))
	}
	for range 2 { // again: nothing happens
		if err := f.Down(); err != nil {
			t.Error(err)
		}
	}
	if left := processesWith(t, dir); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
	if err := f.Cluster("eu-1").APIServer().Start(); err == nil {
		t.Error("an API server can be started after Down")
		if err := f.Down(); err != nil {
			t.Error(err)
		}
	}
}

func TestUpThatFailsLeavesNothingBehind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "fleet")
	_, err := fleet.Up(t.Context(), fleet.Config{Dir: dir, DeployDir: t.TempDir(), NoControllers: true})
	if err == nil || !strings.Contains(err.Error(), "crds") {
		t.Errorf("without CRDs: %v", err)
	}
	if left := processesWith(t, dir); len(left) > 0 {
		t.Errorf("left running: %v", left)
	}
}

func TestAddMemberThatFailsCanBeTriedAgain(t *testing.T) {
	f := fleet.Start(t, fleet.WithoutControllers(), fleet.DeployDir("testdata/deploy"))
	m := fleet.MemberConfig{Name: "eu-1", Bare: true, Labels: map[string]string{"region": "the hub refuses this"}}
	if err := f.AddMember(t.Context(), m); err == nil || f.Cluster(m.Name) != nil || f.Process("eu-1-apiserver") != nil {
		t.Errorf("adding a member that the hub refuses: %v; what runs: %v", err, processesWith(t, f.Dir()))
	}
	m.Labels = nil
	if err := f.AddMember(t.Context(), m); err != nil {
		t.Error(err)
	}
	if err := f.AddMember(t.Context(), m); err == nil {
		t.Error("a member was added twice")
	}
}

// processesWith lists the processes whose command line names dir.
func processesWith(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		t.Skip("no /proc here")
	}
	var out []string
	for _, file := range files {
		// A process that has just ended cannot be read.
		if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), dir) {
			out = append(out, filepath.Base(strings.SplitN(string(b), "\x00", 2)[0]))
		}
	}
	return out
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
}

// get asks an API server for a path, on a connection of its own.
func get(t *testing.T, cfg *rest.Config, path string) (int, error) {
	t.Helper()
	tlsConfig, err := rest.TLSConfigFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig}
	defer transport.CloseIdleConnections()
	c := &http.Client{Transport: transport, Timeout: time.Second}
	resp, err := c.Get(cfg.Host + path)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/join"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// helm runs the Helm that `make helm` has built, in the directory of the charts.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(expect.Root(t), "bin", "helm"), args...) //nolint:gosec // built here
	cmd.Dir = filepath.Join(expect.Root(t), "deploy", "charts")
	cmd.Env = append(cmd.Environ(), "HOME="+t.TempDir())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String() + stderr.String(), err
	}
	return stdout.String(), nil
}

// rendered are the objects of a chart with values.
func rendered(t *testing.T, chart string, values ...string) []*unstructured.Unstructured {
	t.Helper()
	args := []string{"template", "myapp-" + chart, chart, "--namespace=" + fleet.HubNamespace}
	for _, v := range values {
		args = append(args, "--set="+v)
	}
	out, err := helm(t, args...)
	if err != nil {
		t.Fatalf("helm template %s %v: %v\n%s", chart, values, err, out)
	}
	return documents(t, out)
}

func documents(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := decoder.Decode(&o.Object); errors.Is(err, io.EOF) {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) > 0 {
			objects = append(objects, o)
		}
	}
}

// everyValue turns on what is off by default, but what needs another operator's kinds.
var everyValue = map[string][]string{
	"hub": {
		"replicas=3", "logging.format=text", "logging.verbosity=2", "prometheus={http://prometheus.monitoring:9090}", "extraArgs={--pprof-bind-address=127.0.0.1:6060}",
		"monitoring.dashboard.enabled=true", "webhook.failurePolicy=Fail", "priorityClassName=system-cluster-critical", "nodeSelector.disk=ssd",
		"tolerations[0].operator=Exists", "imagePullSecrets[0].name=registry", "podAnnotations.a=b", "podLabels.c=d", "serviceAccountAnnotations.e=f", "crds.keep=false",
	},
	"agent": {
		"member=us-1", "logging.format=text", "proxy=http://proxy.example.com:3128", "extraArgs={--heartbeat-interval=10s}", "priorityClassName=system-cluster-critical",
		"nodeSelector.disk=ssd", "tolerations[0].operator=Exists", "imagePullSecrets[0].name=registry", "podAnnotations.a=b", "podLabels.c=d",
	},
}

// required are the values without which a chart is refused.
var required = map[string][]string{"hub": nil, "agent": {"member=us-1"}}

// Charts are clean, an API server takes all that they install, and their pods run where
// pods are restricted.
func TestCharts(t *testing.T) {
	f := sharedFleet(t)
	c := f.Client(bare)
	restricted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fleet.HubNamespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}
	if err := c.Create(t.Context(), restricted); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	for _, chart := range []string{"hub", "agent"} {
		for name, values := range map[string][]string{"Default": required[chart], "Everything": everyValue[chart]} {
			t.Run(chart+name, func(t *testing.T) {
				args := []string{"lint", "--strict", chart}
				for _, v := range values {
					args = append(args, "--set="+v)
				}
				if out, err := helm(t, args...); err != nil {
					t.Errorf("helm lint: %v\n%s", err, out)
				}
				objects := rendered(t, chart, values...)
				for _, o := range objects {
					takenBy(t, c, o)
				}
				podsAdmitted(t, c, objects)
			})
		}
	}
}

// takenBy has an API server say whether it would take an object.
func takenBy(t *testing.T, c client.Client, o *unstructured.Unstructured) {
	t.Helper()
	err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o.DeepCopy()), client.FieldOwner("helm"), client.ForceOwnership, client.DryRunAll)
	if err != nil {
		t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
	}
}

// podsAdmitted has an API server say whether it would take a pod of each Deployment, and that
// it is one that does not take every pod.
func podsAdmitted(t *testing.T, c client.Client, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		if o.GetKind() == "ServiceAccount" { // without it no pod is admitted
			if err := c.Create(t.Context(), o.DeepCopy()); err != nil && !apierrors.IsAlreadyExists(err) {
				t.Fatal(err)
			}
		}
	}
	pods := 0
	for _, d := range deployments(t, objects) {
		pods++
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, GenerateName: d.Name + "-"}, Spec: d.Spec.Template.Spec}
		if pod.Spec.PriorityClassName != "" {
			pod.Spec.PriorityClassName = "" // a quota of its own lets it into few namespaces
		}
		if err := c.Create(t.Context(), pod.DeepCopy(), client.DryRunAll); err != nil {
			t.Errorf("a pod of %s: %v", d.Name, err)
		}
		pod.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = ptr.To(true)
		if err := c.Create(t.Context(), pod, client.DryRunAll); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
			t.Errorf("a pod of %s that may escalate was not refused by PodSecurity: %v", d.Name, err)
		}
	}
	if pods == 0 {
		t.Error("the chart has no Deployment")
	}
}

func deployments(t *testing.T, objects []*unstructured.Unstructured) []*appsv1.Deployment {
	t.Helper()
	var found []*appsv1.Deployment
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		d := &appsv1.Deployment{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, d, true); err != nil {
			t.Fatalf("Deployment %s: %v", o.GetName(), err)
		}
		found = append(found, d)
	}
	return found
}

// Values that cannot work are refused, and the message says what to do.
func TestChartsRefuse(t *testing.T) {
	for _, c := range []struct {
		chart  string
		values []string
		want   string
	}{
		{"hub", []string{"replica=2"}, "replica"},
		{"hub", []string{"replicas=two"}, "replicas"},
		{"hub", []string{"webhook.failurePolicy=Maybe"}, "failurePolicy"},
		{"hub", []string{"image.digest=abc"}, "digest"},
		{"hub", []string{"resources.limits.memory=1.5Gi"}, "memory"},
		{"hub", []string{"image.repository=registry.example.com/hub:v1"}, "repository"},
		{"hub", []string{"prometheus={http://}"}, "prometheus"},
		{"agent", []string{"member=us-1", "memberNamespace=kube-system"}, "choose a namespace of apps"},
		{"agent", nil, "member"},
		{"agent", []string{"member=US_1"}, "member"},
		{"agent", []string{"member=us-1", "token=abc"}, "token"},
		{"agent", []string{"member=us-1", "tenantServiceAccount=t"}, "set rights.create to false"},
		{"agent", []string{"member=us-1", "tenantServiceAccount=t", "rights.create=false", "memberNamespace=n"}, "set one of them"},
	} {
		args := []string{"template", "x", c.chart, "--namespace=" + fleet.HubNamespace}
		for _, v := range c.values {
			args = append(args, "--set="+v)
		}
		if out, err := helm(t, args...); err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s with %v: %v, want a message with %q:\n%s", c.chart, c.values, err, c.want, out)
		}
	}
	if out, err := helm(t, "template", "x", "agent", "--namespace=elsewhere", "--set=member=us-1"); err == nil || !strings.Contains(out, "add --namespace") {
		t.Errorf("the agent elsewhere: %v\n%s", err, out)
	}
}

// A chart that was fetched without its links installs nothing rather than half of it.
func TestChartsAreWhole(t *testing.T) {
	for chart, values := range required {
		broken := filepath.Join(t.TempDir(), chart)
		if err := os.CopyFS(broken, os.DirFS(filepath.Join(expect.Root(t), "deploy", "charts", chart))); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(broken, "files")); err != nil {
			t.Fatal(err)
		}
		args := []string{"template", "x", broken, "--namespace=" + fleet.HubNamespace}
		for _, v := range values {
			args = append(args, "--set="+v)
		}
		if out, err := helm(t, args...); err == nil || !strings.Contains(out, "the chart is not whole") {
			t.Errorf("%s: %v\n%s", chart, err, out)
		}
	}
}

// The plugin does not take an agent away from the chart that has installed it, and does not
// leave a wish for another address of the hub unsaid.
func TestJoinBesideCharts(t *testing.T) {
	f := sharedFleet(t)
	c := f.Client(bare)
	line := join.Line{Member: "us-1", Namespace: "beside-charts", Server: "https://hub.example.com"}
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: join.Namespace}}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	if err := join.CheckNoChart(t.Context(), c, line); err != nil {
		t.Errorf("there is no agent: %v", err)
	}
	agent := join.Agent(line, join.AgentOptions{Image: "myapp-hub/agent:v1"})
	if err := c.Create(t.Context(), agent); err != nil {
		t.Fatal(err)
	}
	if err := join.CheckNoChart(t.Context(), c, line); err != nil {
		t.Errorf("the plugin has installed the agent: %v", err)
	}
	agent.Labels[v1.LabelManagedBy] = "Helm"
	if err := c.Update(t.Context(), agent); err != nil {
		t.Fatal(err)
	}
	if err := join.CheckNoChart(t.Context(), c, line); err == nil || !strings.Contains(err.Error(), "add --secret-only") {
		t.Errorf("Helm has installed the agent: %v", err)
	}
	_, err := join.CreateToken(t.Context(), f.Client(fleet.HubName), join.TokenOptions{
		Member: "beside-charts", TTL: join.ShortestTTL, HubNamespace: fleet.HubNamespace, Insist: true, Server: line.Server, MailboxTimeout: soon,
	})
	if err == nil || !strings.Contains(err.Error(), "not at "+line.Server) {
		t.Errorf("another address of the hub: %v", err)
	}
}

// The switches do what they say, and what is for other operators is what those expect.
func TestChartSwitches(t *testing.T) {
	for _, c := range []struct {
		values          []string
		with, without   []string
		annotatedToKeep bool
	}{
		{nil, []string{"ClusterRole myapp-hub-webhook", "CustomResourceDefinition", "ValidatingWebhookConfiguration", "NetworkPolicy", "Secret"}, []string{"PodDisruptionBudget", "ServiceMonitor", "Certificate"}, true},
		{[]string{"crds.enabled=false", "webhook.enabled=false", "networkPolicy.enabled=false"}, nil, []string{"CustomResourceDefinition", "ValidatingWebhookConfiguration", "NetworkPolicy", "Secret"}, true},
		{[]string{"crds.keep=false", "replicas=2"}, []string{"PodDisruptionBudget"}, nil, false},
		{[]string{"webhook.certManager.enabled=true"}, []string{"Certificate", "Issuer"}, []string{"Secret", "ClusterRole myapp-hub-webhook"}, true},
		{[]string{"webhook.certManager.enabled=true", "webhook.certManager.issuerRef.name=platform"}, []string{"Certificate"}, []string{"Issuer"}, true},
		{[]string{"monitoring.serviceMonitor.enabled=true", "monitoring.prometheusRule.enabled=true", "monitoring.dashboard.enabled=true"}, []string{"ServiceMonitor", "PrometheusRule", "ConfigMap"}, nil, true},
	} {
		kinds := map[string]int{}
		for _, o := range rendered(t, "hub", c.values...) {
			kinds[o.GetKind()]++
			kinds[o.GetKind()+" "+o.GetName()]++
			if kept := o.GetAnnotations()["helm.sh/resource-policy"] == "keep"; o.GetKind() == "CustomResourceDefinition" && kept != c.annotatedToKeep {
				t.Errorf("%v: CustomResourceDefinition %s is kept: %t", c.values, o.GetName(), kept)
			}
			if groups, _, _ := unstructured.NestedSlice(o.Object, "spec", "groups"); o.GetKind() == "PrometheusRule" && len(groups) == 0 {
				t.Errorf("%v: the PrometheusRule has no groups", c.values)
			}
		}
		for _, kind := range c.with {
			if kinds[kind] == 0 {
				t.Errorf("%v: there is no %s", c.values, kind)
			}
		}
		for _, kind := range c.without {
			if kinds[kind] > 0 {
				t.Errorf("%v: there are %d of %s", c.values, kinds[kind], kind)
			}
		}
	}
	// Nothing may be left in the namespace of another installation.
	out, err := helm(t, "template", "x", "hub", "--namespace=elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := documents(t, out)
	for _, o := range elsewhere {
		if o.GetNamespace() != "" && o.GetNamespace() != "elsewhere" {
			t.Errorf("%s %s is in namespace %s", o.GetKind(), o.GetName(), o.GetNamespace())
		}
	}
	names := func(objects []*unstructured.Unstructured) []string { return slices.Sorted(maps.Keys(specs(objects))) }
	if diff := cmp.Diff(names(rendered(t, "hub")), names(elsewhere)); diff != "" {
		t.Errorf("in another namespace other objects are installed:\n%s", diff)
	}
	if !slices.ContainsFunc(elsewhere, func(o *unstructured.Unstructured) bool {
		return o.GetName() == "myapp-hub-tenants" && strings.Contains(fmt.Sprint(o.Object), "'myapp-hub-system', 'elsewhere'")
	}) {
		t.Error("apps are not kept out of the hub's namespace")
	}
}

// Without Helm the same is installed.
func TestKustomizationIsTheChart(t *testing.T) {
	out := mustKubectl(t, sharedFleet(t).Cluster(bare), "", "kustomize", filepath.Join(expect.Root(t), "deploy"))
	plain := documents(t, out)
	c := sharedFleet(t).Client(bare)
	for _, o := range plain {
		takenBy(t, c, o)
	}
	want := specs(rendered(t, "hub"))
	got := specs(plain)
	delete(got, "Namespace "+fleet.HubNamespace) // Helm makes it by a flag
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("`kubectl apply -k deploy` installs something else than the chart (-chart +kustomization):\n%s", diff)
	}
}

// specs are what objects say beside their metadata, and where they are, by kind and name.
func specs(objects []*unstructured.Unstructured) map[string]any {
	out := map[string]any{}
	for _, o := range objects {
		content := maps.Clone(o.Object)
		content["metadata"] = o.GetNamespace() // labels differ
		out[o.GetKind()+" "+o.GetName()] = alike(content)
	}
	return out
}

// alike makes values the same that differ only by who has read and written the YAML: folded
// lines, and kinds of numbers.
func alike(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key := range v {
			out[key] = alike(v[key])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = alike(v[i])
		}
		return out
	case string:
		return strings.Join(strings.Fields(v), " ")
	case int64:
		return float64(v)
	}
	return value
}

// kubectl myapp join and the chart install the same agent.
func TestAgentChartIsWhatJoinInstalls(t *testing.T) {
	for _, c := range []struct {
		namespace string
		options   join.AgentOptions
		values    []string
	}{
		{"", join.AgentOptions{}, nil},
		{"", join.AgentOptions{Proxy: "http://proxy.example.com:3128"}, []string{"proxy=http://proxy.example.com:3128"}},
		{"shop", join.AgentOptions{}, []string{"memberNamespace=shop"}},
	} {
		line := join.Line{Member: "us-1", Namespace: c.namespace}
		objects, err := join.Objects(line, "")
		if err != nil {
			t.Fatal(err)
		}
		c.options.Image = "myapp-hub/agent:v1"
		for _, o := range []client.Object{join.Agent(line, c.options), join.Network(line)} {
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
			if err != nil {
				t.Fatal(err)
			}
			objects = append(objects, &unstructured.Unstructured{Object: content})
		}
		chart := rendered(t, "agent", slices.Concat([]string{"member=us-1", "image.tag=v1"}, c.values)...)
		for _, o := range slices.Concat(objects, chart) {
			delete(o.Object, "status")
			if o.GetKind() == "ServiceAccount" && o.GetAnnotations()["example.com/member"] != "us-1" {
				t.Errorf("%v: account %s does not say whose it is", c.values, o.GetName())
			}
		}
		joined, installed := specs(objects), specs(chart)
		delete(joined, "Namespace "+join.Namespace)
		delete(joined, "Secret "+join.AgentName(c.namespace)) // nothing secret is in the chart
		deployment := "Deployment " + join.AgentName(c.namespace)
		joined[deployment], installed[deployment] = plainDeployment(t, objects), plainDeployment(t, chart)
		if diff := cmp.Diff(joined, installed); diff != "" {
			t.Errorf("%v: -join +chart\n%s", c.values, diff)
		}
	}
}

// plainDeployment is the only Deployment, without what is a matter of taste.
func plainDeployment(t *testing.T, objects []*unstructured.Unstructured) appsv1.DeploymentSpec {
	t.Helper()
	found := deployments(t, objects)
	if len(found) != 1 {
		t.Fatalf("there are %d Deployments", len(found))
	}
	spec := found[0].Spec
	spec.RevisionHistoryLimit = nil
	spec.Template.ObjectMeta = metav1.ObjectMeta{}
	container := &spec.Template.Spec.Containers[0]
	container.ImagePullPolicy = ""
	container.Args = slices.DeleteFunc(container.Args, func(arg string) bool {
		return strings.HasPrefix(arg, "--log-format=") || strings.HasPrefix(arg, "--v=")
	})
	return spec
}

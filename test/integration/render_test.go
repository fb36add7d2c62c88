package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/cli"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// kubectlMyapp runs the plugin against the hub.
func kubectlMyapp(t *testing.T, f *fleet.Fleet, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := cli.Command()
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(append(args, "--kubeconfig", f.Cluster(fleet.HubName).Kubeconfig()))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// What `kubectl myapp render` shows of a member is what the member has.
func TestRenderShowsWhatMembersGet(t *testing.T) {
	f := sharedFleet(t)
	app := expect.App(namespace(t, f), "web", expect.On("push-1", "pull-1"))
	app.Spec.Overrides = []v1.Override{{ClusterNames: []v1.ClusterName{"pull-1"}, Image: &v1.ImageOverride{Registry: "mirror.example.com"}}}
	expect.Create(t, f, app)
	expect.Ready(t, f, soon, key(app.Namespace, "web"), "push-1", "pull-1")
	for _, member := range []string{"push-1", "pull-1"} {
		out, err := kubectlMyapp(t, f, "render", "web", "-n", app.Namespace, "--cluster", member)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var shown appsv1.Deployment
		for _, document := range strings.Split(out, "---\n")[1:] {
			if !strings.HasPrefix(document, "# member "+member+": ") {
				t.Errorf("a document does not begin with its member and object:\n%s", document)
			}
			if strings.Contains(document, "Deployment "+app.Namespace+"/web\n") {
				if err := yaml.Unmarshal([]byte(document), &shown); err != nil {
					t.Fatal(err)
				}
			}
		}
		has := expect.Deployment(t, f, member, key(app.Namespace, "web"))
		if shown.Annotations[v1.AnnotationContentHash] == "" && shown.Spec.Template.Spec.Containers == nil {
			t.Fatalf("%s: no Deployment is shown:\n%s", member, out)
		}
		if got, want := shown.Spec.Template.Spec.Containers[0].Image, has.Spec.Template.Spec.Containers[0].Image; got != want {
			t.Errorf("%s: image %s is shown, and the member has %s", member, got, want)
		}
	}
}

func TestRenderOfFilesAndMistakes(t *testing.T) {
	f := sharedFleet(t)
	file := func(spec string) string {
		t.Helper()
		name := filepath.Join(t.TempDir(), "app.yaml")
		text := "apiVersion: example.com/v1\nkind: MyApp\nmetadata: {name: web}\n" + spec + "\n"
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := `spec: {image: "nginx:$(cluster.name)", envFrom: [{secretRef: {name: keys}}]}`
	for _, tt := range []struct {
		reason string
		args   []string
		says   []string
		fails  bool
	}{
		{"a file that was never applied, for all members", []string{"-f", file(good)}, []string{"nginx:push-1", "nginx:pull-2", "name: web.keys"}, false},
		{"no app and no file", nil, []string{"name a MyApp or a file"}, true},
		{"a member that is none", []string{"-f", file(good), "--cluster", "moon"}, []string{"there is no MemberCluster moon"}, true},
		{"a field that is none", []string{"-f", file(`spec: {imag: a}`)}, []string{"imag"}, true},
		{"a spec that the hub would refuse", []string{"-f", file(`spec: {image: "$(cluster.nam)"}`)}, []string{"spec.image", "$(cluster.nam)"}, true},
		{"a variable that no member has", []string{"-f", file(`spec: {image: "a:$(cluster.labels.colour)"}`)}, []string{"colour"}, true},
		{"an app that does not exist", []string{"nothing"}, []string{"not found"}, true},
	} {
		out, err := kubectlMyapp(t, f, append([]string{"render", "-n", "default"}, tt.args...)...)
		if (err != nil) != tt.fails {
			t.Errorf("%s: %v\n%s", tt.reason, err, out)
		}
		for _, want := range tt.says {
			if text := fmt.Sprint(out, err); !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in %s", tt.reason, want, text)
			}
		}
	}
}

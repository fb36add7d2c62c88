package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// podsOf are the UIDs of an app's pods on a member that are not being deleted,
// with the hash of the files that they were started with.
func podsOf(ctx context.Context, f *fleet.Fleet, member string, app types.NamespacedName) (map[types.UID]string, error) {
	var pods corev1.PodList
	err := f.Cluster(member).Client().List(ctx, &pods, client.InNamespace(app.Namespace), client.MatchingLabels{v1.LabelApp: app.Name})
	found := map[types.UID]string{}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil {
			found[p.UID] = p.Annotations[v1.AnnotationConfigHash]
		}
	}
	return found, err
}

// A change of a file of spec.config arrives everywhere, in pods that are new.
func TestConfigRollsPods(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "push-2", "pull-1", "pull-2"}
	app := key(namespace(t, f), "web")
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.On(members...), func(a *v1.MyApp) {
		a.Spec.Config = map[string]v1.ConfigValue{"app.yaml": "level: info"}
	}))
	expect.Ready(t, f, soon, app, members...)
	old, hash := map[types.UID]bool{}, ""
	for _, m := range members {
		pods, err := podsOf(t.Context(), f, m, app)
		if err != nil || len(pods) != 1 {
			t.Fatalf("%s has the pods %v (%v)", m, pods, err)
		}
		for uid, of := range pods {
			old[uid], hash = true, of
		}
	}
	expect.Edit(t, f, app, func(a *v1.MyApp) { a.Spec.Config["app.yaml"] = "level: debug" })
	expect.Ready(t, f, soon, app, members...)
	for _, m := range members {
		fleet.Eventually(t, soon, "new pods on "+m, func(ctx context.Context) error {
			pods, err := podsOf(ctx, f, m, app)
			if err != nil || len(pods) != 1 {
				return fmt.Errorf("there are %d (%w)", len(pods), err)
			}
			for uid, of := range pods {
				if old[uid] || of == hash || of == "" {
					return fmt.Errorf("the pod is an old one, or has the old files (%s)", of)
				}
			}
			return nil
		})
		config := &corev1.ConfigMap{}
		if err := f.Cluster(m).Client().Get(t.Context(), app, config); err != nil || config.Data["app.yaml"] != "level: debug" {
			t.Errorf("%s has the files %v (%v)", m, config.Data, err)
		}
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

// What is said anew about one member is written on that member and on no other.
func TestMembersChangeAlone(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "push-2", "pull-1", "pull-2"}
	clusters := append([]string{fleet.HubName}, members...)
	app := key(namespace(t, f), "web")
	for _, m := range members {
		describeMember(t, f, m, map[string]string{"stage": "prod"}, map[string]string{"domain": "example.org"})
	}
	expect.Create(t, f, expect.App(app.Namespace, app.Name, expect.WithService, expect.On(members...), func(a *v1.MyApp) {
		a.Spec.Env = []corev1.EnvVar{{Name: "DOMAIN", Value: "$(cluster.properties.domain)"}}
		a.Spec.Overrides = []v1.Override{{
			ClusterSelector: &v1.ClusterSelector{MatchLabels: map[string]v1.LabelValue{"stage": "canary"}},
			Image:           &v1.ImageOverride{Tag: "2"},
		}}
	}))
	expect.Ready(t, f, soon, app, members...)
	for _, c := range []struct {
		member             string
		labels, properties map[string]string
		works              int
		want               string
	}{
		{"push-1", map[string]string{"stage": "canary"}, nil, 0, "registry.example.com/web:2 example.org"},
		{"pull-1", map[string]string{"stage": "canary"}, nil, 1, "registry.example.com/web:2 example.org"},
		{"push-2", nil, map[string]string{"domain": "example.net"}, 0, "registry.example.com/web:1 example.net"},
		{"pull-2", nil, map[string]string{"domain": "example.net"}, 1, "registry.example.com/web:1 example.net"},
		{"push-1", map[string]string{"unused": "x"}, map[string]string{"unused": "x"}, 0, "registry.example.com/web:2 example.org"},
	} {
		before := markAll(f, clusters...)
		describeMember(t, f, c.member, c.labels, c.properties)
		fleet.Eventually(t, soon, c.member+" to follow", func(context.Context) error {
			container := expect.Deployment(t, f, c.member, app).Spec.Template.Spec.Containers[0]
			if have := container.Image + " " + container.Env[0].Value; have != c.want {
				return fmt.Errorf("it has %s, want %s", have, c.want)
			}
			return nil
		})
		expect.Ready(t, f, soon, app, members...)
		settle(t, f, before, clusters)
		for _, m := range members {
			writes, want := expect.Writes(before.since(t, f, m)), 0
			if m == c.member && c.labels["unused"] == "" {
				want = 1
			}
			if len(writes) != want {
				t.Errorf("%v and %v of %s cost %s these writes, want %d:\n%s", c.labels, c.properties, c.member, m, want, expect.Describe(writes))
			}
		}
		works := 0
		for _, w := range expect.Writes(before.since(t, f, fleet.HubName)) {
			if w.Resource == "works" && w.Subresource == "" {
				works++
			}
		}
		if works != c.works {
			t.Errorf("%v and %v of %s cost %d writes of Works, want %d", c.labels, c.properties, c.member, works, c.works)
		}
	}
	expect.Delete(t, f, app)
	expect.Gone(t, f, soon, app, members...)
}

// A changed Secret is written where an app has it, and nowhere else.
func TestSecretsReachWhoHasThem(t *testing.T) {
	f := sharedFleet(t)
	members := []string{"push-1", "push-2", "pull-1", "pull-2"}
	clusters := append([]string{fleet.HubName}, members...)
	ns := namespace(t, f)
	mustSecret(t, f, ns, "db", "password", "one")
	mustSecret(t, f, ns, "other", "password", "one")
	for name, c := range map[string]struct {
		secret  string
		members []string
	}{"has": {"db", []string{"push-1", "pull-1"}}, "has-not": {"other", []string{"push-2", "pull-2"}}} {
		expect.Create(t, f, expect.App(ns, name, expect.On(c.members...), func(a *v1.MyApp) { a.Spec.EnvFrom = secretRef(c.secret) }))
	}
	expect.Ready(t, f, soon, key(ns, "has"), "push-1", "pull-1")
	expect.Ready(t, f, soon, key(ns, "has-not"), "push-2", "pull-2")
	before := markAll(f, clusters...)
	settle(t, f, before, clusters)

	before = markAll(f, clusters...)
	mustSecret(t, f, ns, "db", "password", "two")
	expectCopies(t, f, copiedSoon, key(ns, "has"), []string{"push-1", "pull-1"}, map[string]string{"has.db": "two"})
	settle(t, f, before, clusters)
	for cluster, want := range map[string]int{fleet.HubName: 1, "push-1": 1, "pull-1": 1, "push-2": 0, "pull-2": 0} {
		if writes := expect.Writes(before.since(t, f, cluster)); len(writes) != want {
			t.Errorf("%s got these writes, want %d:\n%s", cluster, want, expect.Describe(writes))
		}
	}
	expectCopies(t, f, time.Second, key(ns, "has-not"), []string{"push-2", "pull-2"}, map[string]string{"has-not.other": "one"})
	for _, name := range []string{"has", "has-not"} {
		expect.Delete(t, f, key(ns, name))
		expect.Gone(t, f, soon, key(ns, name), members...)
	}
}

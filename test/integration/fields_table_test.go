package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/test/expect"
	"github.com/example/myapp-hub/test/fleet/fleet"
)

// fieldRow is an app that shows what some fields of the API do.
type fieldRow struct {
	// name of the app.
	name string
	// fields are shown, as paths into the spec.
	fields []string
	// before are objects that exist on the members before the app does.
	before string
	// spec is the app's, laid over an image and the placement on both members.
	spec string
	// want is what then holds.
	want []fact
	// edit is a patch of the Deployment by somebody on the members.
	edit string
	// then is laid over the spec afterwards; "delete" deletes the app.
	then string
	// finally is what holds after edit and then.
	finally []fact
}

// fact is what a field of an object has. The object is one on the member, by its
// kind and, if it is not the app's own, its name; or it is the "MyApp", its "row"
// for the member, or its "revisions". In what is wanted MEMBER is the member's
// name; "~" in front asks for a part of the text.
type fact struct{ object, path, want string }

// overlay lays YAML mappings over each other.
func overlay(layers ...string) string {
	merged := map[string]any{}
	for _, layer := range layers {
		var fields map[string]any
		if err := yaml.Unmarshal([]byte(layer), &fields); err != nil {
			panic(fmt.Sprintf("%v in %s", err, layer))
		}
		maps.Copy(merged, fields)
	}
	out, err := json.Marshal(merged)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// Every field of the API is shown by a row that sets it.
func TestEveryFieldHasARow(t *testing.T) {
	missing := map[string]bool{}
	for _, path := range apiFields(reflect.TypeFor[v1.MyAppSpec](), "") {
		missing[path] = true
	}
	// A file on the member, which is alpha in Kubernetes; admission refuses it.
	delete(missing, "env.valueFrom.fileKeyRef")
	all := maps.Clone(missing)
	for _, row := range fieldRows() {
		for _, path := range row.fields {
			delete(missing, path)
			if !all[path] {
				t.Errorf("row %s: %s is no field of MyAppSpec", row.name, path)
			}
			var spec map[string]any
			layers := []string{`image: ""`, row.spec}
			if row.then != "delete" {
				layers = append(layers, row.then)
			}
			if err := json.Unmarshal([]byte(overlay(layers...)), &spec); err != nil {
				t.Fatal(err)
			}
			if !isSet(spec, strings.Split(path, ".")) {
				t.Errorf("row %s does not set %s", row.name, path)
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("no row of fieldRows is about spec.%s", path)
	}
}

// apiFields are the paths of all fields of a type, into the types of our own
// package and those of environment variables.
func apiFields(t reflect.Type, prefix string) []string {
	var paths []string
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner, path := f.Type, prefix+name
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice || inner.Kind() == reflect.Map {
			inner = inner.Elem()
		}
		variables := inner == reflect.TypeFor[corev1.EnvVar]() || inner == reflect.TypeFor[corev1.EnvFromSource]() || inner == reflect.TypeFor[corev1.EnvVarSource]()
		ours := inner.Kind() == reflect.Struct && inner.PkgPath() == reflect.TypeFor[v1.MyAppSpec]().PkgPath()
		if ours || variables && strings.HasPrefix(path, "env") {
			paths = append(paths, apiFields(inner, path+".")...)
			continue
		}
		paths = append(paths, path)
	}
	return paths
}

func isSet(value any, path []string) bool {
	switch value := value.(type) {
	case []any:
		return slices.ContainsFunc(value, func(item any) bool { return isSet(item, path) })
	case map[string]any:
		if len(path) > 0 {
			inner, ok := value[path[0]]
			return ok && isSet(inner, path[1:])
		}
	}
	return len(path) == 0
}

// fieldsRun is the table on a fleet: every app is on a Push and on a Pull member.
type fieldsRun struct {
	f       *fleet.Fleet
	ns      string
	members []string
}

// Every field of the API has its effect on real members, and the same through
// Push and through Pull.
func TestEveryFieldOnMembers(t *testing.T) {
	r := fieldsRun{f: sharedFleet(t), ns: namespace(t, sharedFleet(t)), members: []string{"push-1", "pull-1"}}
	rows := fieldRows()
	for _, m := range r.members {
		describeMember(t, r.f, m, map[string]string{"tier": "edge"}, map[string]string{"domain": "example.org", "registry": "registry.example.org"})
		mayWriteNetworkPolicies(t, r.f, m)
		expectNamespace(t, r.f.Cluster(m), r.ns)
	}
	if err := expect.Secret(t.Context(), r.f, key(r.ns, "db"), map[string]string{"password": "hunter2"}); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	for _, row := range rows {
		r.create(t, row)
	}
	made := map[string]bool{}
	for _, row := range rows {
		made[row.name] = t.Run(row.name, func(t *testing.T) { r.expect(t, row, row.want) })
	}
	t.Logf("%d apps are as wanted on %v after %s", len(rows), r.members, time.Since(started).Round(time.Millisecond))
	for _, row := range rows {
		if made[row.name] {
			r.change(t, row)
		}
	}
	for _, row := range rows {
		if made[row.name] && len(row.finally) > 0 {
			t.Run(row.name+" changed", func(t *testing.T) { r.expect(t, row, row.finally) })
		}
	}
	for _, row := range rows {
		if made[row.name] {
			t.Run(row.name+" is alike", func(t *testing.T) { r.alike(t, row) })
		}
	}
	r.cleanUp(t, rows)
}

func (r fieldsRun) create(t *testing.T, row fieldRow) {
	t.Helper()
	if row.before != "" {
		for _, m := range r.members {
			o := fieldsObject(t, row.before)
			o.SetNamespace(r.ns)
			if err := r.f.Cluster(m).Client().Create(t.Context(), o, client.FieldOwner(expect.Somebody)); err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
		}
	}
	placement := fmt.Sprintf(`{image: "registry.example.com/web:1", placement: {clusterSelector: {matchExpressions: [{key: %s, operator: In, values: [%s]}]}}}`,
		expect.NameLabel, strings.Join(r.members, ", "))
	app := object(t, "MyApp", r.ns, row.name, `{spec: `+overlay(placement, row.spec)+`}`)
	if err := r.f.Cluster(fleet.HubName).Client().Create(t.Context(), app); err != nil {
		t.Errorf("%s: %v", row.name, err)
	}
}

// change makes the row's second step.
func (r fieldsRun) change(t *testing.T, row fieldRow) {
	t.Helper()
	app := key(r.ns, row.name)
	if row.edit != "" {
		for _, m := range r.members {
			if err := expect.Change(t.Context(), r.f.Cluster(m), "Deployment", app, row.edit); err != nil {
				t.Errorf("%s: %v", row.name, err)
			}
		}
	}
	switch row.then {
	case "":
	case "delete":
		expect.Delete(t, r.f, app)
	default:
		patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":`+overlay(row.then)+`}`))
		if err := r.f.Cluster(fleet.HubName).Client().Patch(t.Context(), expect.App(r.ns, row.name), patch); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

// expect waits until the facts hold on both members. Where a row says nothing
// about the state, the app is to be Ready.
func (r fieldsRun) expect(t *testing.T, row fieldRow, facts []fact) {
	t.Helper()
	ofRow := func(f fact) bool {
		return f.object == "row" && f.path != ".replicas" || f.object == "MyApp" && f.path == ".metadata.name"
	}
	if !slices.ContainsFunc(facts, ofRow) {
		facts = append([]fact{{"row", ".state", "Ready"}, {"row", ".updated", "true"}}, facts...)
	}
	for _, m := range r.members {
		fleet.Eventually(t, time.Minute, row.name+" as wanted on "+m, func(ctx context.Context) error {
			for _, f := range facts {
				if err := r.holds(ctx, row.name, m, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func (r fieldsRun) holds(ctx context.Context, app, member string, f fact) error {
	content, err := r.object(ctx, app, member, f.object)
	if err != nil {
		return err
	}
	found, err := expect.Field(content, f.path)
	if err != nil {
		return err
	}
	want := strings.ReplaceAll(f.want, "MEMBER", member)
	if part, ok := strings.CutPrefix(want, "~"); ok && strings.Contains(found, part) {
		return nil
	}
	if found != want {
		return fmt.Errorf("%s %s is %s, want %s", f.object, f.path, found, want)
	}
	return nil
}

// object is what a fact is about.
func (r fieldsRun) object(ctx context.Context, app, member, name string) (map[string]any, error) {
	hub := r.f.Cluster(fleet.HubName)
	kind, name, named := strings.Cut(name, " ")
	if !named {
		name = app
	}
	switch kind {
	case "MyApp":
		return contentOf(expect.Object(ctx, hub, kind, key(r.ns, app)))
	case "row":
		myapp := &v1.MyApp{}
		if err := hub.Client().Get(ctx, key(r.ns, app), myapp); err != nil {
			return nil, err
		}
		row := expect.Row(myapp, member)
		if row == nil || myapp.Status.ObservedGeneration != myapp.Generation {
			return nil, fmt.Errorf("there is no row for generation %d", myapp.Generation)
		}
		data, err := json.Marshal(row)
		if err != nil {
			return nil, err
		}
		content := map[string]any{}
		return content, json.Unmarshal(data, &content)
	case "revisions":
		var revisions appsv1.ControllerRevisionList
		if err := hub.Client().List(ctx, &revisions, client.InNamespace(r.ns)); err != nil {
			return nil, err
		}
		count := 0
		for i := range revisions.Items {
			if owners := revisions.Items[i].OwnerReferences; len(owners) == 1 && owners[0].Name == app {
				count++
			}
		}
		return map[string]any{"count": count}, nil
	}
	return contentOf(expect.Object(ctx, r.f.Cluster(member), kind, key(r.ns, name)))
}

func contentOf(u *unstructured.Unstructured, err error) (map[string]any, error) {
	if u == nil || err != nil {
		return map[string]any{}, err
	}
	return u.Object, nil
}

// alike compares what the app is made of on the two members.
func (r fieldsRun) alike(t *testing.T, row fieldRow) {
	var made []map[string]any
	for _, m := range r.members {
		objects, err := expect.Made(t.Context(), r.f, m, key(r.ns, row.name))
		if err != nil {
			t.Fatal(err)
		}
		if len(objects) == 0 {
			t.Errorf("%s has nothing of the app", m)
		}
		made = append(made, objects)
	}
	if diff := cmp.Diff(made[0], made[1]); diff != "" {
		t.Errorf("the objects differ (-%s +%s):\n%s", r.members[0], r.members[1], diff)
	}
}

func (r fieldsRun) cleanUp(t *testing.T, rows []fieldRow) {
	t.Helper()
	for _, row := range rows {
		expect.Delete(t, r.f, key(r.ns, row.name))
	}
	for _, row := range rows {
		if row.name == "deletion" {
			for _, m := range r.members {
				mustKubectl(t, r.f.Cluster(m), "", "delete", "-n", r.ns, "deployment/deletion", "service/deletion")
			}
			continue
		}
		expect.Gone(t, r.f, soon, key(r.ns, row.name), r.members...)
	}
}

// describeMember adds labels and properties to a MemberCluster until the test ends.
func describeMember(t *testing.T, f *fleet.Fleet, member string, labels, properties map[string]string) {
	t.Helper()
	hub := f.Cluster(fleet.HubName).Client()
	patch := func(ctx context.Context, there bool) error {
		layer := func(of map[string]string) map[string]any {
			values := map[string]any{}
			for k, v := range of {
				values[k] = nil
				if there {
					values[k] = v
				}
			}
			return values
		}
		raw, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": layer(labels)}, "spec": map[string]any{"properties": layer(properties)}})
		if err != nil {
			return err
		}
		return hub.Patch(ctx, memberCluster(member), client.RawPatch(types.MergePatchType, raw))
	}
	if err := patch(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := patch(context.Background(), false); err != nil {
			t.Errorf("restoring MemberCluster %s: %v", member, err)
		}
	})
}

// mayWriteNetworkPolicies grants what deploy/rbac does not, as the operator of a
// member would. It stays: whoever takes it back must first remove every app that
// has NetworkPolicies, and the kind from the inventory.
func mayWriteNetworkPolicies(t *testing.T, f *fleet.Fleet, member string) {
	t.Helper()
	account := map[fleet.Mode]string{fleet.ModePush: "myapp-hub", fleet.ModePull: "myapp-agent"}[f.Cluster(member).Member().Mode]
	err := f.Cluster(member).Apply(t.Context(),
		fieldsObject(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: apps-network-policies}, rules: [{apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [get, list, watch, create, patch, delete]}]}`),
		fieldsObject(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: apps-network-policies}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: apps-network-policies}, subjects: [{kind: ServiceAccount, namespace: `+fleet.HubNamespace+`, name: `+account+`}]}`))
	if err != nil {
		t.Fatal(err)
	}
}

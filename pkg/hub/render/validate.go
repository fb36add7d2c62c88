package render

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/hub/placement"
	"github.com/example/myapp-hub/pkg/hub/rollout"
)

// maxConfig is how many bytes of files and their names fit into a ConfigMap,
// which holds 1 MiB with everything else in it.
const maxConfig = 1<<20 - 16<<10

// Validate finds what is wrong with an app, as far as that can be known before a
// member is. It says what the schema and its rules cannot: types that the schema
// leaves open, what fields mean together, and whether the app renders at all, on
// a made-up member that has every label and property. The function checkRule
// compiles a health rule; nil accepts all.
func Validate(app *v1.MyApp, checkRule func(v1.HealthRule) error) field.ErrorList {
	spec, path := &app.Spec, field.NewPath("spec")
	var errs field.ErrorList
	errs = append(errs, validatePlacement(path.Child("placement"), spec.Placement)...)
	if err := rollout.RulesOf(spec).Err(); err != nil {
		errs = append(errs, invalid(path.Child("rollout"), err.Error()))
	}
	errs = append(errs, validateConfig(path.Child("config"), spec.Config)...)
	errs = append(errs, validateContainers(path, app)...)
	errs = append(errs, validateVariables(path, spec)...)
	errs = append(errs, validateManifests(path.Child("manifests"), app)...)
	for i := range spec.Overrides {
		errs = append(errs, validateOverride(path.Child("overrides").Index(i), spec, &spec.Overrides[i])...)
	}
	if spec.Drift != nil {
		errs = append(errs, validateIgnored(path.Child("drift", "ignore"), spec.Drift.Ignore)...)
	}
	errs = append(errs, validateRules(path.Child("healthRules"), spec.HealthRules, checkRule)...)
	if len(errs) > 0 {
		return errs // a trial would say the same again
	}
	return try(app)
}

func invalid(path *field.Path, message string) *field.Error {
	return field.Invalid(path, field.OmitValueType{}, message)
}

// validatePlacement: what the schema leaves to CEL is an expression.
func validatePlacement(path *field.Path, p *v1.Placement) field.ErrorList {
	if p == nil || p.Expression == "" {
		return nil
	}
	if _, err := placement.CompileExpression(p.Expression); err != nil {
		return field.ErrorList{invalid(path.Child("expression"), err.Error())}
	}
	return nil
}

func validateConfig(path *field.Path, config map[string]v1.ConfigValue) field.ErrorList {
	size := 0
	for file, content := range config {
		size += len(file) + len(content)
	}
	if size > maxConfig {
		return field.ErrorList{invalid(path, fmt.Sprintf("the files have %d bytes together, and a ConfigMap holds %d: make them smaller, or put large ones into the image or a volume", size, maxConfig))}
	}
	return nil
}

// validateContainers: what names a container or port is unambiguous in the pod.
func validateContainers(path *field.Path, app *v1.MyApp) field.ErrorList {
	var errs field.ErrorList
	containers, ports := map[string]bool{app.Name: true}, map[string]bool{}
	visit := func(path *field.Path, list []v1.Port) {
		for i, p := range list {
			if slices.ContainsFunc(list[:i], func(before v1.Port) bool {
				return before.ContainerPort == p.ContainerPort && protocol(before.Protocol) == protocol(p.Protocol)
			}) {
				errs = append(errs, invalid(path.Index(i), fmt.Sprintf("the container lists port %d/%s twice: remove one", p.ContainerPort, protocol(p.Protocol))))
			}
			if p.Name != "" && ports[p.Name] {
				errs = append(errs, field.Invalid(path.Index(i).Child("name"), p.Name, "another port of the pod has this name, and a Service or probe could mean either: give each port of the app and its sidecars a name of its own"))
			}
			ports[p.Name] = true
		}
	}
	visit(path.Child("ports"), app.Spec.Ports)
	for i, s := range app.Spec.Sidecars {
		path := path.Child("sidecars").Index(i)
		if containers[s.Name] {
			errs = append(errs, field.Invalid(path.Child("name"), s.Name, "another container of the pod has this name (the app's own has the name of the MyApp): give the sidecar another one"))
		}
		containers[s.Name] = true
		visit(path.Child("ports"), s.Ports)
	}
	return errs
}

// validateVariables finds variables that no member could give a value, and
// those in fields where they are not replaced.
func validateVariables(path *field.Path, spec *v1.MyAppSpec) field.ErrorList {
	var errs field.ErrorList
	trial := variables{trial: true}
	replaced := func(path *field.Path, text string) {
		if _, err := trial.expand(text, plain); err != nil {
			errs = append(errs, invalid(path, err.Error()))
		}
	}
	env := func(path *field.Path, env []corev1.EnvVar) {
		for i, e := range env {
			replaced(path.Index(i).Child("value"), e.Value)
		}
	}
	literal := func(path *field.Path, list []string) {
		for i, text := range list {
			if mentions(text) {
				errs = append(errs, invalid(path.Index(i), "variables of the cluster are not replaced here: put it into an environment variable, and refer to that as $(NAME)"))
			}
		}
	}
	replaced(path.Child("image"), spec.Image)
	env(path.Child("env"), spec.Env)
	literal(path.Child("command"), spec.Command)
	literal(path.Child("args"), spec.Args)
	for i, s := range spec.Sidecars {
		path := path.Child("sidecars").Index(i)
		replaced(path.Child("image"), s.Image)
		env(path.Child("env"), s.Env)
		literal(path.Child("command"), s.Command)
		literal(path.Child("args"), s.Args)
	}
	for i, o := range spec.Overrides {
		path := path.Child("overrides").Index(i)
		env(path.Child("env"), o.Env)
		literal(path.Child("args"), o.Args)
	}
	if spec.PodTemplate != nil && mentionsJSON(spec.PodTemplate.Raw) {
		errs = append(errs, invalid(path.Child("podTemplate"), "variables of the cluster are not replaced here: set the field by a patch of an override, where they are"))
	}
	return errs
}

// mentions is true if text has a variable of the cluster, well written or not.
func mentions(text string) bool {
	expanded, err := variables{trial: true}.expand(text, plain)
	return err != nil || expanded != text
}

func mentionsJSON(raw []byte) bool {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return false
	}
	found := false
	_, _ = mapStrings(value, func(text string) (string, error) {
		found = found || mentions(text)
		return text, nil
	})
	return found
}

func validateManifests(path *field.Path, app *v1.MyApp) field.ErrorList {
	var errs field.ErrorList
	r := newTrial(app, nil)
	for i := range app.Spec.Manifests {
		if _, err := r.manifest(path.Index(i), app.Spec.Manifests[i].Raw); err != nil {
			errs = append(errs, fieldError(err))
		}
	}
	return errs
}

func validateOverride(path *field.Path, spec *v1.MyAppSpec, o *v1.Override) field.ErrorList {
	var errs field.ErrorList
	if o.Replicas != nil && spec.Autoscaling != nil {
		errs = append(errs, invalid(path.Child("replicas"), "spec.autoscaling decides the number of pods on every member: remove one of the two"))
	}
	if _, err := selects(&v1.Override{ClusterSelector: o.ClusterSelector}, Cluster{}); err != nil {
		errs = append(errs, invalid(path.Child("clusterSelector"), "it cannot be used: "+err.Error()))
	}
	if o.Image != nil {
		errs = append(errs, validateImage(path.Child("image"), o.Image)...)
	}
	for i := range o.Patches {
		errs = append(errs, validatePatch(path.Child("patches").Index(i).Child("patch"), o.Patches[i].Patch)...)
	}
	return errs
}

// The grammar of image references, as the distribution project has it.
const pathComponent = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`

var (
	registryPattern   = regexp.MustCompile(`^(?:[a-zA-Z0-9](?:[-a-zA-Z0-9.]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?(?:/` + pathComponent + `)*$`)
	repositoryPattern = regexp.MustCompile(`^` + pathComponent + `(?:/` + pathComponent + `)*$`)
	tagPattern        = regexp.MustCompile(`^[a-zA-Z0-9_][-a-zA-Z0-9_.]{0,127}$`)
	digestPattern     = regexp.MustCompile(`^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}$`)
)

func validateImage(path *field.Path, o *v1.ImageOverride) field.ErrorList {
	var errs field.ErrorList
	check := func(name, value string, ok bool, message string) {
		if value != "" && !ok {
			errs = append(errs, field.Invalid(path.Child(name), value, message))
		}
	}
	host, _, _ := strings.Cut(o.Registry, "/")
	check("registry", o.Registry, registryPattern.MatchString(o.Registry) && isHost(host),
		"it is a host with a dot or a port, perhaps with a path after it, and without variables: for example mirror.eu.example.com or mirror.example.com:5000/hub. A registry that depends on the cluster can be written in spec.image")
	first, _, hasPath := strings.Cut(o.Repository, "/")
	check("repository", o.Repository, repositoryPattern.MatchString(o.Repository) && (!hasPath || !isHost(first)),
		"it is a path in lower-case letters without registry, tag and variables: for example team/web")
	check("tag", o.Tag, tagPattern.MatchString(o.Tag),
		"a tag has letters, digits, '_', '.' and '-': for example 1.5")
	check("digest", o.Digest, digestPattern.MatchString(o.Digest),
		"a digest is an algorithm, a colon and hexadecimal digits, for example sha256: and 64 of them")
	return errs
}

func validatePatch(path *field.Path, operations []v1.PatchOperation) field.ErrorList {
	var errs field.ErrorList
	for i, op := range operations {
		path := path.Index(i)
		if !isPointer(op.Path) {
			errs = append(errs, field.Invalid(path.Child("path"), op.Path, pointerMessage))
		}
		if op.From != "" && !isPointer(op.From) {
			errs = append(errs, field.Invalid(path.Child("from"), op.From, pointerMessage))
		}
		if op.Value == nil {
			if needsValue(op.Op) {
				errs = append(errs, field.Required(path.Child("value"), op.Op+" needs a value; to take a field away use remove"))
			}
			continue
		}
		if _, err := (variables{trial: true}).expandJSON(op.Value.Raw); err != nil {
			errs = append(errs, invalid(path.Child("value"), err.Error()))
		}
	}
	return errs
}

const pointerMessage = "a path begins with '/'; in a part of it write ~1 for '/' and ~0 for '~': for example /metadata/annotations/example.org~1team"

// isPointer is true for a JSON pointer (RFC 6901) other than the whole document.
func isPointer(s string) bool {
	escapes := strings.Count(s, "~0") + strings.Count(s, "~1")
	return strings.HasPrefix(s, "/") && strings.Count(s, "~") == escapes
}

func validateIgnored(path *field.Path, ignored []v1.IgnoredFields) field.ErrorList {
	var errs field.ErrorList
	for i, ignore := range ignored {
		for j, pointer := range ignore.Fields {
			path := path.Index(i).Child("fields").Index(j)
			switch {
			case !isPointer(pointer):
				errs = append(errs, field.Invalid(path, pointer, pointerMessage))
			case strings.HasSuffix(pointer, "/") || strings.Contains(pointer, "//"):
				errs = append(errs, field.Invalid(path, pointer, "a part of the path is empty: write it like /spec/replicas, without a '/' at the end"))
			}
		}
	}
	return errs
}

func validateRules(path *field.Path, rules []v1.HealthRule, check func(v1.HealthRule) error) field.ErrorList {
	var errs field.ErrorList
	for i, rule := range rules {
		path := path.Index(i)
		switch {
		case strings.TrimSpace(rule.Kind) == "":
			errs = append(errs, field.Required(path.Child("kind"), "name the kind whose objects the rule is about"))
		case strings.TrimSpace(rule.Ready) == "":
			errs = append(errs, field.Required(path.Child("ready"), "write a CEL expression that is true for a healthy object"))
		case slices.ContainsFunc(rules[:i], func(r v1.HealthRule) bool { return r.Group == rule.Group && r.Kind == rule.Kind }):
			errs = append(errs, field.Duplicate(path, rule.Kind+": join the two rules of this kind into one with || or &&"))
		case check != nil:
			if err := check(rule); err != nil {
				errs = append(errs, invalid(path, err.Error()))
			}
		}
	}
	return errs
}

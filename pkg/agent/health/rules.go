package health

import (
	"errors"
	"fmt"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"k8s.io/apimachinery/pkg/runtime/schema"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Rules are the compiled health rules of an app. The nil Rules have no rule.
type Rules struct {
	byKind map[schema.GroupKind]*Rule
}

// For is the rule for a kind, nil if it has none.
func (r *Rules) For(gk schema.GroupKind) *Rule {
	if r == nil {
		return nil
	}
	return r.byKind[gk]
}

// Rule is one compiled health rule. It is safe for concurrent use.
type Rule struct {
	ready, failed, message cel.Program
}

// Compile compiles the rules of an app. A reconciler uses a Cache instead.
func Compile(rules []v1.HealthRule) (*Rules, error) { return new(Cache).Compile(rules) }

// CheckRule says what is wrong with a rule, for admission: which expression,
// where in it, and what to write instead. Two rules for one kind are found only
// by Compile.
func CheckRule(rule v1.HealthRule) error {
	_, err := Compile([]v1.HealthRule{rule})
	return err
}

// maxCompiled bounds a Cache. A compiled rule takes some tens of kilobytes.
const maxCompiled = 1024

// Cache compiles rules and keeps them by their expressions, so that a reconcile
// does not compile what the one before did. The zero value is ready for use; it
// is safe for concurrent use.
type Cache struct {
	mu       sync.Mutex
	compiled map[expressions]compiled
	env      func() (*cel.Env, error)
}

type expressions struct{ ready, failed, message string }

// compiled is a rule, or why there is none: a bad rule is met again and again too.
type compiled struct {
	rule *Rule
	err  error
}

// Compile is the function Compile, with the memory of the cache.
func (c *Cache) Compile(rules []v1.HealthRule) (*Rules, error) {
	byKind := make(map[schema.GroupKind]*Rule, len(rules))
	for _, r := range rules {
		gk := schema.GroupKind{Group: r.Group, Kind: r.Kind}
		if _, ok := byKind[gk]; ok {
			return nil, fmt.Errorf("healthRules: two rules for %s; join them into one with || or &&", gk)
		}
		// A message may quote the object, and what it says ends up in a status.
		if gk == (schema.GroupKind{Kind: "Secret"}) {
			return nil, errors.New("healthRules: a Secret cannot have a rule, its content must not reach a status; remove the rule, a Secret is healthy once it is there")
		}
		if ownHealth(gk) {
			return nil, fmt.Errorf("healthRules: how a %s is doing is known without a rule; remove it, rules are for kinds of spec.manifests whose status follows no convention", gk)
		}
		rule, err := c.rule(expressions{r.Ready, r.Failed, r.Message})
		if err != nil {
			return nil, fmt.Errorf("health rule for %s: %w", gk, err)
		}
		byKind[gk] = rule
	}
	return &Rules{byKind: byKind}, nil
}

// ownHealth is true for the kinds that the hub renders itself: the Deployment has
// its own judgement, and of the others only the metadata is known.
func ownHealth(gk schema.GroupKind) bool {
	switch gk {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"},
		schema.GroupKind{Kind: "Service"}, schema.GroupKind{Kind: "ConfigMap"}, schema.GroupKind{Kind: "ServiceAccount"},
		schema.GroupKind{Group: "policy", Kind: "PodDisruptionBudget"}, schema.GroupKind{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}:
		return true
	}
	return false
}

func (c *Cache) rule(e expressions) (*Rule, error) {
	c.mu.Lock()
	known, ok := c.compiled[e]
	if c.env == nil {
		c.env = sync.OnceValues(newEnv)
	}
	env := c.env
	c.mu.Unlock()
	if ok {
		return known.rule, known.err
	}

	// Without the lock: compiling takes milliseconds, and twice does no harm.
	rule, err := compile(env, e)

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.compiled == nil || len(c.compiled) >= maxCompiled {
		c.compiled = map[expressions]compiled{}
	}
	c.compiled[e] = compiled{rule, err}
	return rule, err
}

func compile(newEnv func() (*cel.Env, error), e expressions) (*Rule, error) {
	env, err := newEnv()
	if err != nil {
		return nil, err
	}
	var r Rule
	if r.ready, err = program(env, "ready", e.ready, cel.BoolType); err != nil {
		return nil, err
	}
	if e.failed != "" {
		if r.failed, err = program(env, "failed", e.failed, cel.BoolType); err != nil {
			return nil, err
		}
	}
	if e.message != "" {
		if r.message, err = program(env, "message", e.message, cel.StringType); err != nil {
			return nil, err
		}
	}
	return &r, nil
}

// verdict is what a rule says of an object.
type verdict struct {
	ready, failed bool
	// message is empty if there is none or it fails.
	message string
	// err is why ready could not be evaluated.
	err string
}

// judge evaluates a rule. What fails is not ready, has not failed and says nothing.
func (r *Rule) judge(object map[string]any) verdict {
	var v verdict
	if r.failed != nil {
		out, _ := evaluate(r.failed, object)
		v.failed = out == types.True
	}
	if !v.failed {
		out, err := evaluate(r.ready, object)
		if v.ready = out == types.True; v.ready {
			return v
		}
		if _, isBool := out.(types.Bool); err == nil && !isBool {
			err = fmt.Errorf("it is of type %s, not true or false", out.Type().TypeName())
		}
		if err != nil {
			v.err = stable(err.Error())
		}
	}
	if r.message != nil {
		out, _ := evaluate(r.message, object)
		if s, ok := out.(types.String); ok {
			v.message = short(string(s), messageRunes)
		}
	}
	return v
}

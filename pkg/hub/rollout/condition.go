package rollout

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/expression"
)

// conditionBudget is that of one evaluation, in CEL's runtime cost units.
const conditionBudget = 2_000

// Condition is a compiled expression of a gate. It is safe for concurrent use.
type Condition struct {
	program cel.Program
}

// Facts are what a gate's expression sees.
type Facts struct {
	// Summary counts all members, Step those of the step.
	Summary, Step v1.Summary
	// Value is what a Prometheus says.
	Value float64
}

// statusFacts is the type of the variable status.
type statusFacts struct {
	Summary v1.Summary `json:"summary"`
}

// CompileCondition compiles the expression of a gate, which has a value only if it asks for
// one. The error says where it is wrong and what to write instead.
func CompileCondition(text string, asks bool) (*Condition, error) {
	options := []cel.EnvOption{
		ext.NativeTypes(reflect.TypeFor[statusFacts](), reflect.TypeFor[v1.Summary](), ext.ParseStructTag("json")),
		cel.Variable("status", cel.ObjectType("rollout.statusFacts")),
		cel.Variable("step", cel.ObjectType("v1.Summary")),
	}
	example := exampleCondition
	if asks {
		options, example = append(options, cel.Variable(valueVariable, cel.DoubleType)), exampleValue
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("the language of gates: %w", err)
	}
	ast, err := expression.Check(env, text, cel.BoolType)
	if err == nil {
		err = expression.CheckPatterns(ast)
	}
	if err != nil {
		var wrong *expression.CompileError
		if errors.As(err, &wrong) && wrong.Got != nil {
			return nil, fmt.Errorf("it gives a %s and must give true or false; %s", wrong.Got, example)
		}
		return nil, fmt.Errorf("%w; %s", err, example)
	}
	if asks && !strings.Contains(text, valueVariable) {
		return nil, errors.New("it does not look at value, which is what prometheus answers; " + exampleValue)
	}
	p, err := expression.Program(env, ast, conditionBudget)
	if err != nil {
		return nil, fmt.Errorf("the expression cannot be prepared: %w", err)
	}
	return &Condition{program: p}, nil
}

const (
	// valueVariable is what a Prometheus answers.
	valueVariable = "value"

	exampleCondition = "write one such as step.readyReplicas == step.totalReplicas; status.summary and step have clusters, ready, updated, unknown, totalReplicas, readyReplicas and unknownReplicas, and value is there if the gate asks prometheus"
	exampleValue     = "write one such as value < 0.01; value has a point, as have the numbers it is compared with: 1.0 and not 1"
)

// Holds is true if the condition holds; with an error it cannot be told.
func (c *Condition) Holds(f Facts) (bool, error) {
	out, _, err := c.program.Eval(map[string]any{"status": statusFacts{f.Summary}, "step": f.Step, "value": f.Value})
	if err != nil {
		return false, err
	}
	b, ok := out.(types.Bool)
	if !ok {
		return false, fmt.Errorf("it gives a %s and must give true or false", out.Type().TypeName())
	}
	return bool(b), nil
}

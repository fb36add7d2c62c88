package health

import (
	"errors"
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/ref"

	"github.com/example/myapp-hub/pkg/expression"
)

// budget is that of one evaluation in CEL's runtime cost units, that of the API
// server for one validation rule.
const budget = 1_000_000

// newEnv is the language of health rules: CEL's standard functions and macros
// on the variable object.
func newEnv() (*cel.Env, error) {
	return cel.NewEnv(cel.Variable("object", cel.DynType))
}

// program compiles one expression of a rule. An expression whose type is known
// only with the object, as that of most fields, is judged when it is evaluated.
func program(env *cel.Env, name, text string, want *cel.Type) (cel.Program, error) {
	ast, err := expression.Check(env, text, want)
	if err != nil {
		return nil, refused(name, text, want, err)
	}
	p, err := expression.Program(env, ast, budget)
	if err != nil {
		return nil, fmt.Errorf("%s: the CEL expression %q cannot be prepared: %w", name, short(text, 128), err)
	}
	return p, nil
}

// refused says where an expression is wrong and what to write instead.
func refused(name, text string, want *cel.Type, err error) error {
	var wrong *expression.CompileError
	if !errors.As(err, &wrong) {
		return err
	}
	if wrong.Got == nil {
		return fmt.Errorf("%s, line %d, column %d: %s; correct the CEL expression %q, which sees the object as `object`",
			name, wrong.Line, wrong.Column, short(wrong.Message, messageRunes), short(text, 128))
	}
	example := `object.status.phase == "Running"`
	if want == cel.StringType {
		example = "object.status.message"
	}
	return fmt.Errorf("%s, line %d, column %d: the CEL expression %q gives a %s and must give a %s; write one such as %s",
		name, wrong.Line, wrong.Column, short(text, 128), wrong.Got, want, example)
}

// evaluate is the value of an expression for an object; nil with an error.
func evaluate(p cel.Program, object map[string]any) (ref.Val, error) {
	out, _, err := p.Eval(map[string]any{"object": object})
	if err != nil {
		return nil, err
	}
	return out, nil
}

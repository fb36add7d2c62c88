package expression

import (
	"fmt"

	"github.com/google/cel-go/cel"
)

// CompileError is what is wrong with the text of an expression.
type CompileError struct {
	// Line and Column say where, both from 1.
	Line, Column int
	// Message says what, in the words of CEL. It may quote all of the text.
	Message string
	// Got is the type of an expression that is CEL but gives another type than the
	// wanted one; nil for any other mistake.
	Got *cel.Type
}

// Error implements error.
func (e *CompileError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// Check parses an expression and holds it to be of a type. An expression whose type is
// known only when it is evaluated passes. Every error is a *CompileError.
func Check(env *cel.Env, text string, want *cel.Type) (*cel.Ast, error) {
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, &CompileError{Line: first.Location.Line(), Column: max(first.Location.Column()+1, 1), Message: first.Message}
	}
	if got := ast.OutputType(); !got.IsExactType(want) && !got.IsExactType(cel.DynType) {
		return nil, &CompileError{Line: 1, Column: 1, Message: fmt.Sprintf("gives a %s and must give a %s", got, want), Got: got}
	}
	return ast, nil
}

// Program prepares what Check gave for evaluation with a budget of CEL's runtime cost
// units; an evaluation that needs more ends with an error. A million units, what the
// API server allows one validation rule, are spent in a second or so. Programs are safe
// for concurrent use.
func Program(env *cel.Env, ast *cel.Ast, budget uint64) (cel.Program, error) {
	bounded, err := newBounds(env)
	if err != nil {
		return nil, err
	}
	return env.Program(ast, cel.CostLimit(budget), cel.CostTracking(costs{bounded.patterns}), cel.CustomDecorator(bounded.call))
}

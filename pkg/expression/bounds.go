package expression

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/functions"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

const (
	// maxCompared is the most values one comparison looks at.
	maxCompared = 10_000
	// maxMatched is the most bytes that a regular expression is matched with.
	maxMatched = 16 << 10
	// maxQuantity is the most bytes of a quantity.
	maxQuantity = 64
	// maxExponent is the most digits of a quantity's exponent.
	maxExponent = 2
)

// bounds makes steps that take long at once an error, before they are made: costs are
// counted after each step. A list may hold the same list many times over, and a
// comparison goes through all of it; a quantity of 1e999999999 has as many digits.
type bounds struct {
	// quantities are the API server's functions that parse a quantity, by overload.
	quantities map[string]functions.UnaryOp
	patterns   patterns
}

func newBounds(env *cel.Env) (bounds, error) {
	b := bounds{quantities: map[string]functions.UnaryOp{}, patterns: patterns{}}
	declared := env.Functions()
	for _, name := range []string{"quantity", "isQuantity"} {
		implementations, err := declared[name].Bindings()
		if err != nil {
			return bounds{}, fmt.Errorf("the function %s of the language: %w", name, err)
		}
		for _, f := range implementations {
			if f.Unary != nil {
				b.quantities[f.Operator] = f.Unary
			}
		}
	}
	return b, nil
}

// call is the decorator of a program.
func (b bounds) call(i interpreter.Interpretable) (interpreter.Interpretable, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	switch call.Function() {
	case overloads.Matches:
		b.keep(call.Args()[1])
		return boundedCall{call, b.patterns}, nil
	case operators.Equals, operators.NotEquals, operators.In:
		return boundedCall{call, b.patterns}, nil
	}
	if parse, ok := b.quantities[call.OverloadID()]; ok {
		return boundedQuantity{call, parse}, nil
	}
	return i, nil
}

// keep keeps a pattern that is a literal. One that cannot be kept is compiled when it is
// matched, and is an error then if it is wrong.
func (b bounds) keep(arg interpreter.Interpretable) {
	if literal, ok := arg.(interpreter.InterpretableConst); ok {
		if text, ok := literal.Value().(types.String); ok {
			_ = b.patterns.add(string(text))
		}
	}
}

// boundedCall is a call with two arguments.
type boundedCall struct {
	interpreter.InterpretableCall
	patterns patterns
}

// Eval implements interpreter.Interpretable.
func (c boundedCall) Eval(vars interpreter.Activation) ref.Val {
	args := c.Args()
	l, r := args[0].Eval(vars), args[1].Eval(vars)
	for _, v := range []ref.Val{l, r} {
		if types.IsUnknownOrError(v) {
			return v
		}
	}
	if c.Function() == overloads.Matches {
		return c.patterns.match(l, r)
	}
	if weight(l, maxCompared) >= maxCompared || weight(r, maxCompared) >= maxCompared {
		return types.NewErr("compares more than %d values; compare single fields", maxCompared)
	}
	switch c.Function() {
	case operators.Equals:
		return types.Equal(l, r)
	case operators.NotEquals:
		return types.Bool(types.Equal(l, r) != types.True)
	}
	container, ok := r.(traits.Container)
	if !ok {
		return types.MaybeNoSuchOverloadErr(r)
	}
	return container.Contains(l)
}

// boundedQuantity is a call of quantity or isQuantity.
type boundedQuantity struct {
	interpreter.InterpretableCall
	parse functions.UnaryOp
}

// Eval implements interpreter.Interpretable.
func (c boundedQuantity) Eval(vars interpreter.Activation) ref.Val {
	v := c.Args()[0].Eval(vars)
	if types.IsUnknownOrError(v) {
		return v
	}
	if s, ok := v.(types.String); ok {
		if len(s) > maxQuantity {
			return types.NewErr("a quantity has at most %d bytes", maxQuantity)
		}
		number := strings.TrimRight(string(s), "0123456789")
		if len(s)-len(number) > maxExponent && strings.ContainsAny(number, "eE") {
			return types.NewErr("the exponent of a quantity has at most %d digits; write one such as 4Gi or 500m", maxExponent)
		}
	}
	return c.parse(v)
}

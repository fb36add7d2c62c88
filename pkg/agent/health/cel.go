package health

import (
	"fmt"
	"regexp/syntax"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

const (
	// costLimit is the budget of one evaluation in CEL's runtime cost units,
	// that of the API server for one validation rule. It is spent in well under
	// a second.
	costLimit = 1_000_000
	// maxCompared is the most values one comparison looks at.
	maxCompared = 10_000
	// maxMatched is the most bytes that a regular expression is matched with.
	maxMatched = 16 << 10
)

// newEnv is the language of health rules: CEL's standard functions and macros
// on the variable object. cel-go's strings and lists are left out: replace, join,
// format and lists.range make a result of any size from a small expression, and
// a cost limit is asked only after they have made it.
func newEnv() (*cel.Env, error) {
	return cel.NewEnv(cel.Variable("object", cel.DynType))
}

// program compiles one expression of a rule. An expression whose type is known
// only with the object, as that of most fields, is judged when it is evaluated.
func program(env *cel.Env, name, expression string, want *cel.Type) (cel.Program, error) {
	ast, issues := env.Compile(expression)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, fmt.Errorf("%s, line %d, column %d: %s; correct the CEL expression %q, which sees the object as `object`",
			name, first.Location.Line(), max(first.Location.Column()+1, 1), short(first.Message, messageRunes), short(expression, 128))
	}
	if got := ast.OutputType(); !got.IsExactType(want) && !got.IsExactType(cel.DynType) {
		example := `object.status.phase == "Running"`
		if want == cel.StringType {
			example = "object.status.message"
		}
		return nil, fmt.Errorf("%s, line 1, column 1: the CEL expression %q gives a %s and must give a %s; write one such as %s",
			name, short(expression, 128), got, want, example)
	}
	p, err := env.Program(ast, cel.CostLimit(costLimit), cel.CostTracking(costs{}), cel.CustomDecorator(boundCall))
	if err != nil {
		return nil, fmt.Errorf("%s: the CEL expression %q cannot be prepared: %w", name, short(expression, 128), err)
	}
	return p, nil
}

// evaluate is the value of an expression for an object; nil with an error.
func evaluate(p cel.Program, object map[string]any) (ref.Val, error) {
	out, _, err := p.Eval(map[string]any{"object": object})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// costs charges for the size of what is worked on. cel-go does so only where it
// knows the types when compiling, and of the fields of object it knows none:
// doubling a string fifty times would cost fifty units, and all memory.
type costs struct{}

var _ interpreter.ActualCostEstimator = costs{}

func (costs) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := uint64(1)
	switch function {
	case overloads.Contains:
		return nil // it has one signature: cel-go's own estimate applies
	case overloads.Matches:
		cost += (1 + textWeight(args[0])) * (1 + patternWeight(args[1]))
	case operators.Equals, operators.NotEquals, operators.In:
		for _, a := range args {
			cost += weight(a, maxCompared)
		}
	case operators.Add:
		// Lists are joined as a view, whose size is asked for over and over.
		// One element at a time is what filter and map do, and cheap.
		if l, ok := result.(traits.Lister); ok && sizeOf(args[1]) > 1 {
			cost += sizeOf(l)
			break
		}
		fallthrough
	default:
		for _, a := range args {
			cost += textWeight(a)
		}
	}
	return &cost
}

// boundCall makes comparisons and matches of very large values an error, before
// they are made: costs are counted after each step. A list may hold the same
// list many times over, and a comparison goes through all of it.
func boundCall(i interpreter.Interpretable) (interpreter.Interpretable, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	switch call.Function() {
	case operators.Equals, operators.NotEquals, operators.In, overloads.Matches:
		return boundedCall{call}, nil
	}
	return i, nil
}

type boundedCall struct{ interpreter.InterpretableCall }

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
		return match(l, r)
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

func match(text, pattern ref.Val) ref.Val {
	s, ok := text.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(text)
	}
	if len(s) > maxMatched {
		return types.NewErr("matches a text of more than %d bytes; use contains, startsWith or endsWith", maxMatched)
	}
	return s.Match(pattern)
}

// weight counts the values in a value, up to most.
func weight(v ref.Val, most uint64) uint64 {
	switch v := v.(type) {
	case traits.Lister:
		n := uint64(1)
		for i := types.Int(0); i < types.Int(sizeOf(v)) && n < most; i++ {
			n += weight(v.Get(i), most-n)
		}
		return min(n, most)
	case traits.Mapper:
		n := uint64(1)
		for it := v.Iterator(); it.HasNext() == types.True && n < most; {
			n += weight(v.Get(it.Next()), most-n)
		}
		return min(n, most)
	default:
		return min(1+textWeight(v), most)
	}
}

// textWeight is the cost of going through a string or bytes, as cel-go counts it.
func textWeight(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v)) / 10
	case types.Bytes:
		return uint64(len(v)) / 10
	}
	return 0
}

// patternWeight is the cost of a regular expression per character. A short one
// can stand for a thousand states.
func patternWeight(v ref.Val) uint64 {
	s, _ := v.(types.String)
	parsed, err := syntax.Parse(string(s), syntax.Perl)
	if err != nil {
		return 0
	}
	compiled, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0
	}
	return uint64(len(compiled.Inst)) / 10
}

func sizeOf(v ref.Val) uint64 {
	if s, ok := v.(traits.Sizer); ok {
		if n, ok := s.Size().(types.Int); ok {
			return uint64(n)
		}
	}
	return 0
}

package placement

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
	celast "github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"github.com/example/myapp-hub/pkg/expression"
)

const (
	// expressionBudget is that of one evaluation in CEL's runtime cost units: a fraction of
	// what a health rule has, for one app asks for every member. It is spent in a
	// millisecond or two; going through all labels of a member costs some hundreds.
	expressionBudget = 2_000
	// quotedRunes bounds what a message says of an expression, and in CEL's words.
	quotedRunes = 256
)

// errTooDear is why an evaluation was given up.
var errTooDear = errors.New("it costs more than one may (cost limit exceeded)")

// Expression is a compiled spec.placement.expression. It is safe for concurrent use.
type Expression struct {
	program cel.Program
	// lookups are the keys that the text has in it, for messages.
	lookups []lookup
}

// lookup is a key that is asked for in a map of a cluster.
type lookup struct{ field, key string }

// CompileExpression compiles the text of spec.placement.expression. The error says where
// it is wrong and what to write instead. It takes some tenths of a millisecond.
func CompileExpression(text string) (*Expression, error) {
	env, err := newLanguage()
	if err != nil {
		return nil, fmt.Errorf("the language of placement expressions: %w", err)
	}
	ast, err := expression.Check(env, text, cel.BoolType)
	if err != nil {
		return nil, refused(err)
	}
	if err := expression.CheckPatterns(ast); err != nil {
		return nil, refused(err)
	}
	p, err := expression.Program(env, ast, expressionBudget)
	if err != nil {
		return nil, fmt.Errorf("the expression cannot be prepared: %w", err)
	}
	return &Expression{program: p, lookups: lookups(ast)}, nil
}

// Matches is true if the expression admits the member. With an error it cannot be told,
// and the error says what to write instead.
func (e *Expression) Matches(m *Member) (bool, error) {
	out, _, err := e.program.Eval(variables{m})
	if err != nil {
		return false, e.failed(m, err)
	}
	if b, ok := out.(types.Bool); ok {
		return bool(b), nil
	}
	return false, fmt.Errorf("the expression gives a %s and must give true or false; %s", out.Type().TypeName(), exampleExpression)
}

const exampleExpression = `write one such as cluster.labels["region"].startsWith("eu")`

// refused says what to write instead of a text that does not compile.
func refused(err error) error {
	var wrong *expression.CompileError
	if !errors.As(err, &wrong) {
		return err
	}
	instead := exampleExpression
	switch says := wrong.Message; {
	case wrong.Got != nil:
		return fmt.Errorf("line %d, column %d: the expression gives a %s and must give true or false; %s", wrong.Line, wrong.Column, wrong.Got, instead)
	case strings.Contains(says, "regular expression") || strings.Contains(says, "regexp"):
		instead = `write one such as cluster.name.matches("^eu-[0-9]+$")`
	case strings.HasPrefix(says, "undefined field"):
		instead = "cluster has name, labels, properties, annotations, kubernetesVersion, allocatable and free"
	case strings.HasPrefix(says, "undeclared reference"):
		instead = `what is known of a member is in cluster, and text is in quotes; ` + exampleExpression
	case strings.Contains(says, "Quantity"):
		instead = `compare amounts by methods, as in quantity(cluster.free["memory"]).isGreaterThan(quantity("4Gi"))`
	case strings.Contains(says, "Semver"):
		instead = `compare versions by methods, as in semver(cluster.kubernetesVersion, true).isLessThan(semver("1.36.0"))`
	case strings.HasPrefix(says, "found no matching overload"):
		instead = `all values of cluster are text: write it in quotes, or compare numbers as in int(cluster.labels["x"]) > 3`
	}
	return fmt.Errorf("line %d, column %d: %s; %s", wrong.Line, wrong.Column, short(wrong.Message), instead)
}

// failed says what to write instead of an expression that has no value for a member.
func (e *Expression) failed(m *Member, err error) error {
	says := err.Error()
	if key, ok := strings.CutPrefix(says, "no such key: "); ok {
		field := "labels"
		for _, l := range e.lookups {
			if _, has := m.table(l.field)[l.key]; l.key == key && !has {
				field = l.field
				break
			}
		}
		key = short(key)
		return fmt.Errorf("cluster.%s of %s has no %q; write %q in cluster.%s && ... to ask first", field, m.Name, key, key, field)
	}
	instead := "write an expression that has a value for every member"
	switch {
	case strings.Contains(says, "cost limit exceeded"):
		return fmt.Errorf("the expression cannot be evaluated for %s: %w; write one that goes through fewer values", m.Name, errTooDear)
	case strings.Contains(says, `number "v`):
		instead = "write semver(cluster.kubernetesVersion, true), which takes the v"
	}
	return fmt.Errorf("the expression cannot be evaluated for %s: %s; %s", m.Name, short(says), instead)
}

// lookups finds cluster.field["key"] and cluster.field.key.
func lookups(ast *cel.Ast) []lookup {
	var found []lookup
	add := func(of celast.Expr, key string) {
		if of.Kind() == celast.SelectKind && of.AsSelect().Operand().Kind() == celast.IdentKind && of.AsSelect().Operand().AsIdent() == variable {
			found = append(found, lookup{of.AsSelect().FieldName(), key})
		}
	}
	celast.PreOrderVisit(ast.NativeRep().Expr(), celast.NewExprVisitor(func(e celast.Expr) {
		switch e.Kind() {
		case celast.SelectKind:
			add(e.AsSelect().Operand(), e.AsSelect().FieldName())
		case celast.CallKind:
			args := e.AsCall().Args()
			if e.AsCall().FunctionName() != "_[_]" || args[1].Kind() != celast.LiteralKind {
				return
			}
			if key, ok := args[1].AsLiteral().(types.String); ok {
				add(args[0], string(key))
			}
		}
	}))
	return found
}

// short bounds a text.
func short(s string) string {
	r := []rune(strings.ToValidUTF8(s, "�"))
	if len(r) <= quotedRunes {
		return string(r)
	}
	return string(r[:quotedRunes-1]) + "…"
}

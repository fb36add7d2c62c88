package expression

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"unsafe"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// maxKept is the most memory, in bytes, of the patterns that a program keeps. Programs
// are cached in large numbers.
const maxKept = 32 << 10

// patterns are the regular expressions that are in the text of an expression, compiled
// once: to compile one takes far longer than to match most texts. It is filled while a
// program is prepared and only read afterwards.
type patterns map[string]pattern

type pattern struct {
	compiled *regexp.Regexp
	weight   uint64
	bytes    int
}

// add keeps a pattern. The error says why it is not kept: it is wrong, or too large.
func (p patterns) add(text string) error {
	if _, ok := p[text]; ok {
		return nil
	}
	prog, err := parse(text)
	if err != nil {
		return err
	}
	kept := pattern{weight: uint64(len(prog.Inst)) / 10}
	for _, inst := range prog.Inst {
		kept.bytes += int(unsafe.Sizeof(inst)) + len(inst.Rune)*4
	}
	total := kept.bytes
	for _, other := range p {
		total += other.bytes
	}
	if total > maxKept {
		return errors.New("the regular expression is too large; use smaller repetitions")
	}
	if kept.compiled, err = regexp.Compile(text); err != nil {
		return err
	}
	p[text] = kept
	return nil
}

// weight is patternWeight, with the memory of the program.
func (p patterns) weight(v ref.Val) uint64 {
	if s, ok := v.(types.String); ok {
		if known, ok := p[string(s)]; ok {
			return known.weight
		}
	}
	return patternWeight(v)
}

func (p patterns) match(text, v ref.Val) ref.Val {
	s, ok := text.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(text)
	}
	if len(s) > maxMatched {
		return types.NewErr("matches a text of more than %d bytes; use contains, startsWith or endsWith", maxMatched)
	}
	if literal, ok := v.(types.String); ok {
		if known, ok := p[string(literal)]; ok {
			return types.Bool(known.compiled.MatchString(string(s)))
		}
	}
	return s.Match(v)
}

// patternWeight is the cost of a regular expression per character. A short one
// can stand for a thousand states.
func patternWeight(v ref.Val) uint64 {
	s, _ := v.(types.String)
	prog, err := parse(string(s))
	if err != nil {
		return 0
	}
	return uint64(len(prog.Inst)) / 10
}

func parse(text string) (*syntax.Prog, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return syntax.Compile(parsed.Simplify())
}

// CheckPatterns holds the regular expressions of an expression to be literals without a
// mistake, and small enough for a program to keep them all. It is for expressions that
// are evaluated often: what is not kept is compiled each time, which takes longer than
// its cost says. Every error is a *CompileError.
func CheckPatterns(checked *cel.Ast) error {
	native := checked.NativeRep()
	kept := patterns{}
	var first error
	ast.PreOrderVisit(native.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if first != nil || e.Kind() != ast.CallKind || e.AsCall().FunctionName() != overloads.Matches {
			return
		}
		// The last argument, in text.matches(pattern) and in matches(text, pattern).
		args := e.AsCall().Args()
		arg := args[len(args)-1]
		if err := kept.addLiteral(arg); err != nil {
			at := native.SourceInfo().GetStartLocation(arg.ID())
			first = &CompileError{Line: max(at.Line(), 1), Column: max(at.Column()+1, 1), Message: err.Error()}
		}
	}))
	return first
}

func (p patterns) addLiteral(arg ast.Expr) error {
	if arg.Kind() == ast.LiteralKind {
		if text, ok := arg.AsLiteral().(types.String); ok {
			return p.add(string(text))
		}
	}
	return errors.New("the regular expression is computed and must be a text in quotes")
}

package placement

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/example/myapp-hub/api/v1"
)

func facts() *Member {
	return &Member{
		Name:              "eu-1",
		Labels:            map[string]string{"region": "eu-west", "env": "prod", "zones": "4", "example.com/tier": "gold"},
		Properties:        map[string]string{"flavor": "kind"},
		Annotations:       map[string]string{"placement.example.com/gpu": "a100"},
		KubernetesVersion: "v1.36.3",
		Allocatable:       &v1.Amounts{CPUMillis: 4000, MemoryMiB: 8192, Pods: 110},
		Free:              &v1.Amounts{CPUMillis: 500, MemoryMiB: 4096, Pods: 0},
	}
}

func compile(t testing.TB, text string) *Expression {
	t.Helper()
	e, err := CompileExpression(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

func TestCompileExpression(t *testing.T) {
	for _, tt := range []struct {
		text, reason string
		want         []string
	}{
		{`cluster.labels["region"].startsWith("eu")`, "the example of the API", nil},
		{`int(cluster.labels["x"]) > 3`, "numbers are asked for", nil},
		{`dyn(cluster.labels["x"]) == 3`, "what is asked to be judged later is", nil},
		{`cluster.labels["x"] > 3`, "text is no number", []string{"line 1, column 21: found no matching overload for '_>_' applied to '(string, int)'", `int(cluster.labels["x"]) > 3`}},
		{`cluster.lables["x"] == "y"`, "a field that is not there", []string{"line 1, column 8: undefined field 'lables'", "cluster has name, labels, properties, annotations, kubernetesVersion, allocatable and free"}},
		{`cluster.name`, "no bool", []string{"gives a string and must give true or false; write one such as"}},
		{`cluster.labels`, "no bool either", []string{"gives a map(string, string) and must"}},
		{`cluster`, "nor this", []string{"gives a cluster and must"}},
		{`labels["x"] == "y"`, "the variable is left out", []string{"undeclared reference to 'labels'", "in cluster"}},
		{"true &&\n  x", "the line counts", []string{"line 2, column 3"}},
		{`cluster.labels["region"] = "eu"`, "it is no assignment", []string{"line 1, column 26: Syntax error", `write one such as cluster.labels["region"]`}},
		{``, "admission may be asked first", []string{"line 1, column 1: Syntax error"}},
		{`quantity(cluster.free["memory"]) > quantity("4Gi")`, "amounts have methods", []string{"found no matching overload", `isGreaterThan(quantity("4Gi"))`}},
		{`semver(cluster.kubernetesVersion, true) >= semver("1.36.0")`, "so have versions", []string{`isLessThan(semver("1.36.0"))`}},
		{`cluster.name.replace("a", "b") == ""`, "what can grow without bounds is not in the language", []string{"undeclared reference to 'replace'"}},
		{`cluster.name.matches("^eu-[0-9]{1,3}$")`, "a pattern", nil},
		{`cluster.name.matches("(x")`, "a pattern that is wrong", []string{"line 1, column 22: error parsing regexp: missing closing )", `write one such as cluster.name.matches(`}},
		{`cluster.name.matches(cluster.labels["x"])`, "one that is computed would be compiled for each member", []string{"the regular expression is computed and must be a text in quotes"}},
		{`matches(cluster.name, "(x?){1000}")`, "a large one", []string{"the regular expression is too large"}},
		{strings.Repeat("x", 1024), "a message is bounded", []string{"…"}},
	} {
		t.Run(tt.text[:min(len(tt.text), 40)], func(t *testing.T) {
			_, err := CompileExpression(tt.text)
			if (err == nil) != (tt.want == nil) {
				t.Fatalf("%s: %v", tt.reason, err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s: got %q, want %q in it", tt.reason, err, w)
				}
			}
			if err != nil && len(err.Error()) > 1024 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestExpressionMatches(t *testing.T) {
	unknown := &Member{Name: "new"}
	for _, tt := range []struct {
		text, reason string
		of           *Member
		want         bool
	}{
		{`cluster.labels["region"].startsWith("eu")`, "a label", facts(), true},
		{`cluster.labels.region == "us"`, "a label as a field", facts(), false},
		{`cluster.labels["example.com/tier"] in ["gold", "silver"]`, "one of several", facts(), true},
		{`"nope" in cluster.labels && cluster.labels["nope"] == "x"`, "a label that is asked for first", facts(), false},
		{`has(cluster.labels.nope) || cluster.name == "eu-1"`, "the same, as a field", facts(), true},
		{`int(cluster.labels["zones"]) > 3`, "a number", facts(), true},
		{`cluster.properties["flavor"] == "kind"`, "a property", facts(), true},
		{`cluster.annotations["placement.example.com/gpu"].matches("^a[0-9]+$")`, "an annotation", facts(), true},
		{`cluster.labels.exists(k, k.startsWith("example.com/"))`, "all keys", facts(), true},
		{`semver(cluster.kubernetesVersion, true).isGreaterThan(semver("1.36.0"))`, "a version", facts(), true},
		{`semver(cluster.kubernetesVersion, true).minor() == 35`, "a part of it", facts(), false},
		{`cluster.allocatable == {"cpu": "4000m", "memory": "8192Mi", "pods": "110"}`, "amounts, as pods write them", facts(), true},
		{`quantity(cluster.free["memory"]).compareTo(quantity("4Gi")) == 0`, "amounts are compared by value", facts(), true},
		{`quantity(cluster.free["cpu"]).isLessThan(quantity("1e2"))`, "a small exponent is a quantity", facts(), true},
		{`quantity(cluster.free["pods"]).isGreaterThan(quantity("0"))`, "none is an amount", facts(), false},
		{`cluster.free.size() == 0 && !("cpu" in cluster.allocatable)`, "amounts that are not known are empty", unknown, true},
		{`has(cluster.free) || has(cluster.kubernetesVersion)`, "and can be asked for", unknown, false},
		{`has(cluster.free) && has(cluster.kubernetesVersion)`, "here they are", facts(), true},
		{`cluster.labels.size() == 0 && cluster.kubernetesVersion == ""`, "nothing is known of a new member", unknown, true},
		{`(cluster.name == "eu-1" ? cluster : cluster).name == "eu-1"`, "cluster may stand in an expression", facts(), true},
		{`cluster.labels["nope"] == "x" || cluster.name == "eu-1"`, "CEL's || wants one side that is true", facts(), true},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := compile(t, tt.text).Matches(tt.of)
			if err != nil || got != tt.want {
				t.Errorf("%s: got %t, %v, want %t", tt.reason, got, err, tt.want)
			}
		})
	}
}

func TestExpressionFails(t *testing.T) {
	silent := facts()
	silent.Free = nil
	long := facts()
	long.Labels["long"] = strings.Repeat("ü", 1000)
	nested := "cluster.labels.all(a, true)"
	for range 12 {
		nested = "cluster.labels.all(a, " + nested + ")"
	}
	for _, tt := range []struct {
		text, reason string
		of           *Member
		want         string
	}{
		{`cluster.labels["nope"] == "x"`, "it says how to ask", facts(), `cluster.labels of eu-1 has no "nope"; write "nope" in cluster.labels && ...`},
		{`cluster.properties.nope == "x"`, "and for which map", facts(), `"nope" in cluster.properties && ...`},
		{`cluster.labels["flavor"] == cluster.properties["flavor"]`, "of two maps the one without", facts(), `"flavor" in cluster.labels && ...`},
		{`cluster.labels["region"] == cluster.properties["region"]`, "not the first one", facts(), `"region" in cluster.properties && ...`},
		{`quantity(cluster.free["cpu"]).isGreaterThan(quantity("1"))`, "amounts may not be known", silent, `"cpu" in cluster.free && ...`},
		{`cluster.labels[cluster.name] == "x"`, "a key that is computed", facts(), `has no "eu-1"`},
		{`cluster.labels[cluster.labels["long"]] == "x"`, "a message is bounded", long, "…"},
		{`int(cluster.labels["region"]) > 3`, "it is no number", facts(), "cannot be evaluated for eu-1"},
		{`semver(cluster.kubernetesVersion).major() == 1`, "versions have a v", facts(), "write semver(cluster.kubernetesVersion, true)"},
		{`quantity("much").isGreaterThan(quantity("1"))`, "it is no amount", facts(), "cannot be evaluated for eu-1"},
		{`dyn(cluster.name)`, "the type is known only now", facts(), "gives a string and must give true or false"},
		{`cluster == cluster`, "a cluster is no value", facts(), "write one such as cluster.name"},
		{`[cluster].size() > 0`, "nor one of a list", facts(), "write one such as cluster.name"},
		{`cluster{} == cluster`, "none can be made", facts(), "unknown type"},
		{nested, "loops in loops", facts(), "goes through fewer values"},
		{`[cluster.name]` + strings.Repeat(".map(x,x+x)", 60) + `.size() > 0`, "a text that is doubled", facts(), "cost limit exceeded"},
		{`quantity("1e999999999").isGreaterThan(quantity("1.00000000000000000001"))`, "a number of a billion digits", facts(), "at most 2 digits"},
		{`isQuantity("1.00000000000000000001e-999999999")`, "the same", facts(), "at most 2 digits"},
		{`isQuantity("1` + strings.Repeat("0", 100) + `")`, "a long one", facts(), "at most 64 bytes"},
	} {
		t.Run(tt.text[:min(len(tt.text), 60)], func(t *testing.T) {
			start := time.Now()
			got, err := compile(t, tt.text).Matches(tt.of)
			if got || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %t, %v, want %q", tt.reason, got, err, tt.want)
			}
			if err != nil && len(err.Error()) > 2048 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestExpressionConcurrently(t *testing.T) {
	e := compile(t, `cluster.labels["region"].matches("^eu") && int(cluster.free["pods"]) == 0`)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				m, want := facts(), (i+j)%2 == 0
				if !want {
					m.Labels["region"] = "us"
				}
				if got, err := e.Matches(m); err != nil || got != want {
					t.Errorf("got %t, %v, want %t", got, err, want)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzExpression puts any text to a member: it is refused, or has an answer, or none,
// within its budget.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{
		`cluster.labels["region"].startsWith("eu") && "nope" in cluster.labels`,
		`cluster == cluster || [cluster].exists(c, c.name == "x") || cluster{}.name == ""`,
		`has(cluster.free.cpu) ? quantity(cluster.free["cpu"]).isGreaterThan(quantity("1e9")) : cluster.free["pods"] == "1"`,
		`semver(cluster.kubernetesVersion, true).isLessThan(semver("1.36.0")) || isSemver("1")`,
		`cluster.labels.map(k, k + k).map(k, k + k).size() > 0 || "a".matches("(a+)+$")`,
		`quantity("1e999999999").add(quantity("1e-999999999")).asInteger() == 1`,
		`type(cluster) == type(1) || dyn(cluster).name == "x"`,
	} {
		f.Add(text, "eu-1")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if len(text) > 1024 || len(value) > 256 {
			return
		}
		start := time.Now()
		e, err := CompileExpression(text)
		if err == nil {
			m := facts()
			m.Name, m.KubernetesVersion, m.Labels["region"], m.Labels[value] = value, value, value, value
			_, err = e.Matches(m)
		}
		if err != nil && (len(err.Error()) > 4096 || strings.Contains(err.Error(), "internal error")) {
			t.Errorf("%q: %d bytes: %.500v", text, len(err.Error()), err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%q took %s", text, took)
		}
	})
}

// BenchmarkExpression is one member; an app asks for up to 5,000.
func BenchmarkExpression(b *testing.B) {
	for _, text := range []string{
		`cluster.labels["region"].startsWith("eu")`,
		`"region" in cluster.labels && cluster.labels["region"] == "eu-west"`,
		`cluster.labels["region"] in ["eu-west", "eu-east"]`,
		`cluster.labels["region"].matches("^eu-")`,
		`semver(cluster.kubernetesVersion, true).isGreaterThan(semver("1.30.0"))`,
		`quantity(cluster.free["memory"]).isGreaterThan(quantity("1Gi"))`,
		`cluster.labels["nope"] == "x" || true`,
	} {
		b.Run(text, func(b *testing.B) {
			e, m := compile(b, text), facts()
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := e.Matches(m); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
	b.Run("an error", func(b *testing.B) {
		e, m := compile(b, `cluster.labels["nope"] == "x"`), facts()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := e.Matches(m); err == nil {
				b.Fatal("no error")
			}
		}
	})
	b.Run("compile", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			compile(b, fmt.Sprintf(`cluster.labels["region"].startsWith("eu-%d")`, i))
		}
	})
}

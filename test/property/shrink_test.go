package property

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// shrinkFor is how long a failure is made smaller.
const shrinkFor = 45 * time.Second

// report says what has failed: of each step, the first failure in full and as
// small as it gets.
func (w *world) report(ctx context.Context, apps []*life) {
	w.t.Helper()
	reported := map[string]int{}
	for _, l := range apps {
		if l.failed == nil {
			continue
		}
		reported[l.step]++
		switch n := reported[l.step]; {
		case n == 1:
			what, failed := w.shrink(ctx, l)
			w.t.Errorf("SEED=%d SPEC=%d: not true that it %s: %v\n%s\nas small as it gets:\n%s%v", w.seed, l.index, l.step, l.failed, w.describe(l), what, failed)
		case n < 10:
			w.t.Errorf("SEED=%d SPEC=%d: not true that it %s: %v\n(%s)", w.seed, l.index, l.step, l.failed, l.what)
		}
	}
}

func (w *world) describe(l *life) string {
	text := asYAML(obj{"spec": l.now.spec})
	if l.next != nil {
		text += "changed: " + l.what + "\n"
	}
	return text
}

func asYAML(value any) string {
	data, err := yaml.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// shrink takes things out of the spec, or out of both specs, as long as the same
// step fails.
func (w *world) shrink(ctx context.Context, l *life) (string, error) {
	specs := obj{"before": copied(l.now.spec)}
	if l.next != nil {
		specs["after"] = copied(l.next.spec)
	}
	end := time.Now().Add(shrinkFor)
	tries := 0
	fails := func(specs obj) error {
		tries++
		again := w.replay(ctx, l, specs, tries)
		if again.step != l.step || cause(again.failed) != cause(l.failed) {
			return nil
		}
		return again.failed
	}
	failed := fails(specs)
	if failed == nil {
		return asYAML(specs), fmt.Errorf("it does not fail again, alone")
	}
	for smaller := true; smaller && time.Now().Before(end); {
		smaller = false
		paths := pathsOf(specs)
		slices.SortStableFunc(paths, func(a, b []any) int { return len(a) - len(b) })
		for _, path := range paths {
			if len(path) < 2 || at(specs, path) == nil || time.Now().After(end) {
				continue
			}
			candidate := without(specs, path)
			if err := fails(candidate); err != nil {
				specs, failed, smaller = candidate, err, true
			}
		}
	}
	return asYAML(specs), failed
}

// cause is the end of the first line of an error, which is what is wrong rather
// than where.
func cause(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	line = strings.TrimSpace(line)
	return line[max(0, len(line)-40):]
}

// replay is another life of the same app with other specs, alone.
func (w *world) replay(ctx context.Context, l *life, specs obj, try int) *life {
	again := &life{index: l.index, dice: l.dice}
	first := *l.now
	first.spec = specs["before"].(obj)
	first.owner.Namespace = "shrink"
	first.owner.UID = first.owner.UID + "-" + uidSuffix(try)
	again.now = &first
	one := []*life{again}
	w.each(one, "is valid and renders", func(l *life) error { return w.prepare(ctx, l.now) })
	w.each(one, "is created", func(l *life) error { return w.engine.create(ctx, l.now) })
	w.each(one, "is left alone the second time", func(l *life) error {
		if err := w.engine.settled(ctx, l.now); err != nil {
			return err
		}
		return w.engine.again(ctx, l.now)
	})
	if strings.HasPrefix(l.step, "is left alone by an engine that knows nothing") {
		w.each(one, l.step, func(l *life) error {
			e := w.newEngine(ctx, "restarted")
			defer e.stop()
			if err := e.settled(ctx, l.now); err != nil {
				return err
			}
			return e.again(ctx, l.now)
		})
	}
	if after, ok := specs["after"].(obj); ok {
		next := first
		next.spec, next.manifests, next.secrets = after, nil, l.next.secrets
		next.owner.Stamp.Generation++
		w.each(one, "has a valid change", func(l *life) error { l.next = &next; return w.prepare(ctx, &next) })
		w.each(one, "is changed", func(l *life) error { return w.engine.change(ctx, l.now, &next) })
		w.each(one, "is left alone after the change", func(l *life) error {
			if err := w.engine.settled(ctx, &next); err != nil {
				return err
			}
			return w.engine.again(ctx, &next)
		})
		if l.step == "is as if made anew" {
			w.each(one, l.step, func(l *life) error { return w.asNew(ctx, l) })
		}
	}
	if err := w.engine.remove(ctx, again.last()); err != nil && again.failed == nil {
		again.step, again.failed = "is removed", err
	}
	return again
}

// pathsOf are the paths of everything in a JSON value, its parents first. A path
// is of keys and indices.
func pathsOf(value any) [][]any {
	var paths [][]any
	var walk func(value any, path []any)
	walk = func(value any, path []any) {
		if len(path) > 0 {
			paths = append(paths, path)
		}
		switch value := value.(type) {
		case obj:
			for _, k := range slices.Sorted(maps.Keys(value)) {
				walk(value[k], append(slices.Clone(path), k))
			}
		case list:
			for i := range value {
				walk(value[i], append(slices.Clone(path), i))
			}
		}
	}
	walk(value, nil)
	return paths
}

// at is what is at a path, nil if nothing is.
func at(value any, path []any) any {
	for _, step := range path {
		switch v := value.(type) {
		case obj:
			key, _ := step.(string)
			value = v[key]
		case list:
			i, ok := step.(int)
			if !ok || i >= len(v) {
				return nil
			}
			value = v[i]
		default:
			return nil
		}
	}
	return value
}

// without is a copy without what is at a path.
func without(m obj, path []any) obj {
	m = copied(m)
	parent := at(m, path[:len(path)-1])
	switch last := path[len(path)-1].(type) {
	case string:
		delete(parent.(obj), last)
	case int:
		shorter := slices.Delete(parent.(list), last, last+1)
		switch grandparent := at(m, path[:len(path)-2]).(type) {
		case obj:
			grandparent[path[len(path)-2].(string)] = shorter
		case list:
			grandparent[path[len(path)-2].(int)] = shorter
		}
	}
	return m
}

package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	variableOpen     = "$(cluster."
	variableForms    = "$(cluster.name), $(cluster.labels.KEY) or $(cluster.properties.KEY)"
	labelPrefix      = "cluster.labels."
	propertyPrefix   = "cluster.properties."
	clusterName      = "cluster.name"
	trialReplacement = "1"
)

// variables replaces $(cluster.name), $(cluster.labels.KEY) and
// $(cluster.properties.KEY) by what the MemberCluster says. Every other $(NAME)
// is the kubelet's, and so is $$, its way to write a $ that means nothing.
type variables struct {
	cluster Cluster
	// trial is a made-up member on which every variable has a value.
	trial bool
	// used, unless it is nil, becomes true with the first variable.
	used *bool
}

// plain is a value as it is; quoted is one in an environment variable, where the
// kubelet would read a $ in it.
func plain(value string) string  { return value }
func quoted(value string) string { return strings.ReplaceAll(value, "$", "$$") }

// expand replaces the variables in text. The error says which cannot be
// replaced and what to do.
func (v variables) expand(text string, quote func(string) string) (string, error) {
	if !strings.Contains(text, variableOpen) {
		return text, nil
	}
	var out strings.Builder
	for text != "" {
		switch {
		case strings.HasPrefix(text, "$$"):
			out.WriteString("$$")
			text = text[2:]
		case strings.HasPrefix(text, variableOpen):
			name, rest, closed := strings.Cut(text[len("$("):], ")")
			if !closed {
				return "", fmt.Errorf("%q has no closing bracket: write %s", text, variableForms)
			}
			value, err := v.value(name)
			if err != nil {
				return "", err
			}
			out.WriteString(quote(value))
			text = rest
		default:
			out.WriteByte(text[0])
			text = text[1:]
		}
	}
	return out.String(), nil
}

func (v variables) value(name string) (string, error) {
	label, isLabel := strings.CutPrefix(name, labelPrefix)
	property, isProperty := strings.CutPrefix(name, propertyPrefix)
	if v.used != nil {
		*v.used = true
	}
	switch {
	case name != clusterName && (!isLabel || label == "") && (!isProperty || property == ""):
		return "", fmt.Errorf("$(%s) is no variable: use %s; $$(%s) stands for the text itself", name, variableForms, name)
	case v.trial:
		return trialReplacement, nil
	case isLabel:
		if value, ok := v.cluster.Labels[label]; ok {
			return value, nil
		}
		return "", fmt.Errorf("$(%s) has no value, since member %s has no label %q: label it (kubectl label membercluster %s %s=VALUE), or use the variable only in overrides for members that have the label",
			name, v.cluster.Name, label, v.cluster.Name, label)
	case isProperty:
		if value, ok := v.cluster.Properties[property]; ok {
			return string(value), nil
		}
		return "", fmt.Errorf("$(%s) has no value, since member %s has no property %q: set it in spec.properties of MemberCluster %s, or use the variable only in overrides for members that have the property",
			name, v.cluster.Name, property, v.cluster.Name)
	}
	return v.cluster.Name, nil
}

// expandJSON replaces the variables in every string of a JSON value; keys stay
// as they are.
func (v variables) expandJSON(raw []byte) ([]byte, error) {
	if !bytes.Contains(raw, []byte(variableOpen)) && !bytes.Contains(raw, []byte(`\u`)) {
		return raw, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("the value is not JSON: %w", err)
	}
	value, err := mapStrings(value, func(text string) (string, error) { return v.expand(text, plain) })
	if err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

// mapStrings replaces every string of a JSON value but the keys. The value is
// changed in place.
func mapStrings(value any, replace func(string) (string, error)) (any, error) {
	var err error
	switch value := value.(type) {
	case string:
		return replace(value)
	case []any:
		for i := range value {
			if value[i], err = mapStrings(value[i], replace); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(value)) {
			if value[k], err = mapStrings(value[k], replace); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

package placement

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apiserver/pkg/cel/library"

	v1 "github.com/example/myapp-hub/api/v1"
)

// variable is what an expression calls the member.
const variable = "cluster"

// newLanguage is the language of placement expressions: CEL's standard functions and
// macros, with the API server's quantities and versions, on the variable cluster. An
// environment belongs to one expression, since it is cheap to make.
func newLanguage() (*cel.Env, error) {
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	cluster := &clusterType{Registry: registry, fields: clusterFields()}
	return cel.NewEnv(
		cel.CustomTypeProvider(cluster),
		cel.CustomTypeAdapter(cluster),
		cel.Variable(variable, cel.ObjectType(typeName)),
		library.Quantity(),
		library.SemverLib(library.SemverVersion(1)),
	)
}

// variables are what an evaluation sees. cel-go's map of variables would be made for
// each member.
type variables struct{ cluster *Member }

// ResolveName implements cel.Activation.
func (v variables) ResolveName(name string) (any, bool) {
	if name != variable {
		return nil, false
	}
	return v.cluster, true
}

// Parent implements cel.Activation.
func (variables) Parent() cel.Activation { return nil }

// typeName is the type of cluster, as messages say it.
const typeName = "cluster"

// clusterType tells CEL the fields of Member, so that a misspelt one is found when
// compiling, and reads them without converting the rest.
type clusterType struct {
	*types.Registry
	fields map[string]*types.FieldType
}

// FindStructType implements types.Provider.
func (c *clusterType) FindStructType(name string) (*types.Type, bool) {
	if name == typeName {
		return types.NewTypeTypeWithParam(types.NewObjectType(typeName)), true
	}
	return c.Registry.FindStructType(name)
}

// FindStructFieldType implements types.Provider.
func (c *clusterType) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name == typeName {
		f, ok := c.fields[field]
		return f, ok
	}
	return c.Registry.FindStructFieldType(name, field)
}

// NativeToValue implements types.Adapter. A cluster is not a value of its own: it is
// nothing to compare or to put into a list.
func (c *clusterType) NativeToValue(value any) ref.Val {
	if _, ok := value.(*Member); ok {
		return types.WrapErr(errors.New("cluster is used without a field; write one such as cluster.name"))
	}
	return c.Registry.NativeToValue(value)
}

func clusterFields() map[string]*types.FieldType {
	fields := map[string]*types.FieldType{
		"name":              field(types.StringType, func(f *Member) (string, bool) { return f.Name, f.Name != "" }),
		"kubernetesVersion": field(types.StringType, func(f *Member) (string, bool) { return f.KubernetesVersion, f.KubernetesVersion != "" }),
	}
	for _, name := range []string{"labels", "properties", "annotations", "allocatable", "free"} {
		fields[name] = field(types.NewMapType(types.StringType, types.StringType), func(f *Member) (map[string]string, bool) {
			t := f.table(name)
			return t, len(t) > 0
		})
	}
	return fields
}

// field makes a field of a function that gives its value, and whether it is not empty.
func field[T any](of *types.Type, get func(*Member) (T, bool)) *types.FieldType {
	return &types.FieldType{
		Type: of,
		IsSet: func(cluster any) bool {
			f, ok := cluster.(*Member)
			if !ok {
				return false
			}
			_, ok = get(f)
			return ok
		},
		GetFrom: func(cluster any) (any, error) {
			f, ok := cluster.(*Member)
			if !ok {
				return nil, fmt.Errorf("%T is no cluster", cluster)
			}
			v, _ := get(f)
			return v, nil
		},
	}
}

// table is the map that is a field of a cluster, nil if it has no such field.
func (m *Member) table(field string) map[string]string {
	switch field {
	case "labels":
		return m.Labels
	case "properties":
		return m.Properties
	case "annotations":
		return m.Annotations
	case "allocatable":
		return quantities(m.Allocatable)
	case "free":
		return quantities(m.Free)
	}
	return nil
}

// quantities are amounts as pods write them.
func quantities(a *v1.Amounts) map[string]string {
	if a == nil {
		return nil
	}
	return map[string]string{
		"cpu":    strconv.FormatInt(a.CPUMillis, 10) + "m",
		"memory": strconv.FormatInt(a.MemoryMiB, 10) + "Mi",
		"pods":   strconv.FormatInt(a.Pods, 10),
	}
}

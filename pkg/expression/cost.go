package expression

import (
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"
)

// costs charges for the size of what is worked on. cel-go does so only where it
// knows the types when compiling, and of the fields of an object it knows none:
// doubling a string fifty times would cost fifty units, and all memory.
type costs struct{ patterns patterns }

var _ interpreter.ActualCostEstimator = costs{}

func (c costs) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := uint64(1)
	switch function {
	case overloads.Contains:
		return nil // it has one signature: cel-go's own estimate applies
	case overloads.Matches:
		cost += (1 + textWeight(args[0])) * (1 + c.patterns.weight(args[1]))
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
		// Labels and the like are asked for often, and CEL's iterator is slow.
		if table, ok := v.Value().(map[string]string); ok {
			for _, text := range table {
				n = min(n+1+textWeight(types.String(text)), most)
			}
			return n
		}
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

func sizeOf(v ref.Val) uint64 {
	if s, ok := v.(traits.Sizer); ok {
		if n, ok := s.Size().(types.Int); ok {
			return uint64(n)
		}
	}
	return 0
}

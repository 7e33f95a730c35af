package object

import (
	"math"
	"math/big"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
)

// SetIdentity returns a value that is equal for exactly the values which are one
// element to a set (rule 2.1): zeros of either sign, NaNs, and decimals of equal
// value are; in a set of mixed, so are all numbers of equal value.
func SetIdentity(v changeset.Value, mixed bool) changeset.Value {
	switch v.Type {
	case changeset.Float:
		if mixed {
			return doubleIdentity(float64(v.Float32()), true)
		}
		switch f := v.Float32(); {
		case f == 0:
			return changeset.FloatValue(0)
		case f != f:
			return changeset.FloatValue(float32(math.NaN()))
		}
	case changeset.Double:
		return doubleIdentity(v.Float64(), mixed)
	case changeset.Decimal:
		return decimalIdentity(v, mixed)
	}
	return v
}

// doubleIdentity is an Int for doubles that an int64 can hold, if mixed.
func doubleIdentity(f float64, mixed bool) changeset.Value {
	switch {
	case f != f:
		return changeset.DoubleValue(math.NaN())
	case mixed && f == math.Trunc(f) && f >= -1<<63 && f < 1<<63:
		return changeset.IntValue(int64(f))
	case f == 0:
		return changeset.DoubleValue(0)
	}
	return changeset.DoubleValue(f)
}

// decimalIdentity drops trailing zeros. If mixed it is the Int or the Double
// that has the very value, should there be one.
func decimalIdentity(v changeset.Value, mixed bool) changeset.Value {
	_, _, exponent, negative := v.Decimal()
	switch {
	case v.IsNaN():
		if mixed {
			return changeset.DoubleValue(math.NaN())
		}
		return changeset.DecimalValue(0, 0, changeset.DecimalNaN, false)
	case v.IsInfinite():
		if mixed {
			sign := 1
			if negative {
				sign = -1
			}
			return changeset.DoubleValue(math.Inf(sign))
		}
		return changeset.DecimalValue(0, 0, changeset.DecimalInfinity, negative)
	}
	c := v.Coefficient()
	if c.Sign() == 0 {
		if mixed {
			return changeset.IntValue(0)
		}
		return changeset.DecimalValue(0, 0, 0, false)
	}
	ten, rest, quotient := big.NewInt(10), new(big.Int), new(big.Int)
	for quotient.QuoRem(c, ten, rest); rest.Sign() == 0; quotient.QuoRem(c, ten, rest) {
		c, quotient = quotient, c
		exponent++
	}
	if mixed {
		if n, ok := binaryIdentity(c, exponent, negative); ok {
			return n
		}
	}
	low := new(big.Int).And(c, new(big.Int).SetUint64(math.MaxUint64)).Uint64()
	return changeset.DecimalValue(c.Rsh(c, 64).Uint64(), low, exponent, negative)
}

// binaryIdentity returns the Int or Double of the decimal's exact value.
func binaryIdentity(coefficient *big.Int, exponent int32, negative bool) (changeset.Value, bool) {
	// Beyond, no double is a number; below, five's power doesn't divide a
	// coefficient of 34 digits, so that the fraction has no end in binary.
	const largest, smallest = 309, -49
	if exponent > largest || exponent < smallest {
		return changeset.Value{}, false
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(exponent, -exponent))), nil)
	value := new(big.Rat).SetInt(coefficient)
	if exponent < 0 {
		value.Quo(value, new(big.Rat).SetInt(power))
	} else {
		value.Mul(value, new(big.Rat).SetInt(power))
	}
	if negative {
		value.Neg(value)
	}
	if value.IsInt() && value.Num().IsInt64() {
		return changeset.IntValue(value.Num().Int64()), true
	}
	f, exact := value.Float64()
	return changeset.DoubleValue(f), exact
}

// indexFrom is the size from which a set keeps an index of its elements.
const indexFrom = 16

// position returns where the set holds a value equal to v, or -1.
func (s *Set) position(v changeset.Value, mixed bool) int {
	id := SetIdentity(v, mixed)
	if len(s.Items) < indexFrom {
		s.index = nil
		return slices.IndexFunc(s.Items, func(item changeset.Value) bool { return SetIdentity(item, mixed) == id })
	}
	if len(s.index) != len(s.Items) {
		s.index = make(map[changeset.Value]int, 2*len(s.Items))
		for i, item := range s.Items {
			s.index[SetIdentity(item, mixed)] = i
		}
	}
	if i, ok := s.index[id]; ok {
		return i
	}
	return -1
}

// CanErase reports whether clients can apply a SetErase of v to the set, which may
// be nil. They can't of null (trap 7.6), nor in a set of floats or doubles of
// anything while it has a NaN, which their search does not get past; sets of mixed
// know neither trouble.
func (s *Set) CanErase(v changeset.Value, mixed bool) bool {
	if mixed {
		return true
	}
	return !v.IsNull() && !isBinaryNaN(v) && !s.hasBinaryNaN()
}

func (s *Set) hasBinaryNaN() bool { return s != nil && slices.ContainsFunc(s.Items, isBinaryNaN) }

// isBinaryNaN reports whether a value is a float's or a double's NaN.
func isBinaryNaN(v changeset.Value) bool {
	switch v.Type {
	case changeset.Float:
		return v.Float32() != v.Float32()
	case changeset.Double:
		return v.Float64() != v.Float64()
	}
	return false
}

// insert adds v unless the set has an equal value.
func (s *Set) insert(v changeset.Value, mixed bool) {
	if s.position(v, mixed) >= 0 {
		return
	}
	if s.index != nil {
		s.index[SetIdentity(v, mixed)] = len(s.Items)
	}
	s.Items = append(s.Items, v)
}

// erase removes the value equal to v. The last element takes its place.
func (s *Set) erase(v changeset.Value, mixed bool) {
	i := s.position(v, mixed)
	if i < 0 {
		return
	}
	last := len(s.Items) - 1
	if s.index != nil {
		s.index[SetIdentity(s.Items[last], mixed)] = i
		delete(s.index, SetIdentity(v, mixed))
	}
	s.Items[i] = s.Items[last]
	s.Items = s.Items[:last]
}

// sameElements reports whether two sets hold equal elements.
func sameElements(a, b *Set, mixed bool) bool {
	if len(a.Items) != len(b.Items) {
		return false
	}
	if slices.Equal(a.Items, b.Items) {
		return true
	}
	ids := make(map[changeset.Value]struct{}, len(a.Items))
	for _, v := range a.Items {
		ids[SetIdentity(v, mixed)] = struct{}{}
	}
	for _, v := range b.Items {
		if _, ok := ids[SetIdentity(v, mixed)]; !ok {
			return false
		}
	}
	return true
}

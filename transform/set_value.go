package transform

import (
	"math"

	"github.com/isthmus-sync/isthmus/changeset"
)

// equalValues reports whether rule T1 takes two values for one: they have the
// same type and equal content. Numbers are equal as numbers are, so 0 and -0,
// or the decimals 1.5 and 1.50, are one value, and a NaN equals nothing.
func equalValues(v, w changeset.Value) bool {
	if v.Type != w.Type {
		return false
	}
	switch v.Type {
	case changeset.Float:
		return v.Float32() == w.Float32()
	case changeset.Double:
		return v.Float64() == w.Float64()
	case changeset.Decimal:
		return v.Reduced() == w.Reduced()
	}
	return v == w
}

// comparedByPosition reports whether the original compares values like this
// one by their position in the string table when both are erased (defect 7.1).
func comparedByPosition(v changeset.Value) bool {
	switch v.Type {
	case changeset.String, changeset.Binary, changeset.Link:
		return true
	}
	return false
}

// mayShareAPosition reports whether the original could take two different
// erased values for equal (defect 7.1): what it compares is, for texts and
// binary data, their place and length, for links the places of class and key
// in the table of interned strings.
func mayShareAPosition(v, w changeset.Value) bool {
	if v.Type != w.Type {
		return false
	}
	switch v.Type {
	case changeset.String, changeset.Binary:
		return len(v.Str) == len(w.Str)
	case changeset.Link:
		return v.Key == w.Key || v.Key.Type == changeset.String && w.Key.Type == changeset.String
	}
	return false
}

// mayBeOneElement reports whether storage might take two values, which rule T1
// tells apart, for one element of a set (defect 7.7). It compares numbers of
// different types approximately: a wrong yes is harmless.
func mayBeOneElement(v, w changeset.Value) bool {
	x, ok := approximately(v)
	if !ok {
		return false
	}
	y, ok := approximately(w)
	if !ok {
		return false
	}
	if math.IsNaN(x) || math.IsNaN(y) {
		return math.IsNaN(x) && math.IsNaN(y)
	}
	if v.Type == w.Type {
		return false // compared exactly before
	}
	if math.IsInf(x, 0) || math.IsInf(y, 0) {
		return x == y
	}
	return math.Abs(x-y) <= 1e-9*math.Abs(x)
}

// approximately returns a number as a float.
func approximately(v changeset.Value) (float64, bool) {
	switch v.Type {
	case changeset.Int:
		return float64(v.Num), true
	case changeset.Float:
		return float64(v.Float32()), true
	case changeset.Double:
		return v.Float64(), true
	case changeset.Decimal:
		high, low, exponent, negative := v.Decimal()
		sign := 1
		if negative {
			sign = -1
		}
		switch {
		case v.IsNaN():
			return math.NaN(), true
		case v.IsInfinite():
			return math.Inf(sign), true
		}
		c := math.Ldexp(float64(high), 64) + float64(low)
		if c == 0 {
			return 0, true
		}
		return float64(sign) * c * math.Pow(10, float64(exponent)), true
	}
	return 0, false
}

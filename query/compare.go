package query

import (
	"cmp"
	"math"
	"math/big"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
)

// order compares two values that aren't null. They compare if both are numbers,
// or of one kind. A NaN equals NaNs of the same bits and is below all numbers.
func order(a, b changeset.Value) (result int, comparable bool) {
	if a.Type != b.Type {
		if isNumber(a.Type) && isNumber(b.Type) {
			return orderNumbers(a, b)
		}
		return 0, false
	}
	switch a.Type {
	case changeset.Int, changeset.Bool:
		return cmp.Compare(a.Num, b.Num), true
	case changeset.String, changeset.Binary, changeset.ObjectID, changeset.UUID:
		return strings.Compare(a.Str, b.Str), true
	case changeset.Timestamp:
		return cmp.Or(cmp.Compare(a.Num, b.Num), cmp.Compare(a.Nanos, b.Nanos)), true
	case changeset.Float, changeset.Double, changeset.Decimal:
		return orderNumbers(a, b)
	case changeset.List, changeset.Dictionary:
		return 0, true // whatever is in them
	}
	return 0, false
}

func isNumber(t changeset.Type) bool {
	switch t {
	case changeset.Int, changeset.Float, changeset.Double, changeset.Decimal:
		return true
	}
	return false
}

func orderNumbers(a, b changeset.Value) (int, bool) {
	if a.Type == changeset.Decimal || b.Type == changeset.Decimal {
		return orderDecimals(toDecimal(a), toDecimal(b)), true
	}
	if a.Type == changeset.Int && b.Type == changeset.Int {
		return cmp.Compare(a.Num, b.Num), true
	}
	if a.Type == changeset.Int {
		return orderIntFloat(a.Num, toFloat(b)), true
	}
	if b.Type == changeset.Int {
		return -orderIntFloat(b.Num, toFloat(a)), true
	}
	x, y := toFloat(a), toFloat(b)
	if x != x && y != y {
		return cmp.Compare(math.Float64bits(x), math.Float64bits(y)), true
	}
	return cmp.Compare(x, y), true // which puts NaN lowest, too
}

// toFloat returns a Float's or Double's number.
func toFloat(v changeset.Value) float64 {
	if v.Type == changeset.Float {
		return float64(v.Float32())
	}
	return v.Float64()
}

// orderIntFloat compares by exact value.
func orderIntFloat(i int64, f float64) int {
	switch {
	case f != f || f < -1<<63:
		return 1
	case f >= 1<<63:
		return -1
	}
	whole := math.Trunc(f)
	return cmp.Or(cmp.Compare(i, int64(whole)), cmp.Compare(0, f-whole))
}

// isNaN reports whether the value is a Float or Double that is not a number.
func isNaN(v changeset.Value) bool {
	return (v.Type == changeset.Float || v.Type == changeset.Double) && toFloat(v) != toFloat(v)
}

// orderDecimals compares by value; NaN is below all else and equal to itself.
func orderDecimals(a, b changeset.Value) int {
	if a.IsNaN() || b.IsNaN() {
		return cmp.Compare(boolToInt(b.IsNaN()), boolToInt(a.IsNaN()))
	}
	sa, sb := decimalSign(a), decimalSign(b)
	if sa != sb || sa == 0 {
		return cmp.Compare(sa, sb)
	}
	switch {
	case a.IsInfinite() && b.IsInfinite():
		return 0
	case a.IsInfinite():
		return sa
	case b.IsInfinite():
		return -sa
	}
	ha, la, ea, _ := a.Decimal()
	hb, lb, eb, _ := b.Decimal()
	if ha == 0 && hb == 0 && ea == eb {
		return sa * cmp.Compare(la, lb)
	}
	ca, cb := a.Coefficient(), b.Coefficient()
	// Digits before the point decide, if they differ: this keeps powers small.
	ma, mb := len(ca.String())+int(ea), len(cb.String())+int(eb)
	if ma != mb {
		return sa * cmp.Compare(ma, mb)
	}
	if ea > eb {
		ca.Mul(ca, powerOfTen(int64(ea-eb)))
	} else if eb > ea {
		cb.Mul(cb, powerOfTen(int64(eb-ea)))
	}
	return sa * ca.Cmp(cb)
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func powerOfTen(n int64) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(n), nil) }

// decimalSign returns -1, 0 or 1.
func decimalSign(v changeset.Value) int {
	high, low, _, negative := v.Decimal()
	switch {
	case !v.IsInfinite() && (high|low == 0 || high != 0 && v.Coefficient().Sign() == 0):
		return 0
	case negative:
		return -1
	}
	return 1
}

// toDecimal converts a number to a decimal as Realm does: floats are rounded to
// 7 digits, doubles to 15.
func toDecimal(v changeset.Value) changeset.Value {
	switch v.Type {
	case changeset.Int:
		if v.Num < 0 {
			return changeset.DecimalValue(0, -uint64(v.Num), 0, true)
		}
		return changeset.DecimalValue(0, uint64(v.Num), 0, false)
	case changeset.Float:
		return floatToDecimal(float64(v.Float32()), 7)
	case changeset.Double:
		return floatToDecimal(v.Float64(), 15)
	}
	return v
}

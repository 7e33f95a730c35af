package query

import (
	"math"
	"math/big"
	"strconv"

	"github.com/isthmus-sync/isthmus/changeset"
)

// compute returns a op b as Realm computes it: null if either is null; integers
// wrap around, lose the fraction when divided, and divided by 0 are the largest
// of their sign; a decimal makes the result
// one, else a double, else a float. What is not a number counts as 0 beside
// those three, or makes the result null.
func compute(op byte, a, b changeset.Value) changeset.Value {
	if !isNumber(a.Type) || !isNumber(b.Type) {
		if !countsAsZero(a, b) && !countsAsZero(b, a) {
			return changeset.NullValue()
		}
		if isNumber(a.Type) {
			b = changeset.IntValue(0)
		} else {
			a = changeset.IntValue(0)
		}
	}
	switch {
	case a.Type == changeset.Decimal || b.Type == changeset.Decimal:
		return computeDecimals(op, toDecimal(a), toDecimal(b))
	case a.Type == changeset.Int && b.Type == changeset.Int:
		return computeInts(op, a.Num, b.Num)
	case a.Type == changeset.Double || b.Type == changeset.Double:
		return changeset.DoubleValue(computeFloats(op, floatOf(a), floatOf(b)))
	}
	return changeset.FloatValue(computeFloats(op, float32(floatOf(a)), float32(floatOf(b))))
}

// countsAsZero reports whether a counts as 0 beside the number b.
func countsAsZero(a, b changeset.Value) bool {
	switch a.Type {
	case changeset.Bool, changeset.String, changeset.Binary, changeset.Timestamp:
		return isNumber(b.Type) && b.Type != changeset.Int
	}
	return false
}

func floatOf(v changeset.Value) float64 {
	if v.Type == changeset.Int {
		return float64(v.Num)
	}
	return toFloat(v)
}

func computeInts(op byte, a, b int64) changeset.Value {
	switch op {
	case '+':
		return changeset.IntValue(a + b)
	case '-':
		return changeset.IntValue(a - b)
	case '*':
		return changeset.IntValue(a * b)
	}
	switch {
	case b != 0:
		return changeset.IntValue(a / b)
	case a < 0:
		return changeset.IntValue(math.MinInt64)
	}
	return changeset.IntValue(math.MaxInt64)
}

func computeFloats[F float32 | float64](op byte, a, b F) F {
	switch op {
	case '+':
		return a + b
	case '-':
		return a - b
	case '*':
		return a * b
	}
	return a / b
}

// floatToDecimal rounds to that many digits.
func floatToDecimal(f float64, digits int) changeset.Value {
	text := strconv.FormatFloat(f, 'g', digits, 64)
	v, err := changeset.ParseDecimal(text)
	if err != nil { // never: the text is a number, ±Inf or NaN
		return decimalNaN
	}
	return v
}

var decimalNaN = changeset.DecimalValue(0, 0, changeset.DecimalNaN, false)

// computeDecimals computes with 34 digits, rounding half to even.
func computeDecimals(op byte, a, b changeset.Value) changeset.Value {
	if a.IsNaN() || b.IsNaN() {
		return decimalNaN
	}
	sa, sb := decimalSign(a), decimalSign(b)
	if op == '-' {
		b = negate(b)
		op, sb = '+', -sb
	}
	infinite := func(sign int) changeset.Value {
		return changeset.DecimalValue(0, 0, changeset.DecimalInfinity, sign < 0)
	}
	switch {
	case op == '+' && a.IsInfinite():
		if b.IsInfinite() && sa != sb {
			return decimalNaN
		}
		return infinite(sa)
	case op == '+' && b.IsInfinite():
		return infinite(sb)
	case op == '*' && (a.IsInfinite() || b.IsInfinite()):
		if sa*sb == 0 {
			return decimalNaN
		}
		return infinite(sa * sb)
	case op == '/' && a.IsInfinite():
		if b.IsInfinite() {
			return decimalNaN
		}
		return infinite(sa * signOf(b))
	case op == '/' && b.IsInfinite():
		return changeset.DecimalValue(0, 0, changeset.DecimalMinExponent, sa*sb < 0)
	case op == '/' && sb == 0:
		if sa == 0 {
			return decimalNaN
		}
		return infinite(sa * signOf(b))
	}
	return roundRational(op, a, b)
}

// signOf returns -1 for negative decimals, zero included, else 1.
func signOf(v changeset.Value) int {
	if _, _, _, negative := v.Decimal(); negative {
		return -1
	}
	return 1
}

func negate(v changeset.Value) changeset.Value {
	high, low, exponent, negative := v.Decimal()
	return changeset.DecimalValue(high, low, exponent, !negative)
}

// roundRational computes with numbers that have an end.
func roundRational(op byte, a, b changeset.Value) changeset.Value {
	_, _, ea, na := a.Decimal()
	_, _, eb, nb := b.Decimal()
	ca, cb := a.Coefficient(), b.Coefficient()
	if na {
		ca.Neg(ca)
	}
	if nb {
		cb.Neg(cb)
	}
	exponent := int64(ea)
	switch op {
	case '*':
		ca.Mul(ca, cb)
		exponent += int64(eb)
	case '+':
		// Where the exponents are so far apart that one summand can't change
		// the digits of the other, a trace of it is enough for rounding.
		const apart = 2*changeset.DecimalDigits + 3
		if eb > ea {
			ca, cb, ea, eb = cb, ca, eb, ea
		}
		exponent = int64(eb)
		shift := int64(ea) - int64(eb)
		if shift > apart && ca.Sign() != 0 {
			cb.SetInt64(int64(cb.Sign()))
			exponent = int64(ea) - apart
			shift = apart
		}
		if ca.Sign() != 0 {
			ca.Mul(ca, powerOfTen(shift))
		}
		ca.Add(ca, cb)
	case '/':
		// Enough digits that a remainder is below half of the last one.
		const extra = 2*changeset.DecimalDigits + 3
		rest := new(big.Int)
		ca.Mul(ca, powerOfTen(extra))
		ca.QuoRem(ca, cb, rest)
		exponent -= int64(eb) + extra
		if rest.Sign() != 0 { // a trace, in one more digit
			ca.Mul(ca, big.NewInt(10))
			ca.Add(ca, big.NewInt(int64(rest.Sign()*cb.Sign())))
			exponent--
		}
	}
	v, err := changeset.ParseDecimal(ca.String() + "e" + strconv.FormatInt(exponent, 10))
	if err != nil { // never: the text is a number
		return decimalNaN
	}
	return v
}

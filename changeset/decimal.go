package changeset

import (
	"errors"
	"fmt"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// The range of the exponents of decimals that are numbers, and the number of
// digits of their coefficients (IEEE 754 decimal128).
const (
	DecimalMinExponent = -6176
	DecimalMaxExponent = 6111
	DecimalDigits      = 34
)

// ErrBadDecimal is the error for text that is no decimal.
var ErrBadDecimal = errors.New("not a decimal")

// validExponent reports whether a decimal with this exponent is a number, an
// infinity or a NaN. The exponent is the 14 bits of a decimal128 that tell these
// apart, counted from the smallest exponent.
func validExponent(e int32) bool {
	return e >= DecimalMinExponent && e <= DecimalMaxExponent ||
		e >= DecimalInfinity && e < 1<<14+DecimalMinExponent
}

// IsNaN reports whether the payload is a Decimal that is not a number.
func (v Value) IsNaN() bool { return v.Type == Decimal && v.Nanos >= DecimalNaN }

// IsInfinite reports whether the payload is an infinite Decimal.
func (v Value) IsInfinite() bool {
	return v.Type == Decimal && v.Nanos >= DecimalInfinity && v.Nanos < DecimalNaN
}

// Coefficient returns a Decimal payload's coefficient, without its sign.
// Coefficients of more than 34 digits count as 0, as IEEE 754 has it.
func (v Value) Coefficient() *big.Int {
	high, low, _, _ := v.Decimal()
	c := new(big.Int).SetUint64(high)
	c.Lsh(c, 64).Or(c, new(big.Int).SetUint64(low))
	if c.Cmp(coefficientLimit) >= 0 {
		c.SetInt64(0)
	}
	return c
}

// Reduced returns the Decimal payload of the same value that has the smallest
// coefficient; of all zeros the same one. Those that are no numbers stay.
func (v Value) Reduced() Value {
	high, low, exponent, negative := v.Decimal()
	switch {
	case v.IsNaN() || v.IsInfinite():
		return v
	case high == 0 && low == 0:
		return DecimalValue(0, 0, 0, false)
	}
	for {
		h, rest := high/10, high%10
		l, rest := bits.Div64(rest, low, 10)
		if rest != 0 {
			return DecimalValue(high, low, exponent, negative)
		}
		high, low, exponent = h, l, exponent+1
	}
}

var (
	ten              = big.NewInt(10)
	coefficientLimit = new(big.Int).Exp(ten, big.NewInt(DecimalDigits), nil)
)

// DecimalText returns a Decimal payload as text that ParseDecimal reads back
// with every trailing zero: 12.50, 1.5E+30, -Infinity, NaN. (The "scientific
// string" of the decimal arithmetic specification, as MongoDB prints it.)
func (v Value) DecimalText() string {
	sign := ""
	if v.High&decimalSign != 0 {
		sign = "-"
	}
	switch {
	case v.IsNaN():
		return "NaN"
	case v.IsInfinite():
		return sign + "Infinity"
	}
	digits, exponent := v.Coefficient().String(), int(v.Nanos)
	adjusted := exponent + len(digits) - 1
	if exponent > 0 || adjusted < -6 {
		if len(digits) > 1 {
			digits = digits[:1] + "." + digits[1:]
		}
		return fmt.Sprintf("%s%sE%+d", sign, digits, adjusted)
	}
	if exponent == 0 {
		return sign + digits
	}
	point := len(digits) + exponent
	if point <= 0 {
		return sign + "0." + strings.Repeat("0", -point) + digits
	}
	return sign + digits[:point] + "." + digits[point:]
}

// ParseDecimal reads a decimal: an optional sign, digits with or without a
// point, an optional exponent; or Infinity, Inf, NaN in any case. More than 34
// digits are rounded to even, what is too large becomes infinite, and what is
// too small zero, as clients do it. Any other text is an ErrBadDecimal.
func ParseDecimal(text string) (Value, error) {
	bad := fmt.Errorf("%w: %.50q", ErrBadDecimal, text)
	rest, negative := text, false
	if rest != "" && (rest[0] == '-' || rest[0] == '+') {
		negative = rest[0] == '-'
		rest = rest[1:]
	}
	switch strings.ToLower(rest) {
	case "infinity", "inf":
		return DecimalValue(0, 0, DecimalInfinity, negative), nil
	case "nan":
		return DecimalValue(0, 0, DecimalNaN, false), nil
	}
	mantissa, exponentText, hasExponent := cutExponent(rest)
	exponent := 0
	if hasExponent {
		// Beyond a million either way only zero and infinity are left.
		e, err := strconv.Atoi(exponentText)
		switch {
		case errors.Is(err, strconv.ErrRange):
			e = 1_000_000
			if exponentText[0] == '-' {
				e = -e
			}
		case err != nil:
			return Value{}, bad
		}
		exponent = min(max(e, -1_000_000), 1_000_000)
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole == "" && fraction == "" || !allDigits(whole) || !allDigits(fraction) {
		return Value{}, bad
	}
	exponent -= len(fraction)
	digits := strings.TrimLeft(whole+fraction, "0")
	return roundDecimal(digits, exponent, negative), nil
}

func cutExponent(s string) (mantissa, exponent string, found bool) {
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func allDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// roundDecimal makes the decimal of these digits, without leading zeros, that
// fits the format.
func roundDecimal(digits string, exponent int, negative bool) Value {
	if drop := max(len(digits)-DecimalDigits, DecimalMinExponent-exponent); drop > 0 && digits != "" {
		digits, exponent = dropDigits(digits, drop), exponent+drop
		if len(digits) > DecimalDigits { // 9…9 became 10…0
			digits, exponent = digits[:DecimalDigits], exponent+1
		}
	}
	if digits == "" {
		exponent = min(max(exponent, DecimalMinExponent), DecimalMaxExponent)
		return DecimalValue(0, 0, int32(exponent), negative)
	}
	if excess := exponent - DecimalMaxExponent; excess > 0 {
		if len(digits)+excess > DecimalDigits {
			return DecimalValue(0, 0, DecimalInfinity, negative)
		}
		digits, exponent = digits+strings.Repeat("0", excess), DecimalMaxExponent
	}
	c, _ := new(big.Int).SetString(digits, 10)
	low := new(big.Int).And(c, new(big.Int).SetUint64(1<<64-1)).Uint64()
	high := c.Rsh(c, 64).Uint64()
	return DecimalValue(high, low, int32(exponent), negative)
}

// dropDigits drops n digits at the end, rounding half to even. The result is
// empty for zero.
func dropDigits(digits string, n int) string {
	if n > len(digits) {
		return ""
	}
	kept, dropped := digits[:len(digits)-n], digits[len(digits)-n:]
	half := "5" + strings.Repeat("0", n-1)
	odd := kept != "" && (kept[len(kept)-1]-'0')%2 == 1
	if dropped < half || dropped == half && !odd {
		return kept
	}
	c := new(big.Int)
	if kept != "" {
		c.SetString(kept, 10)
	}
	return c.Add(c, big.NewInt(1)).String()
}

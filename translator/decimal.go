package translator

import (
	"math"
	"strconv"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
)

// The layout of a decimal128 in binary integer encoding: sign, 14 bits of
// biased exponent, 113 bits of coefficient. Where the exponent's two top bits
// are set it is an infinity, no number, or a coefficient too large to be one.
const (
	decimalBias      = 6176
	decimalExponents = 0x3000 // exponents a finite decimal can have, biased
	decimalHighBits  = 49     // of the coefficient in the high word
	decimalSign      = 1 << 63
	decimalInfinity  = 0x7800000000000000
	decimalNaN       = 0x7c00000000000000
)

// decimalFromBits reads a BSON decimal's two words. Infinities and NaNs lose
// what they may carry in their coefficient, and an encoding that the standard
// reads as zero becomes that zero.
func decimalFromBits(high, low uint64) changeset.Value {
	negative := high&decimalSign != 0
	switch {
	case high&decimalNaN == decimalNaN:
		return changeset.DecimalValue(0, 0, changeset.DecimalNaN, negative)
	case high&decimalNaN == decimalInfinity:
		return changeset.DecimalValue(0, 0, changeset.DecimalInfinity, negative)
	case high>>61&3 == 3:
		return changeset.DecimalValue(0, 0, int32(high>>47&0x3fff)-decimalBias, negative)
	}
	return changeset.DecimalValue(high&(1<<decimalHighBits-1), low, int32(high>>decimalHighBits&0x3fff)-decimalBias, negative)
}

// decimalBits returns the words of the BSON decimal, as decimalFromBits reads
// them; ok is false when the value is none that a decimal128 can hold.
func decimalBits(v changeset.Value) (high, low uint64, ok bool) {
	high, low, exponent, negative := v.Decimal()
	biased := int64(exponent) + decimalBias
	switch {
	case exponent == changeset.DecimalNaN:
		high, low = decimalNaN, 0
	case exponent == changeset.DecimalInfinity:
		high, low = decimalInfinity, 0
	case biased < 0 || biased >= decimalExponents || high>>decimalHighBits != 0:
		return 0, 0, false
	default:
		high |= uint64(biased) << decimalHighBits
	}
	if negative {
		high |= decimalSign
	}
	return high, low, true
}

func decimalFromInt(n int64) changeset.Value {
	if n < 0 {
		return changeset.DecimalValue(0, -uint64(n), 0, true)
	}
	return changeset.DecimalValue(0, uint64(n), 0, false)
}

// decimalFromDouble returns the shortest decimal that reads back as the same
// double: 0.1, not the 55 digits that the double stands for.
func decimalFromDouble(f float64) changeset.Value {
	negative := math.Signbit(f)
	switch {
	case math.IsNaN(f):
		return changeset.DecimalValue(0, 0, changeset.DecimalNaN, false)
	case math.IsInf(f, 0):
		return changeset.DecimalValue(0, 0, changeset.DecimalInfinity, negative)
	}
	digits, exp, _ := strings.Cut(strconv.FormatFloat(math.Abs(f), 'e', -1, 64), "e")
	whole, fraction, _ := strings.Cut(digits, ".")
	coefficient, _ := strconv.ParseUint(whole+fraction, 10, 64) // at most 17 digits
	exponent, _ := strconv.Atoi(exp)
	return changeset.DecimalValue(0, coefficient, int32(exponent-len(fraction)), negative)
}

// decimalToInt returns the integer a decimal stands for exactly, within ±2^53.
func decimalToInt(v changeset.Value) (int64, bool) {
	v = v.Reduced()
	high, low, exponent, negative := v.Decimal()
	if high != 0 || low > maxExactInt || exponent < 0 || exponent == changeset.DecimalNaN || exponent == changeset.DecimalInfinity {
		return 0, false
	}
	for ; exponent > 0 && low <= maxExactInt; exponent-- {
		low *= 10
	}
	if low > maxExactInt {
		return 0, false
	}
	if negative {
		return -int64(low), true
	}
	return int64(low), true
}

//go:build cgo

package main

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// IEEE 754-2008 decimal128 in the binary integer encoding, as two 64-bit words.

// decBias is what is added to the exponent, and maxExponent the largest sum.
const (
	decBias     = 6176
	maxExponent = 12287
)

// parseDecimal reads a number of at most 34 digits, NaN or Infinity.
func parseDecimal(s string) (lo, hi uint64, err error) {
	t := strings.TrimSpace(s)
	var sign uint64
	if strings.HasPrefix(t, "-") {
		sign = 1 << 63
		t = t[1:]
	} else {
		t = strings.TrimPrefix(t, "+")
	}
	switch strings.ToLower(t) {
	case "nan":
		return 0, sign | 0x7c00000000000000, nil
	case "inf", "infinity":
		return 0, sign | 0x7800000000000000, nil
	}
	exp := 0
	if i := strings.IndexAny(t, "eE"); i >= 0 {
		if exp, err = strconv.Atoi(t[i+1:]); err != nil {
			return 0, 0, fmt.Errorf("bad decimal %q", s)
		}
		t = t[:i]
	}
	if i := strings.IndexByte(t, '.'); i >= 0 {
		exp -= len(t) - i - 1
		t = t[:i] + t[i+1:]
	}
	c, ok := new(big.Int).SetString(t, 10)
	if !ok || c.Sign() < 0 {
		return 0, 0, fmt.Errorf("bad decimal %q", s)
	}
	e := exp + decBias
	if len(c.String()) > 34 || e < 0 || e > maxExponent {
		return 0, 0, fmt.Errorf("decimal %q does not fit", s)
	}
	mask := new(big.Int).SetUint64(^uint64(0))
	lo = new(big.Int).And(c, mask).Uint64()
	hi = sign | uint64(e)<<49 | new(big.Int).Rsh(c, 64).Uint64()
	return lo, hi, nil
}

// formatDecimal writes the same number, trailing zeros kept, in scientific
// notation where the plain one would grow long.
func formatDecimal(lo, hi uint64) string {
	sign := ""
	if hi>>63 == 1 {
		sign = "-"
	}
	switch {
	case hi&0x7c00000000000000 == 0x7c00000000000000:
		return "NaN"
	case hi&0x7c00000000000000 == 0x7800000000000000:
		return sign + "Infinity"
	case hi>>61&3 == 3: // a coefficient beyond 34 digits: reads as zero
		return sign + "0E" + strconv.Itoa(int(hi>>47&0x3fff)-decBias)
	}
	exp := int(hi>>49&0x3fff) - decBias
	c := new(big.Int).SetUint64(hi & 0x1ffffffffffff)
	c.Lsh(c, 64).Or(c, new(big.Int).SetUint64(lo))
	d := c.String()
	adj := exp + len(d) - 1
	if exp <= 0 && adj >= -6 {
		if exp == 0 {
			return sign + d
		}
		for len(d) <= -exp {
			d = "0" + d
		}
		return sign + d[:len(d)+exp] + "." + d[len(d)+exp:]
	}
	if len(d) > 1 {
		d = d[:1] + "." + d[1:]
	}
	return fmt.Sprintf("%s%sE%+d", sign, d, adj)
}

//go:build cgo

package main

import "testing"

func TestDecimalRoundTrip(t *testing.T) {
	for _, s := range []string{
		"0", "-0", "0.00", "1", "-1.5", "12345678901234567890123456789.01234",
		"9999999999999999999999999999999999", "1E+6111", "1E-6176", "1.2340E+6", "NaN", "Infinity", "-Infinity",
	} {
		lo, hi, err := parseDecimal(s)
		if err != nil {
			t.Errorf("parse %s: %v", s, err)
			continue
		}
		if got := formatDecimal(lo, hi); got != s {
			t.Errorf("%s came back as %s", s, got)
		}
	}
}

func TestDecimalRefuses(t *testing.T) {
	for _, s := range []string{"", "x", "1.2.3", "1E", "12345678901234567890123456789012345", "1E+6112", "1E-6177"} {
		if _, _, err := parseDecimal(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

package changeset_test

import (
	"errors"
	"strings"
	"testing"

	. "github.com/isthmus-sync/isthmus/changeset"
)

func TestDecimals(t *testing.T) {
	nines := strings.Repeat("9", 34)
	for _, test := range []struct{ text, want string }{
		{"0", "0"}, {"-0", "-0"}, {"0.00", "0.00"}, {"12.50", "12.50"}, {"-12.50", "-12.50"}, {"+7", "7"},
		{".5", "0.5"}, {"5.", "5"}, {"007", "7"}, {"1e3", "1E+3"}, {"1.50E3", "1.50E+3"}, {"150E-1", "15.0"},
		{"0.000001", "0.000001"}, {"0.0000001", "1E-7"}, {"1.23E-10", "1.23E-10"},
		{"Infinity", "Infinity"}, {"-inf", "-Infinity"}, {"nan", "NaN"}, {"-NaN", "NaN"},
		{nines, nines},
		{nines + "4", "9.999999999999999999999999999999999E+34"},
		{nines + "5", "1.000000000000000000000000000000000E+35"}, // a tie goes to even
		{strings.Repeat("8", 34) + "5", "8.888888888888888888888888888888888E+34"},
		{strings.Repeat("8", 34) + "51", "8.888888888888888888888888888888889E+35"},
		{"1E6111", "1E+6111"}, {"1E6144", "1.000000000000000000000000000000000E+6144"}, {"1E6145", "Infinity"},
		{"-1E99999999999999999999", "-Infinity"}, {"0E99999", "0E+6111"},
		{"1E-6176", "1E-6176"}, {"1E-6177", "0E-6176"}, {"6E-6177", "1E-6176"}, {"1E-99999999999999999999", "0E-6176"},
	} {
		v, err := ParseDecimal(test.text)
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if got := v.DecimalText(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.text, got, test.want)
		}
		again, err := ParseDecimal(v.DecimalText())
		if err != nil || again != v {
			t.Errorf("%s: read back as %v, error %v", test.text, again, err)
		}
	}
	for _, bad := range []string{"", "-", ".", "e5", "1e", "1e+", "1.2.3", "1,5", " 1", "0x10", "1_000", "infinit", "--1"} {
		if v, err := ParseDecimal(bad); !errors.Is(err, ErrBadDecimal) {
			t.Errorf("%q read as %v, error %v", bad, v, err)
		}
	}
}

// Coefficients beyond 34 digits are encodable and mean zero.
func TestDecimalCoefficientOutOfRange(t *testing.T) {
	v := DecimalValue(1<<49-1, 1<<64-1, 0, false)
	if got := v.DecimalText(); got != "0" {
		t.Errorf("got %s", got)
	}
}

package changeset

import (
	"encoding/hex"
	"math"
	"testing"
)

func TestIntegers(t *testing.T) {
	for _, test := range []struct {
		v   int64
		hex string
	}{ // the table of rule 1.2
		{0, "00"}, {1, "01"}, {63, "3f"}, {64, "c000"}, {127, "ff00"}, {128, "8001"}, {300, "ac02"}, {8191, "ff3f"},
		{8192, "80c000"}, {-1, "40"}, {-2, "41"}, {-6, "45"}, {-64, "7f"}, {-65, "c040"}, {-70, "c540"},
		{math.MaxInt64, "ffffffffffffffffff00"}, {math.MinInt64, "ffffffffffffffffff40"},
	} {
		got := appendInt(nil, test.v)
		if hex.EncodeToString(got) != test.hex {
			t.Errorf("appendInt(%d) = %x, want %s", test.v, got, test.hex)
		}
		m, negative, n := readInteger(string(got) + "rest")
		if negative {
			m = ^m
		}
		if int64(m) != test.v || negative != (test.v < 0) || n != len(got) {
			t.Errorf("readInteger(%s) = %d, %v, length %d", test.hex, m, negative, n)
		}
	}
	if got := hex.EncodeToString(appendUint(nil, math.MaxUint64)); got != "ffffffffffffffffff01" {
		t.Errorf("appendUint(2^64-1) = %s", got)
	}
}

func TestReadIntegerRefuses(t *testing.T) {
	for _, test := range []struct {
		hex  string
		want int
	}{
		{"", 0}, {"80", 0}, {"ffffffffffffffffff", 0},
		{"ffffffffffffffffff02", -1}, {"8080808080808080808000", -1}, {"8080808080808080808080", -1},
		{"8000", 2}, // not minimal, yet legal
	} {
		data, err := hex.DecodeString(test.hex)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, n := readInteger(string(data)); n != test.want {
			t.Errorf("readInteger(%s): length %d, want %d", test.hex, n, test.want)
		}
	}
}

func TestCoefficients(t *testing.T) {
	for _, test := range []struct {
		high, low uint64
		hex       string
	}{
		{0, 0, "00"}, {0, 63, "3f"}, {0, 64, "c000"}, {0, 1250, "e209"},
		{0, math.MaxUint64, "ffffffffffffffffff01"},
		{1, 0, "80808080808080808002"},
		{1<<49 - 1, math.MaxUint64, "ffffffffffffffffffffffffffffffff01"},
	} {
		got := appendCoefficient(nil, test.high, test.low)
		if hex.EncodeToString(got) != test.hex {
			t.Errorf("appendCoefficient(%d, %d) = %x, want %s", test.high, test.low, got, test.hex)
		}
		high, low, n := readCoefficient(string(got))
		if high != test.high || low != test.low || n != len(got) {
			t.Errorf("readCoefficient(%x) = %d, %d, length %d", got, high, low, n)
		}
	}
	// The last byte may use bit 6.
	if high, low, n := readCoefficient("\x7f"); high != 0 || low != 127 || n != 1 {
		t.Errorf("readCoefficient(7f) = %d, %d, length %d", high, low, n)
	}
	for _, bad := range []string{
		"ffffffffffffffffffffffffffffffff02",   // bit 113
		"ffffffffffffffffffffffffffffffffff00", // 18 bytes
	} {
		data, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, n := readCoefficient(string(data)); n != -1 {
			t.Errorf("readCoefficient(%s): length %d, want -1", bad, n)
		}
	}
}

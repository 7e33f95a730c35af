package changeset_test

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	. "github.com/isthmus-sync/isthmus/changeset"
)

// Pieces of changesets in hexadecimal.
const (
	strT    = "3f000154"        // string 0 is "T"
	strTA   = strT + "3f010161" // and string 1 is "a"
	strTID  = strT + "3f01035f6964"
	headT1a = "00" + "0101" + "01" // T[1].a
)

func TestDecodeRefuses(t *testing.T) {
	for _, test := range []struct {
		name, hex string
		offset    int
		index     int
		reason    string
	}{
		{"unknown opcode", "3e", 0, 0, "unknown opcode"},
		{"opcode 256", "8002", 0, 0, "unknown opcode"},
		{"negative opcode", "40", 0, 0, "opcode out of range"},
		{"opcode cut off", "80", 0, 0, "opcode ends early"},
		{"integer too long", "8080808080808080808000", 0, 0, "opcode out of range"},
		{"definition cut off", "3f", 1, 0, "string index ends early"},
		{"definition without text", "3f00", 2, 0, "string ends early"},
		{"text cut off", "3f000561", 3, 0, "string ends early"},
		{"text longer than memory", "3f00ffffffffffffffffff00", 2, 0, "string too long"},
		{"first string numbered 1", "3f010161", 1, 0, "not numbered in order"},
		{"number used again", strT + "3f000162", 5, 0, "not numbered in order"},
		{"string defined twice", strT + "3f010154", 5, 0, "string defined twice"},
		{"class not defined", "0200", 1, 0, "class: string not defined"},
		{"string number too large", strT + "02ffffffff7f00", 5, 0, "class out of range"},
		{"negative string number", strT + "024100", 5, 0, "class out of range"},
		{"key missing", strT + "0200", 6, 0, "primary key type ends early"},
		{"bool as a key", strT + "020002", 6, 0, "bad primary key type"},
		{"key type beyond the table", strT + "02000c", 6, 0, "unknown primary key type"},
		{"key type 256 + 1", strT + "0200810201", 6, 0, "unknown primary key type"},
		{"object id cut off", strT + "02000a0102", 7, 0, "primary key ends early"},
		{"string key not defined", strT + "02000305", 7, 0, "string not defined"},
		{"second instruction", strT + "02000101" + "020002", 10, 1, "CreateObject: bad primary key type"},
		{"unknown kind of class", strTA + "000003", 10, 0, "unknown kind of class"},
		{"key of type bool", strTA + "0000000102" + "00", 12, 0, "bad primary key type"},
		{"class name of 58 bytes", "3f003a" + strings.Repeat("61", 58) + "000001", 62, 0, "class name too long"},
		{"property name of 64 bytes", strT + "3f01c000" + strings.Repeat("61", 64) + "060001010000", 74, 0, "property name too long"},
		{"column of type object", strTA + "0600014100" + "00", 11, 0, "bad property type"},
		{"column of type global key", strTA + "0600014000" + "00", 11, 0, "bad property type"},
		{"unknown collection", strTA + "060001010004", 13, 0, "unknown kind of collection"},
		{"dictionary with integer keys", strTA + "06000101000201", 14, 0, "dictionary keys must be strings"},
		{"link without a class", strTA + "060001090000", 14, 0, "target class ends early"},
		{"path element -2", strTA + "04" + headT1a + "0141" + "0000", 14, 0, "bad path element"},
		{"index 2^32", strTA + "0a" + headT1a + "01808080808001" + "00", 14, 0, "index too large"},
		{"path longer than the input", strTA + "04" + headT1a + "ffffffff0f", 13, 0, "path ends early"},
		{"update of the primary key", strTID + "04" + headT1a + "00" + "0105" + "00", 15, 0, "primary key cannot be updated"},
		{"value of type global key", strTA + "04" + headT1a + "00" + "40" + "00", 14, 0, "bad value type"},
		{"value of type set", strTA + "04" + headT1a + "00" + "45" + "00", 14, 0, "a set is no value"},
		{"value type beyond the table", strTA + "04" + headT1a + "00" + "0c" + "00", 14, 0, "unknown value type"},
		{"nanoseconds of another sign", strTA + "04" + headT1a + "00" + "050140" + "00", 16, 0, "timestamp out of range"},
		{"10^9 nanoseconds", strTA + "04" + headT1a + "00" + "05008094ebdc03" + "00", 16, 0, "timestamp out of range"},
		{"decimal exponent", strTA + "04" + headT1a + "00" + "0801e02f00" + "00", 16, 0, "decimal exponent out of range"},
		{"decimal coefficient", strTA + "04" + headT1a + "00" + "08" + strings.Repeat("ff", 16) + "020000" + "00", 15, 0, "coefficient too large"},
		{"float cut off", strTA + "04" + headT1a + "00" + "06000000", 15, 0, "float ends early"},
		{"default flag cut off", strTA + "04" + headT1a + "00" + "0105", 16, 0, "default flag ends early"},
		{"default flag 256", strTA + "04" + headT1a + "00" + "0105" + "8002", 16, 0, "default flag out of range"},
		{"prior size negative", strTA + "0a" + headT1a + "0100" + "40", 15, 0, "prior size out of range"},
		{"insert without an index", strTA + "08" + headT1a + "00" + "0105" + "00", 13, 0, "does not end in an index"},
		{"erase of a name", strTA + "0a" + headT1a + "014001" + "00", 15, 0, "does not end in an index"},
		{"move of a property", strTA + "09" + headT1a + "00" + "0000", 13, 0, "does not end in an index"},
		{"insert of a set", strTA + "08" + headT1a + "0100" + "45" + "00", 15, 0, "a set is no value"},
		{"clear of collection 4", strTA + "0b" + headT1a + "00" + "04", 14, 0, "unknown kind of collection"},
	} {
		c, err := Decode(unhex(t, test.hex))
		var syntax *SyntaxError
		if !errors.Is(err, ErrBadChangeset) || !errors.As(err, &syntax) {
			t.Errorf("%s: decoded to %v, error %v", test.name, c, err)
			continue
		}
		if syntax.Offset != test.offset || syntax.Instruction != test.index || !strings.Contains(syntax.Reason, test.reason) {
			t.Errorf("%s: got %v, want instruction %d, byte %d: %s", test.name, err, test.index, test.offset, test.reason)
		}
	}
}

func TestDecodeAccepts(t *testing.T) {
	for _, test := range []struct{ name, hex, want string }{
		{"nothing", "", ""},
		{"only a string", strT, ""},
		{"an opcode that is not minimal", strT + "82000001" + "01", "CreateObject T[1]"},
		{"a flag beyond 1", strTA + "04" + headT1a + "00" + "023f" + "05", "Update T[1].a = bool:true default=1"},
		{"a key of type global key", strT + "02004002" + "0f", "CreateObject T[gk:2-f]"},
		{"a class with global keys", strTA + "000000014000", "AddTable T pk='a' pktype=-1 nullable=0 asymmetric=0"},
		{"a clear of before 14.6", strTA + "0b" + headT1a + "00" + "00", "Clear T[1].a coll=single"},
		{"a nested _id", strTID + "04" + headT1a + "014001" + "0105" + "00", "Update T[1]._id.'_id' = int:5"},
		{"a class name of 57 bytes", "3f0039" + strings.Repeat("61", 57) + "000001", "AddTable " + strings.Repeat("a", 57) + " embedded"},
		{"a decimal that is infinite", strTA + "04" + headT1a + "00" + "0800e0c70001" + "00", "Update T[1].a = dec:-Infinity"},
	} {
		c, err := Decode(unhex(t, test.hex))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := strings.Join(printed(t, c), "\n"); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// A decoded changeset must not change with the buffer that it came from.
func TestDecodeCopies(t *testing.T) {
	for _, e := range workedExamples {
		data := unhex(t, e.hex)
		c, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		clear(data)
		if got := printed(t, c); !reflect.DeepEqual(got, e.want) {
			t.Errorf("%s changed with its input: %v", e.name, got)
		}
	}
}

// Rewriting one instruction's path must not touch another's.
func TestDecodedPathsAreApart(t *testing.T) {
	c, err := Decode(unhex(t, workedExamples[3].hex))
	if err != nil {
		t.Fatal(err)
	}
	for i := range c {
		before := c.Clone()
		c[i].Path = append(c[i].Path, PathElement{Name: "more"})
		for j := range c {
			if j != i && !reflect.DeepEqual(c[j], before[j]) {
				t.Fatalf("extending the path of instruction %d changed %d to %v", i, j, c[j])
			}
		}
	}
}

// Lengths that the input claims must not be believed.
func TestDecodeAllocatesWhatIsThere(t *testing.T) {
	for _, hex := range []string{
		"3f00afffffff07",                        // a string of 2 GB
		strTA + "04" + headT1a + "ffffffff0f",   // a path of 2^32 elements
		strTA + "04" + headT1a + "0004f8ffff07", // a binary of 16 MB
	} {
		data := unhex(t, hex)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(data)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s decoded", hex)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
			t.Errorf("%s: %d bytes allocated", hex, got)
		}
	}
}

func TestDecodeMax(t *testing.T) {
	key := strT + "02000101" // a string, and T[1] is made
	for _, test := range []struct {
		name, hex string
		items     int
	}{
		{"instructions", key + "02000102" + "03000101", 4},
		{"names", strTA + "3f020162", 3},
		{"path elements", strTA + "04" + headT1a + "02" + "0102" + "0105" + "00", 5},
		{"instructions as short as can be", strT + strings.Repeat("0100", 1000), 1001},
	} {
		data := unhex(t, test.hex)
		want, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		got, used, err := DecodeMax(data, test.items)
		if err != nil || used != test.items || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: with room for %d: %d used, error %v", test.name, test.items, used, err)
		}
		for limit := range test.items {
			got, _, err := DecodeMax(data, limit)
			var full *LimitError
			if !errors.As(err, &full) || full.Limit != limit || !errors.Is(err, ErrBadChangeset) || got != nil {
				t.Fatalf("%s: with room for %d: error %v", test.name, limit, err)
			}
		}
	}
	var syntax *SyntaxError
	if _, _, err := DecodeMax(unhex(t, strT+"02"), 10); !errors.As(err, &syntax) {
		t.Errorf("a changeset that is cut off: %v", err)
	}
}

// The smallest instructions cost a hundred times their bytes: what is refused
// for its number must not have been decoded first.
func TestDecodeMaxBoundsMemory(t *testing.T) {
	const limit = 1000
	for _, item := range []string{
		"0100",                         // EraseTable
		"04" + headT1a + "c000" + path, // paths of 64 elements
	} {
		data := unhex(t, strTA+strings.Repeat(item, 200_000))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := DecodeMax(data, limit)
		runtime.ReadMemStats(&after)
		var full *LimitError
		if !errors.As(err, &full) {
			t.Errorf("%s…: error %v", item, err)
		}
		if got, most := int(after.TotalAlloc-before.TotalAlloc), len(data)+4*limit*ItemBytes; got > most {
			t.Errorf("%s…: %d bytes allocated, at most %d wanted", item, got, most)
		}
	}
}

// path is 64 indexes, a value and a prior size.
var path = strings.Repeat("01", 64) + "0105" + "00"

// What is kept of a large changeset must not keep the rest.
func TestDecodedStringsAreSmall(t *testing.T) {
	var c Changeset
	for i := range 50_000 {
		c = append(c, update("T", ObjectIDKey([12]byte{byte(i), byte(i >> 8)}), "a", StringValue(strings.Repeat("x", 200))))
	}
	data := Encode(c)
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	c = nil
	before := heap()
	decoded, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	one := decoded[25_000]
	decoded = nil
	if kept := heap() - before; kept > 1<<20 {
		t.Errorf("one instruction of %d bytes keeps %d bytes in memory", len(one.Value.Str), kept)
	}
	runtime.KeepAlive(data)
}

func TestEncodePadded(t *testing.T) {
	plain := Changeset{update("T", IntKey(1), "a", IntValue(1))}
	if got := EncodePadded(plain); !bytes.Equal(got, Encode(plain)) {
		t.Errorf("padded without need: %x", got)
	}
	erase := Changeset{{Op: OpSetErase, Class: "T", Key: StringKey("k"), Field: "a", Value: LinkValue("T", StringKey("k"))}}
	data := EncodePadded(erase)
	c, layout, err := DecodeLayout(data)
	if err != nil || !reflect.DeepEqual(c, erase) {
		t.Fatalf("decoded to %v, error %v", c, err)
	}
	unused, bytes := 0, 0
	for _, d := range layout {
		if d.Text == "T" || d.Text == "k" || d.Text == "a" {
			break
		}
		unused++
		bytes += len(d.Text)
	}
	if unused < 8 || bytes < 1000 {
		t.Errorf("padding of %d strings, %d bytes", unused, bytes)
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	c := Changeset{update("T", IntKey(1), "a", IntValue(1))}
	want := append([]byte("head"), Encode(c)...)
	if got := Append([]byte("head"), c); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if got := Encode(nil); len(got) != 0 {
		t.Errorf("the empty changeset has bytes: %x", got)
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range workedExamples {
		f.Add(unhex(f, e.hex))
	}
	for i, v := range clientVectors(f) {
		if i%8 == 0 {
			f.Add(unhex(f, *v.Hex))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, layout, err := DecodeLayout(data)
		if err != nil {
			if !errors.Is(err, ErrBadChangeset) {
				t.Fatalf("error %v", err)
			}
			return
		}
		for _, encoded := range [][]byte{Encode(c), EncodePadded(c), AppendLayout(nil, c, layout)} {
			again, err := Decode(encoded)
			if err != nil {
				t.Fatalf("decode what was encoded: %v", err)
			}
			// Compared as text: NaNs are not equal to themselves for reflection.
			if got, want := printed(t, again), printed(t, c); !reflect.DeepEqual(got, want) {
				t.Fatalf("got %v, want %v", got, want)
			}
			if !bytes.Equal(Encode(again), Encode(c)) {
				t.Fatal("encodings differ")
			}
		}
	})
}

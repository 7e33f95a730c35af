package changeset_test

import (
	"errors"
	"testing"

	. "github.com/isthmus-sync/isthmus/changeset"
)

func TestNames(t *testing.T) {
	for op := OpAddTable; op <= OpSetErase; op++ {
		if got, ok := NamedOp(op.String()); got != op || !ok {
			t.Errorf("NamedOp(%s) = %d, %v", op, got, ok)
		}
	}
	for typ := Set; typ <= UUID; typ++ {
		if got, ok := NamedType(typ.String()); got != typ || !ok {
			t.Errorf("NamedType(%s) = %d, %v", typ, got, ok)
		}
	}
	for c := Single; c <= SetOf; c++ {
		if got, ok := NamedCollection(c.String()); got != c || !ok {
			t.Errorf("NamedCollection(%s) = %d, %v", c, got, ok)
		}
	}
	for k := TopLevel; k <= Asymmetric; k++ {
		if got, ok := NamedTableKind(k.String()); got != k || !ok {
			t.Errorf("NamedTableKind(%s) = %d, %v", k, got, ok)
		}
	}
	if got := Op(99).String() + Type(99).String() + Collection(99).String(); got != "unknownunknownunknown" {
		t.Errorf("names of what does not exist: %s", got)
	}
	if _, ok := NamedOp("unknown"); ok {
		t.Error("an instruction is named unknown")
	}
}

func TestStrings(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{StringValue(`it's "so"`).String(), `str:'it\'s "so"'`},
		{StringValue("a\nb\x00\\").String(), `str:'a\nb\x00\\'`},
		{DoubleValue(0.1).String(), "double:0.1"},
		{FloatValue(0.1).String(), "float:0.1"},
		{BinaryValue([]byte{0, 255}).String(), "bin:00ff"},
		{TimestampValue(-1, -5).String(), "ts:-1.-5"},
		{LinkValue("B", NullKey).String(), "link:B[null]"},
		{SpecialValue(Set).String(), "<set>"},
		{Path{{Name: "a'b"}, {Index: 7, IsIndex: true}}.String(), `.'a\'b'[7]`},
		{ObjectRef{Class: "Task", Key: StringKey("x")}.String(), "Task['x']"},
		{GlobalKeyOf(2, 255).String(), "gk:2-ff"},
		{Instruction{Op: OpCreateObject, Class: "T", Key: UUIDKey([16]byte{15: 1})}.String(),
			"CreateObject T[uuid:00000000-0000-0000-0000-000000000001]"},
	} {
		if test.got != test.want {
			t.Errorf("got %s, want %s", test.got, test.want)
		}
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestPrintReportsWriteErrors(t *testing.T) {
	broken := errors.New("broken")
	if err := Print(brokenWriter{broken}, Changeset{{Op: OpEraseTable, Class: "T"}}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

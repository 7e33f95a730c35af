package changeset

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// Encode returns the binary form of a changeset, as clients write it: each
// string is defined right before the first instruction that needs it. No
// instruction means no byte. It panics on an instruction that no changeset can
// hold; Decode never returns one.
func Encode(c Changeset) []byte { return Append(nil, c) }

// Append appends what Encode returns.
func Append(dst []byte, c Changeset) []byte { return AppendLayout(dst, c, nil) }

// EncodePadded is Encode for changesets that are sent to clients. When there is
// a SetErase, unused strings come first: clients take two concurrent erasures
// of one set for the same when the values lie at the same places of the two
// changesets' string tables (trap 7.1), and strings of the receiver's own will
// hardly lie behind so much padding.
func EncodePadded(c Changeset) []byte {
	for i := range c {
		if c[i].Op == OpSetErase {
			return AppendLayout(nil, c, padding)
		}
	}
	return Encode(c)
}

// Bytes and strings of padding. Texts and binaries are compared by their place
// in bytes, links by the indices of their strings.
const (
	paddingBytes   = 1000
	paddingStrings = 24
)

var padding = makePadding()

func makePadding() Layout {
	l := make(Layout, 0, paddingStrings)
	for i := range paddingStrings - 1 {
		l = append(l, Definition{Text: string([]byte{0, byte(i)})})
	}
	return append(l, Definition{Text: strings.Repeat("\x00", paddingBytes)})
}

// Definition is a string definition: its text, and the index of the instruction
// that it stands before.
type Definition struct {
	Before int
	Text   string
}

// Layout is what a changeset's bytes say beyond its instructions: where its
// strings are defined, also those that no instruction uses. In order.
type Layout []Definition

// DecodeLayout is Decode, and returns the layout as well.
func DecodeLayout(data []byte) (Changeset, Layout, error) {
	l := Layout{}
	c, _, err := decode(data, &l, math.MaxInt)
	return c, l, err
}

// AppendLayout appends the binary form of a changeset with its strings defined
// where the layout says. Strings that come too late or not at all are defined
// where they are needed, so that any layout will do.
func AppendLayout(dst []byte, c Changeset, l Layout) []byte {
	memory := scratches.Get().(*scratch)
	if dst == nil && len(c) > 0 {
		dst = make([]byte, 0, sizeOf(c))
	}
	e := encoder{dst: dst, strings: memory.strings}
	for i := range c {
		for len(l) > 0 && l[0].Before <= i {
			e.intern(l[0].Text)
			l = l[1:]
		}
		e.define(&c[i])
		e.instruction(&c[i])
	}
	for _, d := range l {
		e.intern(d.Text)
	}
	memory.release(e.strings, nil)
	return e.dst
}

// sizeOf estimates how many bytes a changeset takes, rather too many.
func sizeOf(c Changeset) int {
	n := len(c[0].Class) + len(c[0].Key.Str)
	for i := range c {
		in := &c[i]
		n += 2*bytesPerInstruction + len(in.Field) + len(in.Value.Str)
	}
	return n
}

// encoder writes one changeset. A definition may not stand inside an
// instruction, hence define before instruction.
type encoder struct {
	dst     []byte
	strings []string
	indices map[string]uint32 // of strings, once there are many
}

// define defines the strings of the instruction that are not defined yet.
func (e *encoder) define(in *Instruction) {
	e.intern(in.Class)
	switch in.Op {
	case OpEraseTable:
	case OpAddTable:
		if in.Table.Kind != Embedded {
			e.intern(in.Table.KeyField)
		}
	case OpAddColumn:
		e.intern(in.Field)
		if in.Column.Type == Link {
			e.intern(in.Column.Target)
		}
	case OpEraseColumn:
		e.intern(in.Field)
	default:
		e.defineKey(in.Key)
		if !in.Op.HasPath() {
			return
		}
		e.intern(in.Field)
		for i := range in.Path {
			if !in.Path[i].IsIndex {
				e.intern(in.Path[i].Name)
			}
		}
		if in.Value.Type == Link {
			e.intern(in.Value.Str)
			e.defineKey(in.Value.Key)
		}
	}
}

func (e *encoder) defineKey(k Key) {
	if k.Type == String {
		e.intern(k.Str)
	}
}

// intern returns the index of a string, which it defines unless it is.
func (e *encoder) intern(s string) uint32 {
	if e.indices != nil {
		if i, ok := e.indices[s]; ok {
			return i
		}
	} else {
		for i := range e.strings {
			if e.strings[i] == s {
				return uint32(i)
			}
		}
	}
	i := uint32(len(e.strings))
	e.strings = append(e.strings, s)
	switch {
	case e.indices != nil:
		e.indices[s] = i
	case len(e.strings) > scanLimit:
		e.indices = make(map[string]uint32, 4*scanLimit)
		for j, s := range e.strings {
			e.indices[s] = uint32(j)
		}
	}
	e.uint(opDefineString)
	e.uint(uint64(i))
	e.text(s)
	return i
}

func (e *encoder) instruction(in *Instruction) {
	e.dst = append(e.dst, byte(in.Op))
	e.string(in.Class)
	switch in.Op {
	case OpEraseTable:
		return
	case OpAddTable:
		e.table(in.Table)
		return
	case OpAddColumn:
		e.column(in.Field, in.Column)
		return
	case OpEraseColumn:
		e.string(in.Field)
		return
	}
	e.key(in.Key)
	if in.Op == OpCreateObject || in.Op == OpEraseObject {
		return
	}
	e.string(in.Field)
	e.uint(uint64(len(in.Path)))
	for i := range in.Path {
		if p := &in.Path[i]; p.IsIndex {
			e.uint(uint64(p.Index))
		} else {
			e.int(-1)
			e.string(p.Name)
		}
	}
	switch in.Op {
	case OpUpdate:
		e.value(&in.Value)
		if in.Path.EndsInIndex() {
			e.uint(uint64(in.Prior))
		} else {
			e.bool(in.Default)
		}
	case OpAddInteger:
		e.int(in.Addend)
	case OpArrayInsert:
		e.value(&in.Value)
		e.uint(uint64(in.Prior))
	case OpArrayMove:
		e.uint(uint64(in.To))
		e.uint(uint64(in.Prior))
	case OpArrayErase:
		e.uint(uint64(in.Prior))
	case OpClear:
		e.uint(uint64(in.Collection))
	case OpSetInsert, OpSetErase:
		e.value(&in.Value)
	default:
		panic(fmt.Sprintf("changeset: encode: unknown instruction %d", in.Op))
	}
}

func (e *encoder) table(t *Table) {
	e.uint(uint64(t.Kind))
	if t.Kind == Embedded {
		return
	}
	e.string(t.KeyField)
	e.int(int64(t.KeyType))
	e.bool(t.KeyNullable)
}

func (e *encoder) column(field string, c *Column) {
	e.string(field)
	e.int(int64(c.Type))
	e.bool(c.Nullable)
	e.uint(uint64(c.Collection))
	if c.Type == Link {
		e.string(c.Target)
	}
	if c.Collection == DictionaryOf {
		e.uint(uint64(String))
	}
}

func (e *encoder) key(k Key) {
	e.int(int64(k.Type))
	switch k.Type {
	case Null:
	case Int:
		e.int(k.Int)
	case String:
		e.string(k.Str)
	case ObjectID, UUID:
		e.dst = append(e.dst, k.Str...)
	case GlobalKey:
		hi, lo := k.Global()
		e.uint(hi)
		e.uint(lo)
	default:
		panic(fmt.Sprintf("changeset: encode: primary key of type %d", k.Type))
	}
}

func (e *encoder) value(v *Value) {
	e.int(int64(v.Type))
	switch v.Type {
	case Null, ObjectValue, Dictionary, Erased, List, Set:
	case Int:
		e.int(v.Num)
	case Bool:
		e.bool(v.Num != 0)
	case String, Binary:
		e.text(v.Str)
	case Timestamp:
		e.int(v.Num)
		e.int(int64(v.Nanos))
	case Float:
		e.dst = binary.LittleEndian.AppendUint32(e.dst, uint32(v.Num))
	case Double:
		e.dst = binary.LittleEndian.AppendUint64(e.dst, uint64(v.Num))
	case Decimal:
		high, low, exponent, negative := v.Decimal()
		e.dst = appendCoefficient(e.dst, high, low)
		e.int(int64(exponent))
		e.bool(negative)
	case Link:
		e.string(v.Str)
		e.key(v.Key)
	case ObjectID, UUID:
		e.dst = append(e.dst, v.Str...)
	default:
		panic(fmt.Sprintf("changeset: encode: value of type %d", v.Type))
	}
}

// string writes the index of a string, which define has defined.
func (e *encoder) string(s string) { e.uint(uint64(e.intern(s))) }

func (e *encoder) text(s string) {
	e.uint(uint64(len(s)))
	e.dst = append(e.dst, s...)
}

func (e *encoder) bool(b bool) {
	if b {
		e.dst = append(e.dst, 1)
	} else {
		e.dst = append(e.dst, 0)
	}
}

func (e *encoder) uint(v uint64) { e.dst = appendUint(e.dst, v) }

func (e *encoder) int(v int64) { e.dst = appendInt(e.dst, v) }

package changeset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"
)

// ErrBadChangeset is what every error of Decode wraps: the bytes are not a
// changeset that a server may accept.
var ErrBadChangeset = errors.New("bad changeset")

// SyntaxError says where and why bytes are not a changeset.
type SyntaxError struct {
	Offset      int    // byte at which the offending item or operand begins
	Instruction int    // index of the instruction; how many came before it
	Reason      string // what is wrong with it
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%v: instruction %d, byte %d: %s", ErrBadChangeset, e.Instruction, e.Offset, e.Reason)
}

// Unwrap returns ErrBadChangeset.
func (e *SyntaxError) Unwrap() error { return ErrBadChangeset }

// LimitError says that a changeset has more in it than DecodeMax was to take.
type LimitError struct{ Limit int }

func (e *LimitError) Error() string {
	return fmt.Sprintf("%v: more than %d instructions, path elements and names", ErrBadChangeset, e.Limit)
}

// Unwrap returns ErrBadChangeset.
func (e *LimitError) Unwrap() error { return ErrBadChangeset }

// Limits of what a client can store (rule 1.9), in bytes.
const (
	MaxString    = 16_777_199
	MaxBinary    = 16_777_200
	MaxClassName = 57
	MaxFieldName = 63
)

// primaryKeyField is the name that the primary key of every synced class has.
const primaryKeyField = "_id"

// Decode parses a changeset. It accepts what clients send and refuses what rule
// 1.9 says to refuse, except primary keys of type GlobalKey: whether a class may
// have those is not a matter of format. Every error is a *SyntaxError.
//
// The result does not refer to data; its strings share one copy of it if it is
// small, and each has its own if it is large, so that keeping one of them never
// keeps much more. Memory is bounded by a constant times len(data), whatever
// lengths data claims; the constant is about a hundred, so what strangers send
// is better decoded by DecodeMax.
func Decode(data []byte) (Changeset, error) {
	c, _, err := decode(data, nil, math.MaxInt)
	return c, err
}

// DecodeMax is Decode, except that it ends with a *LimitError at a changeset with
// more than so many instructions, path elements and names (of classes and
// properties, and keys that are strings), taken together. Each of them takes a
// byte or two, and up to ItemBytes in memory. used is how many there are.
func DecodeMax(data []byte, limit int) (c Changeset, used int, err error) {
	return decode(data, nil, limit)
}

// ItemBytes is how many bytes of memory an item of a decoded changeset takes, as
// DecodeMax counts them, without the text of values.
const ItemBytes = int(unsafe.Sizeof(Instruction{}))

// decoder reads one changeset. Its first error sticks and moves it to the end of
// the input, so that operands need no check of their own.
type decoder struct {
	in      string
	apart   bool // strings are copied out of in
	pos     int
	start   int // where the operand being read begins
	strings []string
	known   map[string]struct{} // of strings, once there are many
	out     Changeset
	paths   []PathElement // unused rest of the block that paths are cut from
	lastKey string        // bytes of the last primary key
	layout  *Layout       // where string definitions are noted, if anybody asks
	left    int           // how many more items may come
	full    bool          // more came
	err     *SyntaxError
}

// sharedInput is the size in bytes up to which the strings of a changeset share
// one copy of its input.
const sharedInput = 4 << 10

func decode(data []byte, layout *Layout, limit int) (Changeset, int, error) {
	memory := scratches.Get().(*scratch)
	d := decoder{in: string(data), apart: len(data) > sharedInput, strings: memory.strings, out: memory.instructions, layout: layout, left: limit}
	d.run()
	d.out = memory.release(d.strings, d.out)
	if d.full {
		return nil, limit, &LimitError{limit}
	}
	if d.err != nil {
		return nil, limit - d.left, d.err
	}
	return d.out, limit - d.left, nil
}

// count counts items, and fails when they are too many.
func (d *decoder) count(n int) {
	if n > d.left {
		d.full = true
		d.fail("")
		return
	}
	d.left -= n
}

func (d *decoder) fail(reason string) {
	if d.err == nil {
		d.err = &SyntaxError{Offset: d.start, Instruction: len(d.out), Reason: reason}
	}
	d.pos = len(d.in)
}

// Sizes to begin with, in which most changesets fit.
const (
	bytesPerInstruction = 16
	firstInstructions   = 64
	pathsPerBlock       = 32
)

const opDefineString = 0x3f

func (d *decoder) run() {
	for d.pos < len(d.in) {
		op := d.uint64("opcode")
		if op == opDefineString {
			d.definition()
			continue
		}
		if d.err != nil {
			break
		}
		if op > uint64(OpSetErase) {
			d.fail("unknown opcode")
			break
		}
		if d.count(1); d.err != nil {
			break
		}
		if len(d.out) == cap(d.out) {
			d.grow()
		}
		d.out = d.out[:len(d.out)+1]
		in := &d.out[len(d.out)-1]
		in.Op = Op(op)
		d.instruction(in)
		if d.err != nil {
			d.err.Instruction = len(d.out) - 1
			d.err.Reason = in.Op.String() + ": " + d.err.Reason
		}
	}
}

// grow makes room for as many instructions as the rest of the input holds if it
// is like what came before: a large changeset is moved once or twice.
func (d *decoder) grow() {
	rest := int(float64(len(d.out)) * float64(len(d.in)-d.pos) / float64(d.pos))
	d.out = slices.Grow(d.out, min(rest+rest/16, 16*len(d.out), d.left)+2)
}

func (d *decoder) definition() {
	index := d.uint32("string index")
	at := d.start
	text := d.text(MaxString, "string")
	if d.count(1); d.err != nil {
		return
	}
	d.start = at
	if int(index) != len(d.strings) {
		d.fail("strings are not numbered in order")
		return
	}
	if d.defined(text) {
		d.fail("string defined twice")
		return
	}
	d.strings = append(d.strings, text)
	if d.layout != nil {
		*d.layout = append(*d.layout, Definition{Before: len(d.out), Text: text})
	}
}

// scanLimit is the number of strings up to which comparing all of them beats a map.
const scanLimit = 16

// defined reports whether the text has been defined before, and remembers it.
func (d *decoder) defined(text string) bool {
	if len(d.strings) < scanLimit {
		return slices.Contains(d.strings, text)
	}
	if d.known == nil {
		d.known = make(map[string]struct{}, 2*scanLimit)
		for _, s := range d.strings {
			d.known[s] = struct{}{}
		}
	}
	if _, ok := d.known[text]; ok {
		return true
	}
	d.known[text] = struct{}{}
	return false
}

func (d *decoder) instruction(in *Instruction) {
	in.Class = d.interned("class")
	switch in.Op {
	case OpAddTable:
		in.Table = d.table(in.Class)
		return
	case OpAddColumn:
		in.Column = d.column(in)
		return
	case OpEraseColumn:
		in.Field = d.interned("property")
		return
	case OpEraseTable:
		return
	}
	in.Key = d.key()
	if in.Op == OpCreateObject || in.Op == OpEraseObject {
		return
	}
	in.Field = d.interned("property")
	in.Path = d.path()
	inList := in.Path.EndsInIndex()
	switch in.Op {
	case OpUpdate:
		if in.Field == primaryKeyField && len(in.Path) == 0 {
			d.fail("the primary key cannot be updated")
		}
		d.value(&in.Value)
		if in.Value.Type == Set {
			d.fail("a set is no value")
		}
		if inList {
			in.Prior = d.uint32("prior size")
		} else {
			in.Default = d.bool("default flag")
		}
	case OpAddInteger:
		in.Addend = d.int64("addend")
	case OpArrayInsert, OpArrayMove, OpArrayErase:
		if !inList {
			d.fail("the path does not end in an index")
		}
		if in.Op == OpArrayInsert {
			d.value(&in.Value)
			if in.Value.Type == Set {
				d.fail("a set is no value")
			}
		}
		if in.Op == OpArrayMove {
			in.To = d.uint32("destination index")
		}
		in.Prior = d.uint32("prior size")
	case OpClear:
		in.Collection = d.collection()
	case OpSetInsert, OpSetErase:
		d.value(&in.Value)
	}
}

func (d *decoder) table(class string) *Table {
	if len(class) > MaxClassName {
		d.fail("class name too long")
	}
	t := &Table{Kind: TableKind(d.uint8("kind of class"))}
	if t.Kind > Asymmetric {
		d.fail("unknown kind of class")
	}
	if t.Kind == Embedded {
		return t
	}
	t.KeyField = d.interned("primary key property")
	t.KeyType = d.typ("primary key type")
	switch t.KeyType {
	case Int, String, ObjectID, UUID, GlobalKey:
	default:
		d.fail("bad primary key type")
	}
	t.KeyNullable = d.bool("nullable flag")
	return t
}

func (d *decoder) column(in *Instruction) *Column {
	in.Field = d.interned("property")
	if len(in.Field) > MaxFieldName {
		d.fail("property name too long")
	}
	c := &Column{Type: d.typ("property type")}
	if c.Type < 0 {
		d.fail("bad property type")
	}
	c.Nullable = d.bool("nullable flag")
	c.Collection = d.collection()
	if c.Type == Link {
		c.Target = d.interned("target class")
	}
	if c.Collection == DictionaryOf && d.typ("dictionary key type") != String {
		d.fail("dictionary keys must be strings")
	}
	return c
}

func (d *decoder) key() Key {
	switch t := d.typ("primary key type"); t {
	case Null:
		return Key{}
	case Int:
		return Key{Type: Int, Int: d.int64("primary key")}
	case String:
		return Key{Type: String, Str: d.interned("primary key")}
	case ObjectID:
		return Key{Type: ObjectID, Str: d.keyBytes(12)}
	case UUID:
		return Key{Type: UUID, Str: d.keyBytes(16)}
	case GlobalKey:
		hi := d.uint64("primary key")
		return GlobalKeyOf(hi, d.uint64("primary key"))
	default:
		d.fail("bad primary key type")
		return Key{}
	}
}

func (d *decoder) path() Path {
	n := int(min(d.uint32("path length"), math.MaxInt32))
	if n == 0 {
		return nil
	}
	if n > len(d.in)-d.pos {
		d.fail("path ends early")
		return nil
	}
	if d.count(n); d.err != nil {
		return nil
	}
	if n > len(d.paths) {
		d.paths = make([]PathElement, max(n, min(pathsPerBlock, (len(d.in)-d.pos)/2)))
	}
	p := d.paths[:n:n]
	d.paths = d.paths[n:]
	for i := range p {
		e := d.int64("path element")
		switch {
		case e == -1:
			p[i].Name = d.interned("path element")
		case e < 0:
			d.fail("bad path element")
		case e > math.MaxUint32:
			d.fail("index too large")
		default:
			p[i].Index, p[i].IsIndex = uint32(e), true
		}
	}
	return p
}

func (d *decoder) value(v *Value) {
	v.Type = d.typ("value type")
	switch v.Type {
	case Int:
		v.Num = d.int64("integer")
	case Bool:
		if d.bool("bool") {
			v.Num = 1
		}
	case String:
		v.Str = d.text(MaxString, "string")
	case Binary:
		v.Str = d.text(MaxBinary, "binary")
	case Timestamp:
		v.Num = d.int64("seconds")
		nanos := d.int64("nanoseconds")
		const second = 1_000_000_000
		if nanos <= -second || nanos >= second || v.Num > 0 && nanos < 0 || v.Num < 0 && nanos > 0 {
			d.fail("timestamp out of range")
		}
		v.Nanos = int32(nanos)
	case Float:
		if b := d.raw(4, "float"); len(b) == 4 {
			v.Num = int64(binary.LittleEndian.Uint32([]byte(b)))
		}
	case Double:
		if b := d.raw(8, "double"); len(b) == 8 {
			v.Num = int64(binary.LittleEndian.Uint64([]byte(b)))
		}
	case Decimal:
		d.decimal(v)
	case Link:
		v.Str = d.interned("target class")
		v.Key = d.key()
	case ObjectID:
		v.Str = d.own(d.raw(12, "object id"))
	case UUID:
		v.Str = d.own(d.raw(16, "uuid"))
	case GlobalKey:
		d.fail("bad value type")
	}
}

func (d *decoder) decimal(v *Value) {
	d.start = d.pos
	high, low, n := readCoefficient(d.in[d.pos:])
	switch n {
	case 0:
		d.fail("decimal ends early")
		return
	case -1:
		d.fail("coefficient too large")
		return
	}
	d.pos += n
	exponent := d.int32("exponent")
	if !validExponent(exponent) {
		d.fail("decimal exponent out of range")
	}
	*v = DecimalValue(high, low, exponent, d.int32("sign") != 0)
}

func (d *decoder) typ(what string) Type {
	t := d.int64(what)
	if t < int64(Set) || t > int64(UUID) {
		d.fail("unknown " + what)
		return Null
	}
	return Type(t)
}

func (d *decoder) collection() Collection {
	c := d.uint8("kind of collection")
	if c > uint64(maxCollection) {
		d.fail("unknown kind of collection")
	}
	return Collection(c)
}

// interned reads the index of a string and returns the string.
func (d *decoder) interned(what string) string {
	i := d.uint32(what)
	if uint64(i) >= uint64(len(d.strings)) {
		d.fail(what + ": string not defined")
		return ""
	}
	return d.strings[i]
}

// text reads a length and as many bytes.
func (d *decoder) text(limit uint64, what string) string {
	n := d.uint64(what)
	if n > limit {
		d.fail(what + " too long")
		return ""
	}
	return d.own(d.raw(int(n), what))
}

// own returns what a part of the input is kept as.
func (d *decoder) own(s string) string {
	if d.apart {
		return strings.Clone(s)
	}
	return s
}

// keyBytes reads the bytes of a primary key, which most often is that of the
// instruction before.
func (d *decoder) keyBytes(n int) string {
	s := d.raw(n, "primary key")
	if s != d.lastKey {
		d.lastKey = d.own(s)
	}
	return d.lastKey
}

// raw reads bytes, which are a part of the input.
func (d *decoder) raw(n int, what string) string {
	if n > len(d.in)-d.pos {
		d.start = d.pos
		d.fail(what + " ends early")
		return ""
	}
	s := d.in[d.pos : d.pos+n]
	d.pos += n
	return s
}

func (d *decoder) bool(what string) bool { return d.uint8(what) != 0 }

func (d *decoder) uint8(what string) uint64 { return d.unsigned(what, math.MaxUint8, 2) }

func (d *decoder) uint32(what string) uint32 { return uint32(d.unsigned(what, math.MaxUint32, 5)) }

func (d *decoder) uint64(what string) uint64 {
	return d.unsigned(what, math.MaxUint64, maxIntegerBytes)
}

// unsigned reads an integer of at most limit in at most maxBytes bytes.
func (d *decoder) unsigned(what string, limit uint64, maxBytes int) uint64 {
	if d.pos < len(d.in) && d.in[d.pos] < 0x40 {
		d.start = d.pos
		d.pos++
		return uint64(d.in[d.start])
	}
	v, negative, ok := d.integer(what, maxBytes)
	if ok && (negative || v > limit) {
		d.fail(what + " out of range")
		return 0
	}
	return v
}

func (d *decoder) int64(what string) int64 { return d.signed(what, maxIntegerBytes) }

func (d *decoder) int32(what string) int32 {
	v := d.signed(what, 5)
	if v != int64(int32(v)) {
		d.fail(what + " out of range")
	}
	return int32(v)
}

func (d *decoder) signed(what string, maxBytes int) int64 {
	if d.pos < len(d.in) && d.in[d.pos] < 0x40 {
		d.start = d.pos
		d.pos++
		return int64(d.in[d.start])
	}
	v, negative, ok := d.integer(what, maxBytes)
	if ok && v > math.MaxInt64 {
		d.fail(what + " out of range")
		return 0
	}
	if negative {
		return ^int64(v)
	}
	return int64(v)
}

func (d *decoder) integer(what string, maxBytes int) (magnitude uint64, negative, ok bool) {
	d.start = d.pos
	magnitude, negative, n := readInteger(d.in[d.pos:])
	switch {
	case n == 0:
		d.fail(what + " ends early")
		return 0, false, false
	case n < 0 || n > maxBytes:
		d.fail(what + " out of range")
		return 0, false, false
	}
	d.pos += n
	return magnitude, negative, true
}

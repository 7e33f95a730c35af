package changeset

import (
	"encoding/hex"
	"io"
	"strconv"
	"strings"
)

// Print writes the changeset for people, one instruction a line.
func Print(w io.Writer, c Changeset) error {
	var b []byte
	for i := range c {
		b = append(c[i].appendText(b[:0]), '\n')
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// String returns the instruction for people, such as
//
//	ArrayInsert Task[oid:0123456789abcdef01234567].tags[0] = str:'new' prior_size=0
func (in Instruction) String() string { return string(in.appendText(nil)) }

func (in *Instruction) appendText(b []byte) []byte {
	b = append(b, in.Op.String()...)
	b = append(b, ' ')
	b = append(b, in.Class...)
	switch in.Op {
	case OpAddTable:
		return in.Table.appendText(b)
	case OpEraseTable:
		return b
	case OpAddColumn:
		b = append(append(b, '.'), in.Field...)
		return in.Column.appendText(b)
	case OpEraseColumn:
		return append(append(b, '.'), in.Field...)
	}
	b = in.Key.appendBracketed(b)
	if !in.Op.HasPath() {
		return b
	}
	b = append(append(b, '.'), in.Field...)
	b = in.Path.appendText(b)
	switch in.Op {
	case OpUpdate:
		b = in.Value.appendText(append(b, " = "...))
		if in.Path.EndsInIndex() {
			b = appendAttribute(b, "prior_size", uint64(in.Prior))
		} else if in.Default {
			b = append(b, " default=1"...)
		}
	case OpAddInteger:
		b = strconv.AppendInt(append(b, " += "...), in.Addend, 10)
	case OpArrayInsert:
		b = in.Value.appendText(append(b, " = "...))
		b = appendAttribute(b, "prior_size", uint64(in.Prior))
	case OpArrayMove:
		b = strconv.AppendUint(append(b, " -> "...), uint64(in.To), 10)
		b = appendAttribute(b, "prior_size", uint64(in.Prior))
	case OpArrayErase:
		b = appendAttribute(b, "prior_size", uint64(in.Prior))
	case OpClear:
		b = append(append(b, " coll="...), in.Collection.abbreviation()...)
	case OpSetInsert, OpSetErase:
		b = in.Value.appendText(append(b, ' '))
	}
	return b
}

func (t *Table) appendText(b []byte) []byte {
	if t.Kind == Embedded {
		return append(b, " embedded"...)
	}
	b = appendQuoted(append(b, " pk="...), t.KeyField)
	b = strconv.AppendInt(append(b, " pktype="...), int64(t.KeyType), 10)
	b = appendFlag(b, "nullable", t.KeyNullable)
	return appendFlag(b, "asymmetric", t.Kind == Asymmetric)
}

func (c *Column) appendText(b []byte) []byte {
	b = strconv.AppendInt(append(b, " type="...), int64(c.Type), 10)
	b = appendFlag(b, "nullable", c.Nullable)
	b = append(append(b, " coll="...), c.Collection.abbreviation()...)
	if c.Type == Link {
		b = append(append(b, " target="...), c.Target...)
	}
	if c.Collection == DictionaryOf {
		b = appendAttribute(b, "keytype", uint64(String))
	}
	return b
}

func (c Collection) abbreviation() string {
	if c == DictionaryOf {
		return "dict"
	}
	return c.String()
}

func appendAttribute(b []byte, name string, n uint64) []byte {
	b = append(append(append(b, ' '), name...), '=')
	return strconv.AppendUint(b, n, 10)
}

func appendFlag(b []byte, name string, set bool) []byte {
	if set {
		return appendAttribute(b, name, 1)
	}
	return appendAttribute(b, name, 0)
}

// String returns the object for people, such as Task['a'].
func (r ObjectRef) String() string { return string(r.Key.appendBracketed([]byte(r.Class))) }

// String returns the path for people: [3] for an index, .'k' for a name.
func (p Path) String() string { return string(p.appendText(nil)) }

func (p Path) appendText(b []byte) []byte {
	for i := range p {
		if p[i].IsIndex {
			b = strconv.AppendUint(append(b, '['), uint64(p[i].Index), 10)
			b = append(b, ']')
		} else {
			b = appendQuoted(append(b, '.'), p[i].Name)
		}
	}
	return b
}

// String returns the primary key for people: a plain integer, 'text', null,
// oid:…, uuid:…, gk:hi-lo.
func (k Key) String() string { return string(k.appendText(nil)) }

func (k Key) appendBracketed(b []byte) []byte {
	return append(k.appendText(append(b, '[')), ']')
}

func (k Key) appendText(b []byte) []byte {
	switch k.Type {
	case Null:
		return append(b, "null"...)
	case Int:
		return strconv.AppendInt(b, k.Int, 10)
	case String:
		return appendQuoted(b, k.Str)
	case ObjectID:
		return hex.AppendEncode(append(b, "oid:"...), []byte(k.Str))
	case UUID:
		return append(append(b, "uuid:"...), UUIDText(k.Str)...)
	case GlobalKey:
		hi, lo := k.Global()
		b = strconv.AppendUint(append(b, "gk:"...), hi, 16)
		return strconv.AppendUint(append(b, '-'), lo, 16)
	}
	return append(b, "unknown"...)
}

// String returns the payload for people: its type and content, such as int:5,
// str:'text', ts:seconds.nanoseconds, link:Class[key]; null; or <list>.
func (v Value) String() string { return string(v.appendText(nil)) }

func (v Value) appendText(b []byte) []byte {
	switch v.Type {
	case Null:
		return append(b, "null"...)
	case Int:
		return strconv.AppendInt(append(b, "int:"...), v.Num, 10)
	case Bool:
		return strconv.AppendBool(append(b, "bool:"...), v.Bool())
	case String:
		return appendQuoted(append(b, "str:"...), v.Str)
	case Binary:
		return hex.AppendEncode(append(b, "bin:"...), []byte(v.Str))
	case Timestamp:
		b = strconv.AppendInt(append(b, "ts:"...), v.Num, 10)
		return strconv.AppendInt(append(b, '.'), int64(v.Nanos), 10)
	case Float:
		return strconv.AppendFloat(append(b, "float:"...), float64(v.Float32()), 'g', -1, 32)
	case Double:
		return strconv.AppendFloat(append(b, "double:"...), v.Float64(), 'g', -1, 64)
	case Decimal:
		return append(append(b, "dec:"...), v.DecimalText()...)
	case Link:
		b = append(append(b, "link:"...), v.Str...)
		return v.Key.appendBracketed(b)
	case ObjectID:
		return hex.AppendEncode(append(b, "oid:"...), []byte(v.Str))
	case UUID:
		return append(append(b, "uuid:"...), UUIDText(v.Str)...)
	case ObjectValue:
		return append(b, "<embedded>"...)
	case Dictionary:
		return append(b, "<dict>"...)
	}
	b = append(append(b, '<'), v.Type.String()...)
	return append(b, '>')
}

// UUIDText returns the usual text of the sixteen bytes of a UUID.
func UUIDText(raw string) string {
	if len(raw) != 16 {
		return hex.EncodeToString([]byte(raw))
	}
	h := hex.EncodeToString([]byte(raw))
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// appendQuoted appends text in single quotes; what would be illegible or
// ambiguous is escaped as in Go.
func appendQuoted(b []byte, s string) []byte {
	q := strconv.Quote(s)
	q = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	q = strings.ReplaceAll(q, `'`, `\'`)
	return append(append(append(b, '\''), q...), '\'')
}

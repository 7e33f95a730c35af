package translator

import (
	"fmt"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Unsynced says why a document, or its key, holds nothing that its class can
// hold. The document stays out of sync until it or the schema changes.
type Unsynced struct {
	Path     string // dotted path of the value inside the document; empty for the document itself
	Expected string // the type or condition the schema demands
	Found    string // the BSON type, as MongoDB names it, or the offending text
	Reason   string // why that is wrong, where the types alone don't say
	Missing  bool   // a required property is absent or null
}

// Error is a sentence for people: where, what was expected, what is there.
func (u *Unsynced) Error() string {
	where := "the document"
	if u.Path != "" {
		where = fmt.Sprintf("field %q", u.Path)
	}
	text := fmt.Sprintf("%s: expected %s, found %s", where, u.Expected, u.Found)
	if u.Reason != "" {
		text += ": " + u.Reason
	}
	return text
}

// below puts a step in front of the path of the error, on its way outward.
func (u *Unsynced) below(step string) *Unsynced {
	u.Path = joinPath(step, u.Path)
	return u
}

// belowIndex is below for a list index.
func (u *Unsynced) belowIndex(i int) *Unsynced { return u.below(strconv.Itoa(i)) }

// RefusedValue says why a value that a device wrote can't stand in a document.
// Its object's part of the changeset is taken out and the device gets the reason.
type RefusedValue struct {
	Path   string // dotted path of the value inside the document; empty for the document itself
	Reason string
}

// Error is a sentence for people.
func (r *RefusedValue) Error() string {
	if r.Path == "" {
		return r.Reason
	}
	return fmt.Sprintf("field %q: %s", r.Path, r.Reason)
}

// below puts a step in front of the path of the error, on its way outward.
func (r *RefusedValue) below(step string) *RefusedValue {
	r.Path = joinPath(step, r.Path)
	return r
}

// belowIndex is below for a list index.
func (r *RefusedValue) belowIndex(i int) *RefusedValue { return r.below(strconv.Itoa(i)) }

func refused(format string, args ...any) *RefusedValue {
	return &RefusedValue{Reason: fmt.Sprintf(format, args...)}
}

func joinPath(step, rest string) string {
	if rest == "" {
		return step
	}
	return step + "." + rest
}

// maxText is how long in bytes a text may be that goes where people read it. The
// names of fields, which it may have in it, have up to 16 MB.
const maxText = 1000

// short cuts a text off where it becomes too long.
func short(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// typeName is the name MongoDB's own tools use for a BSON type.
func typeName(v bson.RawValue) string {
	switch v.Type {
	case bson.TypeDouble:
		return "double"
	case bson.TypeString:
		return "string"
	case bson.TypeEmbeddedDocument:
		return "object"
	case bson.TypeArray:
		return "array"
	case bson.TypeBinary:
		if len(v.Value) > 4 {
			return fmt.Sprintf("binData of subtype %d", v.Value[4])
		}
		return "binData"
	case bson.TypeUndefined:
		return "undefined"
	case bson.TypeObjectID:
		return "objectId"
	case bson.TypeBoolean:
		return "bool"
	case bson.TypeDateTime:
		return "date"
	case bson.TypeNull:
		return "null"
	case bson.TypeRegex:
		return "regex"
	case bson.TypeDBPointer:
		return "dbPointer"
	case bson.TypeJavaScript:
		return "javascript"
	case bson.TypeSymbol:
		return "symbol"
	case bson.TypeCodeWithScope:
		return "javascriptWithScope"
	case bson.TypeInt32:
		return "int"
	case bson.TypeTimestamp:
		return "timestamp"
	case bson.TypeInt64:
		return "long"
	case bson.TypeDecimal128:
		return "decimal"
	case bson.TypeMinKey:
		return "minKey"
	case bson.TypeMaxKey:
		return "maxKey"
	}
	return fmt.Sprintf("BSON type 0x%02x", byte(v.Type))
}

package changeset

import "encoding/binary"

var opNames = [...]string{
	OpAddTable: "AddTable", OpEraseTable: "EraseTable", OpCreateObject: "CreateObject", OpEraseObject: "EraseObject",
	OpUpdate: "Update", OpAddInteger: "AddInteger", OpAddColumn: "AddColumn", OpEraseColumn: "EraseColumn",
	OpArrayInsert: "ArrayInsert", OpArrayMove: "ArrayMove", OpArrayErase: "ArrayErase", OpClear: "Clear",
	OpSetInsert: "SetInsert", OpSetErase: "SetErase",
}

// String returns the instruction's name, such as ArrayInsert.
func (op Op) String() string { return nameOf(opNames[:], int(op)) }

var typeNames = [...]string{
	"set", "list", "erased", "dictionary", "object", "globalkey",
	"null", "int", "bool", "string", "binary", "timestamp", "float", "double", "decimal", "link", "objectid", "uuid",
}

// String returns the type's name in lower case, such as objectid. A property of
// type Mixed is null here, since the two share a code.
func (t Type) String() string { return nameOf(typeNames[:], int(t)-int(Set)) }

var collectionNames = [...]string{Single: "single", ListOf: "list", DictionaryOf: "dictionary", SetOf: "set"}

// String returns single, list, dictionary or set.
func (c Collection) String() string { return nameOf(collectionNames[:], int(c)) }

var tableKindNames = [...]string{TopLevel: "top", Embedded: "embedded", Asymmetric: "asymmetric"}

// String returns top, embedded or asymmetric.
func (k TableKind) String() string { return nameOf(tableKindNames[:], int(k)) }

func nameOf(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return "unknown"
	}
	return names[i]
}

// NamedOp, NamedType, NamedCollection and NamedTableKind return what has the
// name that String gives, and whether there is such a thing.
func NamedOp(name string) (Op, bool) {
	return named[Op](opNames[:], name, 0)
}

func NamedType(name string) (Type, bool) {
	return named[Type](typeNames[:], name, int(Set))
}

func NamedCollection(name string) (Collection, bool) {
	return named[Collection](collectionNames[:], name, 0)
}

func NamedTableKind(name string) (TableKind, bool) {
	return named[TableKind](tableKindNames[:], name, 0)
}

func named[T ~uint8 | ~int8](names []string, name string, first int) (T, bool) {
	for i, n := range names {
		if n == name {
			return T(i + first), true
		}
	}
	return 0, false
}

// GlobalKeyOf makes a GlobalKey primary key.
func GlobalKeyOf(hi, lo uint64) Key {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return Key{Type: GlobalKey, Str: string(b[:])}
}

// Global returns the halves of a GlobalKey primary key, zeros of any other.
func (k Key) Global() (hi, lo uint64) {
	if k.Type != GlobalKey || len(k.Str) != 16 {
		return 0, 0
	}
	b := []byte(k.Str)
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

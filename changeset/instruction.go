package changeset

// Op is the opcode of an instruction, as on the wire.
type Op uint8

// The instructions.
const (
	OpAddTable     Op = 0
	OpEraseTable   Op = 1
	OpCreateObject Op = 2
	OpEraseObject  Op = 3
	OpUpdate       Op = 4
	OpAddInteger   Op = 5
	OpAddColumn    Op = 6
	OpEraseColumn  Op = 7
	OpArrayInsert  Op = 8
	OpArrayMove    Op = 9
	OpArrayErase   Op = 10
	OpClear        Op = 11
	OpSetInsert    Op = 12
	OpSetErase     Op = 13
)

// IsSchema reports whether the instruction is about a class or a property
// rather than about an object.
func (op Op) IsSchema() bool {
	return op == OpAddTable || op == OpEraseTable || op == OpAddColumn || op == OpEraseColumn
}

// HasPath reports whether the instruction addresses a value inside an object.
func (op Op) HasPath() bool {
	switch op {
	case OpUpdate, OpAddInteger, OpArrayInsert, OpArrayMove, OpArrayErase, OpClear, OpSetInsert, OpSetErase:
		return true
	}
	return false
}

// Collection is the kind of a property: a single value or a collection.
type Collection uint8

// The kinds of collection, with their wire codes.
const (
	Single        Collection = 0
	ListOf        Collection = 1
	DictionaryOf  Collection = 2
	SetOf         Collection = 3
	maxCollection            = SetOf
)

// TableKind is the kind of a class.
type TableKind uint8

// The kinds of class, with their wire codes.
const (
	TopLevel   TableKind = 0
	Embedded   TableKind = 1
	Asymmetric TableKind = 2
)

// ObjectRef names an object. It is comparable.
type ObjectRef struct {
	Class string
	Key   Key
}

// PathElement is one step below a property: a list index, or a name that is a
// dictionary key or a property of an embedded object.
type PathElement struct {
	Name    string // when !IsIndex
	Index   uint32 // when IsIndex
	IsIndex bool
}

// Path leads from a property to a value inside it; empty for the property itself.
type Path []PathElement

// EndsInIndex reports whether the last step is a list index.
func (p Path) EndsInIndex() bool { return len(p) > 0 && p[len(p)-1].IsIndex }

// Table is the specification that AddTable carries.
type Table struct {
	Kind        TableKind
	KeyField    string // not of embedded classes
	KeyType     Type   // Int, String, ObjectID, UUID; GlobalKey is parsed, too
	KeyNullable bool
}

// Column is the specification that AddColumn carries. Target is set when Type
// is Link. A Type of Null means Mixed.
type Column struct {
	Type       Type
	Nullable   bool
	Collection Collection
	Target     string
}

// Instruction is one change. Which fields count depends on Op:
//
//	AddTable                Class Table
//	EraseTable              Class
//	AddColumn               Class Field Column
//	EraseColumn             Class Field
//	Create-, EraseObject    Class Key
//	Update                  Class Key Field Path Value, Prior if Path ends in an index, else Default
//	AddInteger              Class Key Field Path Addend
//	ArrayInsert             Class Key Field Path Value Prior
//	ArrayMove               Class Key Field Path To Prior
//	ArrayErase              Class Key Field Path Prior
//	Clear                   Class Key Field Path Collection
//	SetInsert, SetErase     Class Key Field Path Value
type Instruction struct {
	Op         Op
	Class      string
	Key        Key
	Field      string
	Path       Path
	Value      Value
	Addend     int64
	Prior      uint32 // the list's length before the instruction
	To         uint32 // destination index of ArrayMove
	Default    bool   // the value is a class's default
	Collection Collection
	Table      *Table
	Column     *Column
}

// Object names the object an object or path instruction is about.
func (in *Instruction) Object() ObjectRef { return ObjectRef{in.Class, in.Key} }

// Changeset is what one transaction did, in order.
type Changeset []Instruction

// Clone returns a deep copy, which may be rewritten freely.
func (c Changeset) Clone() Changeset {
	if c == nil {
		return nil
	}
	out := make(Changeset, len(c))
	for i := range c {
		out[i] = c[i].Clone()
	}
	return out
}

// Clone returns a deep copy.
func (in Instruction) Clone() Instruction {
	if in.Path != nil {
		in.Path = append(Path(nil), in.Path...)
	}
	if in.Table != nil {
		t := *in.Table
		in.Table = &t
	}
	if in.Column != nil {
		c := *in.Column
		in.Column = &c
	}
	return in
}

package transform

import "github.com/isthmus-sync/isthmus/changeset"

// meetSchema is meet for a, a schema instruction, and b of any kind. An
// EraseTable first removes whatever the other says about its class.
func (m *merger) meetSchema(a, b *operand) error {
	if eraseTableOver(a, b) || eraseTableOver(b, a) {
		return nil
	}
	if a.in.Op < b.in.Op {
		a, b = b, a
	}
	switch {
	case a.in.Op == changeset.OpAddTable && b.in.Op == changeset.OpAddTable:
		return addTableTwice(a, b)
	case a.in.Op == changeset.OpEraseTable:
		eraseTable(a, b)
	case a.in.Op == changeset.OpAddColumn && b.in.Op == changeset.OpEraseTable:
		m.addColumnToErasedTarget(a, b)
	case a.in.Op == changeset.OpAddColumn && b.in.Op == changeset.OpAddColumn:
		return addColumnTwice(a, b)
	case a.in.Op == changeset.OpEraseColumn:
		eraseColumn(a, b)
	}
	return nil
}

// eraseTableOver is the nested rule of EraseTable: it discards any deeper
// instruction on its class. It reports whether it did.
func eraseTableOver(outer, inner *operand) bool {
	if outer.in.Op != changeset.OpEraseTable || outer.in.Class != inner.in.Class {
		return false
	}
	if inner.in.Op == changeset.OpAddTable || inner.in.Op == changeset.OpEraseTable {
		return false
	}
	inner.discard()
	return true
}

// addTableTwice is rule S1: both sides created a class, so nothing is left to
// do on either if they agree.
func addTableTwice(a, b *operand) error {
	if a.in.Class != b.in.Class {
		return nil
	}
	x, y := tableOf(a.in), tableOf(b.in)
	switch {
	case x.Kind != y.Kind:
		return refuse("S1", a, b, "the class is top-level, embedded or asymmetric on one side only")
	case x.Kind == changeset.Embedded:
	case x.KeyField != y.KeyField:
		return refuse("S1", a, b, "the primary keys have different names")
	case x.KeyType != y.KeyType:
		return refuse("S1", a, b, "the primary keys have different types")
	case x.KeyNullable != y.KeyNullable:
		return refuse("S1", a, b, "the primary key is nullable on one side only")
	}
	a.discard()
	b.discard()
	return nil
}

// eraseTable is rules S2 and S3, for a an EraseTable and b an EraseTable or an
// AddTable.
func eraseTable(a, b *operand) {
	if a.in.Class != b.in.Class {
		return
	}
	if b.in.Op == changeset.OpEraseTable {
		a.discard()
	}
	b.discard()
}

// addColumnToErasedTarget is rule S4: a column of links to a class cannot
// outlive the class. The side that has the column is told to erase it before
// the class.
func (m *merger) addColumnToErasedTarget(column, erase *operand) {
	c := columnOf(column.in)
	if c.Type != changeset.Link || c.Target != erase.in.Class {
		return
	}
	m.putBefore(erase, changeset.Instruction{
		Op: changeset.OpEraseColumn, Class: column.in.Class, Field: column.in.Field,
	})
	column.discard()
}

// addColumnTwice is rule S5: both sides created a property, so nothing is left
// to do on either if they agree.
func addColumnTwice(a, b *operand) error {
	if a.in.Class != b.in.Class || a.in.Field != b.in.Field {
		return nil
	}
	x, y := columnOf(a.in), columnOf(b.in)
	switch {
	case x.Type != y.Type:
		return refuse("S5", a, b, "the property has different types")
	case x.Nullable != y.Nullable:
		return refuse("S5", a, b, "the property is nullable on one side only")
	case x.Collection != y.Collection:
		return refuse("S5", a, b, "the property has different kinds of collection")
	case x.Type == changeset.Link && x.Target != y.Target:
		return refuse("S5", a, b, "the property links to different classes")
	}
	a.discard()
	b.discard()
	return nil
}

// eraseColumn is rules S6, S7 and S8, for a an EraseColumn and b anything of a
// lower or the same opcode. Of the instructions on values only Update has a
// rule; the others then fail to apply, as in the original.
func eraseColumn(a, b *operand) {
	if a.in.Class != b.in.Class || a.in.Field != b.in.Field {
		return
	}
	switch b.in.Op {
	case changeset.OpAddColumn, changeset.OpUpdate:
		b.discard()
	case changeset.OpEraseColumn:
		a.discard()
		b.discard()
	}
}

// tableOf returns the specification an AddTable carries.
func tableOf(in *changeset.Instruction) changeset.Table {
	if in.Table == nil {
		return changeset.Table{}
	}
	return *in.Table
}

// columnOf returns the specification an AddColumn carries.
func columnOf(in *changeset.Instruction) changeset.Column {
	if in.Column == nil {
		return changeset.Column{}
	}
	return *in.Column
}

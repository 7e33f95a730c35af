package transform

import (
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
)

// meetScalars is for two of Update and AddInteger on the same path. Two
// increments need no rule: they commute.
func (m *merger) meetScalars(a, b *operand) error {
	switch {
	case a.in.Op == changeset.OpUpdate:
		return m.updateTwice(a, b)
	case b.in.Op == changeset.OpUpdate:
		addToUpdate(a, b)
	}
	return nil
}

// updateTwice is rule V1: which of two values set at the same place stays.
func (m *merger) updateTwice(a, b *operand) error {
	x, y := a.in, b.in
	element := x.Path.EndsInIndex()
	if element && x.Prior != y.Prior {
		return refuse("V1", a, b, "the list has different lengths")
	}
	creates := func(in *changeset.Instruction) bool { return in.Value.Type == changeset.ObjectValue }
	switch {
	case creates(x) && creates(y):
		if len(x.Path) > 0 && !element {
			m.report(DefectEmbeddedReplaced, x)
		}
	case creates(x): // anything beats creating an embedded object
		a.discard()
		return nil
	case creates(y):
		b.discard()
		return nil
	case x.Value.Type == y.Value.Type && (x.Value.Type == changeset.List || x.Value.Type == changeset.Dictionary):
		return nil // both make the same collection, which keeps its content
	}
	loser, winner := older(a, b)
	if !element && x.Default != y.Default {
		loser, winner = b, a
		if x.Default {
			loser, winner = a, b
		}
	}
	if keepsContent(winner) {
		m.report(DefectCollectionKept, winner.in)
	}
	loser.discard()
	return nil
}

// keepsContent reports whether an Update makes a collection without clearing
// it in the next instruction, as an application that assigns one does.
func keepsContent(o *operand) bool {
	kind := collectionOf(o.in.Value)
	if kind == changeset.Single {
		return false
	}
	next := o.follower()
	return next == nil || next.Op != changeset.OpClear || next.Collection != kind ||
		next.Field != o.in.Field || next.Object() != o.in.Object() || !samePath(next.Path, o.in.Path)
}

// collectionOf returns the kind of collection that a payload makes of a mixed
// value, or Single.
func collectionOf(v changeset.Value) changeset.Collection {
	switch v.Type {
	case changeset.List:
		return changeset.ListOf
	case changeset.Dictionary:
		return changeset.DictionaryOf
	}
	return changeset.Single
}

// addToUpdate is rule V2. An increment comes on top of an older value, or of a
// default; a newer explicit value beats it. On null it waits in the history:
// a value set before the null would revive it.
func addToUpdate(add, update *operand) {
	byDefault := update.in.Default && !update.in.Path.EndsInIndex()
	if !byDefault && !update.olderThan(add) {
		add.discard()
		return
	}
	switch update.in.Value.Type {
	case changeset.Null:
	case changeset.Int:
		if add.in.Addend != 0 {
			update.edit().Value.Num += add.in.Addend
		}
	default:
		add.discard()
	}
}

// clearAndUpdate is rule V3, on a mixed value: the newer stays, unless the
// Update makes the collection that the Clear leaves behind.
func (m *merger) clearAndUpdate(clear, update *operand) {
	if kind := collectionOf(update.in.Value); kind != changeset.Single && kind == clear.in.Collection {
		return
	}
	if clear.olderThan(update) {
		if keepsContent(update) {
			m.report(DefectCollectionKept, update.in)
		}
		clear.discard()
		return
	}
	update.discard()
	if update.in.Value.Type == changeset.Erased {
		m.restoreKey(clear, update)
	}
}

// restoreKey puts the creation of the collection in front of a Clear
// (Rules.ClearRestoresKey), the dictionary entry having been removed.
func (m *merger) restoreKey(clear, removal *operand) {
	if removal.of.incoming {
		m.report(DefectClearedKey, clear.in)
	}
	payload := changeset.List
	if clear.in.Collection == changeset.DictionaryOf {
		payload = changeset.Dictionary
	}
	if m.rules.ClearRestoresKey {
		m.putBefore(clear, changeset.Instruction{
			Op: changeset.OpUpdate, Class: clear.in.Class, Key: clear.in.Key, Field: clear.in.Field, Path: slices.Clone(clear.in.Path),
			Value: changeset.SpecialValue(payload),
		})
	}
}

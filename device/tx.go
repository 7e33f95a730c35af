package device

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// Tx is a write transaction. What it does becomes one changeset, with the
// instructions that the SDKs make of the same operations. After an error the
// transaction may go on; what failed has changed nothing.
type Tx struct {
	file   *File
	out    changeset.Changeset
	layout changeset.Layout
	undo   *savepoint

	// Objects of asymmetric classes are gone when the transaction commits.
	passing []changeset.ObjectRef
}

// Create creates an object and sets the properties given, in the order of the
// schema. It fails if the object exists.
func (tx *Tx) Create(class string, key changeset.Key, set map[string]any) error {
	if tx.file.store.Object(changeset.ObjectRef{Class: class, Key: key}) != nil {
		return fmt.Errorf("create: %s has an object with that primary key", class)
	}
	return tx.Upsert(class, key, set)
}

// Upsert is Create for an object that may exist.
func (tx *Tx) Upsert(class string, key changeset.Key, set map[string]any) error {
	c := tx.file.store.Schema().Class(class)
	if c == nil {
		return fmt.Errorf("create: class %s does not exist", class)
	}
	if err := tx.emit(spot{}, changeset.Instruction{Op: changeset.OpCreateObject, Class: class, Key: key}); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if c.Kind == changeset.Asymmetric {
		tx.passing = append(tx.passing, changeset.ObjectRef{Class: class, Key: key})
	}
	return tx.fields(c, set, func(name string) Place { return At(class, key, name) })
}

// fields sets properties of a new object, in the order of the schema.
func (tx *Tx) fields(c *schema.Class, set map[string]any, place func(string) Place) error {
	for name := range set {
		if c.Properties[name] == nil {
			return fmt.Errorf("class %s has no property %q", c.Name, name)
		}
	}
	for _, name := range tx.file.propertyNames(c) {
		if v, ok := set[name]; ok {
			if err := tx.put(place(name), v, putNew); err != nil {
				return err
			}
		}
	}
	return nil
}

// How a value is put somewhere.
type putMode uint8

const (
	putSet     putMode = iota // over what is there
	putNew                    // into what has just been created
	putInsert                 // into a list, as a new element
	putDefault                // as a class's default
)

// Set sets a property, a list element or a dictionary entry. A collection
// property is cleared and filled.
func (tx *Tx) Set(p Place, value any) error { return tx.put(p, value, putSet) }

// SetDefault sets a property to a class's default.
func (tx *Tx) SetDefault(p Place, value any) error { return tx.put(p, value, putDefault) }

// Insert inserts into a list. The place ends in the new element's index.
func (tx *Tx) Insert(p Place, value any) error {
	if !p.Path.EndsInIndex() {
		return errors.New("insert: the place is no list index")
	}
	return tx.put(p, value, putInsert)
}

// Append inserts at the end of the list at the place.
func (tx *Tx) Append(p Place, value any) error {
	sp, err := look(tx.file.store, p)
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	list, ok := sp.node.(*object.List)
	if !ok {
		return errors.New("append: not a list")
	}
	return tx.Insert(p.Index(len(list.Items)), value)
}

// put stores a value at a place.
func (tx *Tx) put(p Place, value any, mode putMode) error {
	sp, err := look(tx.file.store, p)
	if err != nil {
		return fmt.Errorf("set: %w", err)
	}
	if sp.collection() {
		return tx.fillProperty(p, sp, value, mode)
	}
	switch v := plain(value).(type) {
	case Embedded:
		return tx.putEmbedded(p, sp, v, mode)
	case List:
		return tx.putNested(p, sp, changeset.List, mode, func() error { return tx.fillList(p, v) })
	case Dict:
		return tx.putNested(p, sp, changeset.Dictionary, mode, func() error { return tx.fillDict(p, v) })
	}
	payload, err := scalar(value, sp.prop)
	if err != nil {
		return fmt.Errorf("set %s.%s: %w", p.Class, p.Field, err)
	}
	return tx.value(p, sp, payload, mode)
}

// value emits one instruction that puts a payload at a place.
func (tx *Tx) value(p Place, sp spot, v changeset.Value, mode putMode) error {
	in := p.instruction(changeset.OpUpdate)
	in.Value = v
	if sp.at == schema.InList {
		in.Prior = uint32(sp.length)
		if mode == putInsert {
			in.Op = changeset.OpArrayInsert
		}
	} else {
		in.Default = mode == putDefault
	}
	return tx.emit(sp, in)
}

// putEmbedded makes an embedded object. The one that a property or a list
// element holds goes first; a dictionary's is replaced by the new one.
func (tx *Tx) putEmbedded(p Place, sp spot, fields Embedded, mode putMode) error {
	c := tx.file.store.Schema().Class(sp.prop.Target)
	if c == nil || c.Kind != changeset.Embedded {
		return fmt.Errorf("set %s.%s: no place for an embedded object", p.Class, p.Field)
	}
	if _, exists := sp.node.(*object.Object); exists && mode != putInsert {
		switch sp.at {
		case schema.InField:
			if err := tx.value(p, sp, changeset.NullValue(), putSet); err != nil {
				return err
			}
		case schema.InList:
			if err := tx.Erase(p); err != nil {
				return err
			}
			sp.length--
			mode = putInsert
		}
	}
	if err := tx.value(p, sp, changeset.SpecialValue(changeset.ObjectValue), mode); err != nil {
		return err
	}
	return tx.fields(c, fields, p.Name)
}

// putNested makes a mixed a list or a dictionary, empties it if it was one, and
// fills it.
func (tx *Tx) putNested(p Place, sp spot, kind changeset.Type, mode putMode, fill func() error) error {
	if err := tx.value(p, sp, changeset.SpecialValue(kind), mode); err != nil {
		return err
	}
	if mode != putInsert && length(sp.node) > 0 {
		now, err := look(tx.file.store, p)
		if err != nil {
			return err
		}
		if length(now.node) > 0 {
			if err := tx.Clear(p); err != nil {
				return err
			}
		}
	}
	return fill()
}

// length is how much a collection holds; 0 of anything else.
func length(node object.Node) int {
	switch node := node.(type) {
	case *object.List:
		return len(node.Items)
	case *object.Dictionary:
		return len(node.Entries)
	case *object.Set:
		return len(node.Items)
	}
	return 0
}

// fillProperty sets a collection property.
func (tx *Tx) fillProperty(p Place, sp spot, value any, mode putMode) error {
	if mode == putSet {
		if err := tx.Clear(p); err != nil {
			return err
		}
	}
	switch v := plain(value).(type) {
	case List:
		if sp.prop.Collection == changeset.ListOf {
			return tx.fillList(p, v)
		}
	case Dict:
		if sp.prop.Collection == changeset.DictionaryOf {
			return tx.fillDict(p, v)
		}
	case Set:
		if sp.prop.Collection == changeset.SetOf {
			for _, item := range v {
				if err := tx.SetInsert(p, item); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return fmt.Errorf("set %s.%s: a %T does not fit a %v", p.Class, p.Field, value, sp.prop.Collection)
}

func (tx *Tx) fillList(p Place, items List) error {
	for i, item := range items {
		if err := tx.Insert(p.Index(i), item); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) fillDict(p Place, entries Dict) error {
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if err := tx.put(p.Name(key), entries[key], putNew); err != nil {
			return err
		}
	}
	return nil
}

// plain turns a node of an object into what an app sets, and leaves all else alone.
func plain(node any) any {
	switch node := node.(type) {
	case *object.Object:
		out := make(Embedded, len(node.Fields))
		for name, field := range node.Fields {
			out[name] = plain(field)
		}
		return out
	case *object.List:
		out := make(List, len(node.Items))
		for i, item := range node.Items {
			out[i] = plain(item)
		}
		return out
	case *object.Dictionary:
		out := make(Dict, len(node.Entries))
		for key, entry := range node.Entries {
			out[key] = plain(entry)
		}
		return out
	case *object.Set:
		out := make(Set, len(node.Items))
		for i, item := range node.Items {
			out[i] = item
		}
		return out
	}
	return node
}

// Add adds to a whole number, which wraps around at 64 bits. Null stays null.
func (tx *Tx) Add(p Place, n int64) error {
	sp, err := look(tx.file.store, p)
	if err != nil {
		return fmt.Errorf("add: %w", err)
	}
	in := p.instruction(changeset.OpAddInteger)
	in.Addend = n
	return tx.emit(sp, in)
}

// Erase removes a list element or a dictionary entry.
func (tx *Tx) Erase(p Place) error {
	sp, err := look(tx.file.store, p)
	if err != nil {
		return fmt.Errorf("erase: %w", err)
	}
	if sp.node == nil || sp.at == schema.InField {
		return errors.New("erase: there is no such element")
	}
	if sp.at == schema.InDictionary {
		return tx.value(p, sp, changeset.SpecialValue(changeset.Erased), putSet)
	}
	in := p.instruction(changeset.OpArrayErase)
	in.Prior = uint32(sp.length)
	return tx.emit(sp, in)
}

// Move moves an element of the list at the place. to is its index afterwards.
func (tx *Tx) Move(p Place, from, to int) error {
	if from == to {
		return nil
	}
	p = p.Index(from)
	sp, err := look(tx.file.store, p)
	if err != nil {
		return fmt.Errorf("move: %w", err)
	}
	in := p.instruction(changeset.OpArrayMove)
	in.To, in.Prior = uint32(to), uint32(sp.length)
	return tx.emit(sp, in)
}

// Clear empties a collection. A property that is empty already is left alone,
// a collection inside mixed is not.
func (tx *Tx) Clear(p Place) error {
	sp, err := look(tx.file.store, p)
	if err != nil {
		return fmt.Errorf("clear: %w", err)
	}
	if sp.collection() && length(sp.node) == 0 {
		return nil
	}
	in := p.instruction(changeset.OpClear)
	switch sp.node.(type) {
	case *object.List:
		in.Collection = changeset.ListOf
	case *object.Dictionary:
		in.Collection = changeset.DictionaryOf
	case *object.Set:
		in.Collection = changeset.SetOf
	default:
		return errors.New("clear: not a collection")
	}
	return tx.emit(sp, in)
}

// SetInsert puts a value into the set at the place. One that is in it already
// is left alone.
func (tx *Tx) SetInsert(p Place, value any) error {
	return tx.changeSet(changeset.OpSetInsert, p, value)
}

// SetErase takes a value out of the set at the place, if it is in it.
func (tx *Tx) SetErase(p Place, value any) error {
	return tx.changeSet(changeset.OpSetErase, p, value)
}

func (tx *Tx) changeSet(op changeset.Op, p Place, value any) error {
	sp, err := look(tx.file.store, p)
	if err != nil {
		return fmt.Errorf("%v: %w", op, err)
	}
	v, err := scalar(value, sp.prop)
	if err != nil {
		return fmt.Errorf("%v: %w", op, err)
	}
	in := p.instruction(op)
	in.Value = v
	before := length(sp.node)
	if err := tx.apply(in); err != nil {
		return err
	}
	after, err := look(tx.file.store, p)
	if err != nil {
		return err
	}
	if length(after.node) != before {
		tx.write(sp, in)
	}
	return nil
}

// Instruct does what instructions say, and uploads them as they are.
func (tx *Tx) Instruct(cs ...changeset.Instruction) error {
	for _, in := range cs {
		if err := tx.emit(spot{}, in); err != nil {
			return err
		}
	}
	return nil
}

// Forge uploads instructions without applying them here, whatever they say: to
// try what a server refuses.
func (tx *Tx) Forge(cs ...changeset.Instruction) {
	for _, in := range cs {
		tx.write(spot{}, in)
	}
}

// Len returns how many instructions the transaction has so far. One that ends
// with none uploads nothing.
func (tx *Tx) Len() int { return len(tx.out) }

// Object returns an object as the transaction has it, nil if there is none. It
// must not be changed.
func (tx *Tx) Object(class string, key changeset.Key) *object.Object {
	return tx.file.store.Object(changeset.ObjectRef{Class: class, Key: key})
}

// instruction makes an instruction about the place.
func (p Place) instruction(op changeset.Op) changeset.Instruction {
	return changeset.Instruction{Op: op, Class: p.Class, Key: p.Key, Field: p.Field, Path: p.Path}
}

// emit applies an instruction and writes it.
func (tx *Tx) emit(sp spot, in changeset.Instruction) error {
	if err := tx.apply(in); err != nil {
		return err
	}
	tx.write(sp, in)
	return nil
}

func (tx *Tx) apply(in changeset.Instruction) error {
	if tx.undo == nil {
		return ErrTransactionEnded
	}
	cs := changeset.Changeset{in}
	if err := tx.file.store.Schema().Check(&in); err != nil {
		return err
	}
	tx.undo.keep(cs)
	return tx.file.store.Apply(cs)
}

// ErrTransactionEnded says that a transaction is used after its end.
var ErrTransactionEnded = errors.New("the transaction has ended")

// write appends an instruction to the changeset, and notes where clients define
// strings that it does not need.
func (tx *Tx) write(sp spot, in changeset.Instruction) {
	at := len(tx.out)
	define := func(texts ...string) {
		for _, text := range texts {
			tx.layout = append(tx.layout, changeset.Definition{Before: at, Text: text})
		}
	}
	switch {
	case sp.embedded != "":
		define(sp.embedded)
	case in.Op == changeset.OpAddColumn && in.Column.Type != changeset.Link:
		define(in.Class, in.Field, "")
	}
	tx.out = append(tx.out, in)
}

package object

import (
	"errors"
	"fmt"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// ErrBadInstruction is what every ApplyError wraps: the instruction's changeset
// is a bad changeset.
var ErrBadInstruction = schema.ErrBadInstruction

// ApplyError says which instruction could not be applied, and why.
type ApplyError = schema.InstructionError

// Apply does to the object, which is one of class c, what a path instruction
// says (rules 2.4 and 2.5). The error is an *ApplyError; the object is then
// unchanged. Class and primary key of the instruction are not looked at.
func (o *Object) Apply(s *schema.Schema, c *schema.Class, in *changeset.Instruction) error {
	if !in.Op.HasPath() {
		return schema.NewInstructionError(in, "not about a value inside an object")
	}
	pl, err := o.find(s, c, in)
	if err == nil {
		err = s.CheckAt(pl.prop, pl.at, in)
	}
	if err == nil {
		err = pl.apply(in)
	}
	if err != nil {
		return schema.NewInstructionError(in, err.Error())
	}
	return nil
}

// apply does what the instruction says. CheckAt has found it right as far as
// the schema tells.
func (pl *place) apply(in *changeset.Instruction) error {
	switch in.Op {
	case changeset.OpUpdate:
		return pl.update(in)
	case changeset.OpAddInteger:
		return pl.addInteger(in.Addend)
	case changeset.OpArrayInsert:
		return pl.arrayInsert(in)
	case changeset.OpArrayMove:
		return pl.arrayMove(in)
	case changeset.OpArrayErase:
		return pl.arrayErase(in)
	case changeset.OpClear:
		return pl.clear(in.Collection)
	case changeset.OpSetInsert, changeset.OpSetErase:
		return pl.changeSet(in)
	}
	return fmt.Errorf("%v is not about a value", in.Op)
}

func (pl *place) update(in *changeset.Instruction) error {
	node, err := pl.node()
	if err != nil && pl.at != schema.InDictionary {
		return err
	}
	switch in.Value.Type {
	case changeset.Erased:
		if pl.dict != nil {
			delete(pl.dict.Entries, pl.key)
		}
		return nil
	case changeset.ObjectValue:
		// Over an existing object only a dictionary makes a new one (7.3).
		if _, exists := node.(*Object); exists && pl.at != schema.InDictionary {
			return nil
		}
	case changeset.List:
		if _, same := node.(*List); same {
			return nil
		}
	case changeset.Dictionary:
		if _, same := node.(*Dictionary); same {
			return nil
		}
	}
	made, err := pl.make(in.Value)
	if err != nil {
		return err
	}
	pl.set(made)
	return nil
}

// make returns what the payload puts at the place.
func (pl *place) make(v changeset.Value) (Node, error) {
	switch v.Type {
	case changeset.ObjectValue:
		return &Object{}, nil
	case changeset.List, changeset.Dictionary:
		if pl.level+1 > maxLevel {
			return nil, fmt.Errorf("more than %d collections inside one another", maxLevel)
		}
		if v.Type == changeset.List {
			return &List{}, nil
		}
		return &Dictionary{}, nil
	}
	return v, nil
}

// addInteger wraps around at 64 bits. Null stays null.
func (pl *place) addInteger(addend int64) error {
	node := pl.object.Get(pl.prop)
	v, ok := node.(changeset.Value)
	switch {
	case ok && v.IsNull():
		return nil
	case !ok || v.Type != changeset.Int:
		return fmt.Errorf("an integer can't be added to %s", kindOf(node))
	}
	v.Num += addend
	pl.set(v)
	return nil
}

func (pl *place) checkPrior(prior uint32) error {
	if n := pl.list.len(); int64(prior) != int64(n) {
		return fmt.Errorf("the list has %d elements, the instruction is for one of %d", n, prior)
	}
	return nil
}

func (pl *place) arrayInsert(in *changeset.Instruction) error {
	if err := pl.checkPrior(in.Prior); err != nil {
		return err
	}
	if n := pl.list.len(); pl.index > n {
		return fmt.Errorf("insertion at index %d of a list of %d elements", pl.index, n)
	}
	node, err := pl.make(in.Value)
	if err != nil {
		return err
	}
	list := pl.theList()
	list.Items = slices.Insert(list.Items, pl.index, node)
	return nil
}

func (pl *place) arrayErase(in *changeset.Instruction) error {
	if err := pl.checkPrior(in.Prior); err != nil {
		return err
	}
	if _, err := pl.node(); err != nil {
		return err
	}
	pl.list.Items = slices.Delete(pl.list.Items, pl.index, pl.index+1)
	return nil
}

func (pl *place) arrayMove(in *changeset.Instruction) error {
	if err := pl.checkPrior(in.Prior); err != nil {
		return err
	}
	node, err := pl.node()
	if err != nil {
		return err
	}
	items, to := pl.list.Items, toInt(in.To)
	switch {
	case to >= len(items):
		return fmt.Errorf("a move to index %d of a list of %d elements", to, len(items))
	case to == pl.index:
		return errors.New("a move to its own place")
	case to > pl.index:
		copy(items[pl.index:to], items[pl.index+1:to+1])
	default:
		copy(items[to+1:pl.index+1], items[to:pl.index])
	}
	items[to] = node
	return nil
}

// clear empties a collection property. A mixed becomes an empty collection of
// the kind, whatever it was.
func (pl *place) clear(kind changeset.Collection) error {
	if pl.at == schema.InField && pl.prop.Collection != changeset.Single {
		delete(pl.object.Fields, pl.prop.Name)
		return nil
	}
	if _, err := pl.node(); err != nil {
		return err
	}
	payload := changeset.List
	if kind == changeset.DictionaryOf {
		payload = changeset.Dictionary
	}
	empty, err := pl.make(changeset.SpecialValue(payload))
	if err != nil {
		return err
	}
	pl.set(empty)
	return nil
}

func (pl *place) changeSet(in *changeset.Instruction) error {
	node := pl.object.Fields[pl.prop.Name]
	set, ok := node.(*Set)
	if !ok && node != nil {
		return fmt.Errorf("the set property holds %s", kindOf(node))
	}
	mixed := pl.prop.Type == changeset.Mixed
	if in.Op == changeset.OpSetErase {
		if set != nil {
			set.erase(in.Value, mixed)
		}
		return nil
	}
	if set == nil {
		set = &Set{}
		pl.object.set(pl.prop, set)
	}
	set.insert(in.Value, mixed)
	return nil
}

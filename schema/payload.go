package schema

import (
	"errors"
	"fmt"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
)

// Place says where in a property a payload goes.
type Place uint8

// The places: the property itself, or an element of its collection. Elements of
// a collection inside a mixed are elements of MixedElement.
const (
	InField Place = iota
	InList
	InDictionary
	InSet
)

// CheckKey reports why the key can't be one of an object of the class, or nil.
func (c *Class) CheckKey(k changeset.Key) error {
	switch {
	case c.Kind == changeset.Embedded:
		return errors.New("embedded objects have no primary key")
	case k.Type == changeset.Null:
		if !c.KeyNullable {
			return fmt.Errorf("the primary key of class %s must not be null", c.Name)
		}
	case k.Type != c.KeyType:
		return fmt.Errorf("the primary key is of type %v, that of class %s is %v", k.Type, c.Name, c.KeyType)
	}
	return nil
}

// CheckKeyName reports why a dictionary, or a document inside a mixed, can't
// have the key, or nil. Clients refuse the whole changeset of a bad one.
func CheckKeyName(key string) error {
	switch {
	case strings.HasPrefix(key, "$"):
		return fmt.Errorf("dictionary key %q begins with a dollar sign", key)
	case strings.Contains(key, "."):
		return fmt.Errorf("dictionary key %q contains a dot", key)
	case strings.Contains(key, "\x00"):
		return fmt.Errorf("dictionary key %q contains a NUL, which MongoDB can't store", key)
	}
	return nil
}

// CheckPayload reports why the payload can't go to that place of the property,
// or nil (rule 2.5).
func (s *Schema) CheckPayload(p *Property, at Place, v changeset.Value) error {
	switch v.Type {
	case changeset.Erased:
		if at != InDictionary {
			return errors.New("only a dictionary's entry can be erased")
		}
		return nil
	case changeset.ObjectValue:
		if !s.IsEmbedded(p) {
			return fmt.Errorf("an embedded object does not fit %s", describe(p))
		}
		return nil
	case changeset.List, changeset.Dictionary:
		if p.Type != changeset.Mixed || at == InSet {
			return fmt.Errorf("a %v does not fit %s", v.Type, describe(p))
		}
		return nil
	case changeset.Null:
		if !p.AcceptsNull() {
			return fmt.Errorf("null does not fit %s", describe(p))
		}
		return nil
	case changeset.Link:
		return s.checkLink(p, v)
	case changeset.Int, changeset.Bool, changeset.String, changeset.Binary, changeset.Timestamp, changeset.Float,
		changeset.Double, changeset.Decimal, changeset.ObjectID, changeset.UUID:
		if p.Type != changeset.Mixed && p.Type != v.Type {
			return fmt.Errorf("a value of type %v does not fit %s", v.Type, describe(p))
		}
		return wellFormed(v)
	}
	return fmt.Errorf("a payload of type %v can't be applied", v.Type)
}

func (s *Schema) checkLink(p *Property, v changeset.Value) error {
	if p.Type != changeset.Mixed && p.Type != changeset.Link {
		return fmt.Errorf("a link does not fit %s", describe(p))
	}
	target := s.Class(v.Str)
	switch {
	case target == nil:
		return fmt.Errorf("a link to class %q, which does not exist", v.Str)
	case target.Kind == changeset.Embedded:
		return fmt.Errorf("a link to embedded class %s", target.Name)
	case p.Type == changeset.Link && p.Target != v.Str:
		return fmt.Errorf("a link to class %s does not fit %s", v.Str, describe(p))
	}
	if err := target.CheckKey(v.Key); err != nil {
		return fmt.Errorf("link: %w", err)
	}
	return nil
}

// wellFormed reports why a scalar is none that a client could hold.
func wellFormed(v changeset.Value) error {
	const second = 1_000_000_000
	switch v.Type {
	case changeset.String:
		if len(v.Str) > changeset.MaxString {
			return fmt.Errorf("a string of %d bytes, more than %d", len(v.Str), changeset.MaxString)
		}
	case changeset.Binary:
		if len(v.Str) > changeset.MaxBinary {
			return fmt.Errorf("a binary of %d bytes, more than %d", len(v.Str), changeset.MaxBinary)
		}
	case changeset.Timestamp:
		if v.Nanos <= -second || v.Nanos >= second || v.Num > 0 && v.Nanos < 0 || v.Num < 0 && v.Nanos > 0 {
			return fmt.Errorf("a timestamp of %d seconds and %d nanoseconds", v.Num, v.Nanos)
		}
	case changeset.ObjectID:
		if len(v.Str) != 12 {
			return fmt.Errorf("an object id of %d bytes", len(v.Str))
		}
	case changeset.UUID:
		if len(v.Str) != 16 {
			return fmt.Errorf("a UUID of %d bytes", len(v.Str))
		}
	}
	return nil
}

// CheckAt reports why the instruction, a path instruction that has led to that
// place of the property, can't be right whatever the object holds, or nil.
func (s *Schema) CheckAt(p *Property, at Place, in *changeset.Instruction) error {
	collection := at == InField && p.Collection != changeset.Single
	switch in.Op {
	case changeset.OpUpdate:
		if collection {
			return fmt.Errorf("%s can't be set as a whole", describe(p))
		}
		return s.CheckPayload(p, at, in.Value)
	case changeset.OpAddInteger:
		if at != InField || collection || p.Type != changeset.Int && p.Type != changeset.Mixed {
			return errors.New("only an integer property can be added to")
		}
	case changeset.OpArrayInsert:
		if at != InList {
			return errors.New("not a list")
		}
		return s.CheckPayload(p, at, in.Value)
	case changeset.OpArrayMove, changeset.OpArrayErase:
		if at != InList {
			return errors.New("not a list")
		}
	case changeset.OpClear:
		return checkClear(p, collection, in.Collection)
	case changeset.OpSetInsert, changeset.OpSetErase:
		if !collection || p.Collection != changeset.SetOf {
			return errors.New("not a set")
		}
		return s.CheckPayload(p, InSet, in.Value)
	default:
		return fmt.Errorf("%v is not about a value", in.Op)
	}
	return nil
}

func checkClear(p *Property, collection bool, kind changeset.Collection) error {
	switch {
	case collection:
		// Clients before 14.6 leave the kind out.
		if kind != changeset.Single && kind != p.Collection {
			return fmt.Errorf("%s can't be cleared as a %v", describe(p), kind)
		}
	case p.Type != changeset.Mixed:
		return errors.New("not a collection")
	case kind != changeset.ListOf && kind != changeset.DictionaryOf:
		return fmt.Errorf("a mixed can be cleared as a list or a dictionary, not as %v", kind)
	}
	return nil
}

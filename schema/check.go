package schema

import (
	"errors"
	"fmt"

	"github.com/isthmus-sync/isthmus/changeset"
)

// Check reports whether an object or path instruction can be right as far as the
// schema alone tells: class, primary key, path and payload. What depends on the
// object, such as a mixed's content, indices and prior sizes, is left to its
// application. The error is an *InstructionError. Schema instructions are
// Apply's business; Check accepts them.
func (s *Schema) Check(in *changeset.Instruction) error {
	if in.Op.IsSchema() {
		return nil
	}
	if err := s.check(in); err != nil {
		return NewInstructionError(in, err.Error())
	}
	return nil
}

func (s *Schema) check(in *changeset.Instruction) error {
	c := s.Class(in.Class)
	if c == nil {
		return errors.New("the class does not exist")
	}
	if err := c.CheckKey(in.Key); err != nil {
		return err
	}
	if !in.Op.HasPath() {
		if in.Op == changeset.OpEraseObject && c.Kind == changeset.Asymmetric {
			return errors.New("objects of an asymmetric class can't be erased")
		}
		return nil
	}
	p, err := c.Property(in.Field)
	if err != nil {
		return err
	}
	at := InField
	for _, step := range in.Path {
		if p, at, err = s.step(p, at, step); err != nil {
			return err
		}
	}
	return s.CheckAt(p, at, in)
}

// Property returns a property that a path may begin with, or go on with in an
// embedded object. The error says what is wrong with another.
func (c *Class) Property(name string) (*Property, error) {
	if p := c.Properties[name]; p != nil {
		return p, nil
	}
	if name == KeyField && c.Kind != changeset.Embedded {
		return nil, errors.New("the primary key can't be changed")
	}
	return nil, fmt.Errorf("class %s has no property %q", c.Name, name)
}

// step follows one step of a path. What a mixed holds is taken from the step
// itself.
func (s *Schema) step(p *Property, at Place, step changeset.PathElement) (*Property, Place, error) {
	if at == InField && p.Collection != changeset.Single {
		switch {
		case p.Collection == changeset.SetOf:
			return nil, 0, errors.New("a set's elements have no path")
		case step.IsIndex != (p.Collection == changeset.ListOf):
			return nil, 0, errors.New(wrongStep(p.Collection == changeset.ListOf))
		}
		return elementOf(p, step)
	}
	switch {
	case p.Type == changeset.Mixed:
		return elementOf(MixedElement, step)
	case s.IsEmbedded(p):
		if step.IsIndex {
			return nil, 0, errors.New("an index into an embedded object")
		}
		inner, err := s.Class(p.Target).Property(step.Name)
		return inner, InField, err
	}
	return nil, 0, fmt.Errorf("the path goes on through %s", describe(p))
}

func elementOf(p *Property, step changeset.PathElement) (*Property, Place, error) {
	if step.IsIndex {
		return p, InList, nil
	}
	return p, InDictionary, CheckKeyName(step.Name)
}

func wrongStep(list bool) string {
	if list {
		return "a name where the path needs an index into a list"
	}
	return "an index where the path needs the key of a dictionary"
}

package schema

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/isthmus-sync/isthmus/changeset"
)

// ErrInvalidSchemaChange is what every ChangeError wraps (protocol error 225).
var ErrInvalidSchemaChange = errors.New("invalid schema change")

// ChangeError says which class or property can't be changed, and how it is
// defined on both sides.
type ChangeError struct {
	Class    string
	Property string // empty: the class itself
	Have     string // definition here; empty: there is none
	Want     string // definition in the instruction
	Reason   string // what forbids it; empty: the two differ
	Hint     string // what to do about it
}

// Error is a sentence of limited length: names may have 16 MB.
func (e *ChangeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: class %.100q", ErrInvalidSchemaChange, e.Class)
	if e.Property != "" {
		fmt.Fprintf(&b, ", property %.100q", e.Property)
	}
	b.WriteString(": ")
	if e.Reason != "" {
		fmt.Fprintf(&b, "%.300s", e.Reason)
	} else {
		fmt.Fprintf(&b, "here it is %.300s, in the change it is %.300s", e.Have, e.Want)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap returns ErrInvalidSchemaChange.
func (e *ChangeError) Unwrap() error { return ErrInvalidSchemaChange }

const breakingHint = "use another name: to redefine it is a breaking change, which resets every device"

// Apply does what a schema instruction of a device says, if it is additive:
// changed is true when it added a class or a property, false when it repeats
// what is known. All else is a *ChangeError, EraseTable and EraseColumn always;
// the schema is then as before.
func (s *Schema) Apply(in *changeset.Instruction) (changed bool, err error) {
	switch in.Op {
	case changeset.OpAddTable:
		if err := checkTable(in); err != nil {
			return false, err
		}
		return s.addTable(in)
	case changeset.OpAddColumn:
		if err := s.checkColumn(in); err != nil {
			return false, err
		}
		return s.addColumn(in)
	case changeset.OpEraseTable, changeset.OpEraseColumn:
		return false, &ChangeError{
			Class: in.Class, Property: in.Field, Have: s.describeAt(in), Want: "removed",
			Hint: "devices may not remove classes or properties: an app that no longer uses it can simply leave it out",
		}
	}
	return false, &ChangeError{Class: in.Class, Reason: in.Op.String() + " is not about the schema"}
}

// describeAt describes the class or property that an erasure names.
func (s *Schema) describeAt(in *changeset.Instruction) string {
	c := s.Class(in.Class)
	if c != nil && in.Op == changeset.OpEraseTable {
		return c.describe()
	}
	if c != nil && c.Properties[in.Field] != nil {
		return describe(c.Properties[in.Field])
	}
	return "unknown"
}

// CheckCollections reports with a *ChangeError that two classes have one
// collection, as when a device adds a class that has the name of another's.
func (s *Schema) CheckCollections() error {
	classes := make(map[string]string)
	for _, name := range s.ClassNames() {
		collection := s.Classes[name].CollectionName()
		if collection == "" {
			continue
		}
		if other, taken := classes[collection]; taken {
			return &ChangeError{Class: name, Reason: fmt.Sprintf("collection %q would be that of class %q as well", collection, other)}
		}
		classes[collection] = name
	}
	return nil
}

// ApplyAsClient does what a client's file does on a schema instruction: it also
// erases, and has no rules about names and primary keys. Merge scenarios and
// simulated devices need it. changed and the error are those of Apply.
func (s *Schema) ApplyAsClient(in *changeset.Instruction) (changed bool, err error) {
	switch in.Op {
	case changeset.OpAddTable:
		return s.addTable(in)
	case changeset.OpAddColumn:
		return s.addColumn(in)
	case changeset.OpEraseTable:
		return s.eraseTable(in)
	case changeset.OpEraseColumn:
		return s.eraseColumn(in)
	}
	return false, &ChangeError{Class: in.Class, Reason: in.Op.String() + " is not about the schema"}
}

// checkTable reports why the class can't be one of a synced schema, or nil.
func checkTable(in *changeset.Instruction) error {
	fail := func(reason, hint string) error {
		return &ChangeError{Class: in.Class, Want: describeTable(in.Table), Reason: reason, Hint: hint}
	}
	t := in.Table
	if t == nil {
		return fail("the class has no definition", "")
	}
	if reason := badClassName(in.Class, t.Kind); reason != "" {
		return fail(reason, "")
	}
	switch t.Kind {
	case changeset.Embedded:
		return nil
	case changeset.TopLevel, changeset.Asymmetric:
	default:
		return fail("the class is of an unknown kind", "")
	}
	if t.KeyField != KeyField {
		return fail(fmt.Sprintf("the primary key is %q", t.KeyField), "synced classes must have the primary key "+KeyField)
	}
	switch t.KeyType {
	case changeset.Int, changeset.String, changeset.ObjectID, changeset.UUID:
		return nil
	}
	return fail(fmt.Sprintf("the primary key is of type %v", t.KeyType), "it must be an int, string, objectid or uuid")
}

// badClassName says why a class can't have the name, empty if it can. One that is
// not embedded needs a name that its collection may have.
func badClassName(name string, kind changeset.TableKind) string {
	switch {
	case name == "":
		return "the class has no name"
	case len(name) > changeset.MaxClassName:
		return fmt.Sprintf("the name is longer than %d bytes", changeset.MaxClassName)
	case !utf8.ValidString(name) || strings.Contains(name, "\x00"):
		return "the name is not text"
	case kind != changeset.Embedded && (strings.Contains(name, "$") || strings.HasPrefix(name, "system.") || name[0] == '.'):
		return "MongoDB can't have a collection of this name"
	}
	return ""
}

func badPropertyName(name string) string {
	switch {
	case name == "":
		return "the property has no name"
	case len(name) > changeset.MaxFieldName:
		return fmt.Sprintf("the name is longer than %d bytes", changeset.MaxFieldName)
	case !utf8.ValidString(name) || strings.Contains(name, "\x00"):
		return "the name is not text"
	case strings.HasPrefix(name, "$"):
		return "the name begins with a dollar sign, which MongoDB can't have"
	case strings.Contains(name, "."):
		return "the name contains a dot, which MongoDB can't have"
	}
	return ""
}

// checkColumn reports why the property can't be one of a synced schema, or nil.
func (s *Schema) checkColumn(in *changeset.Instruction) error {
	fail := func(reason, hint string) error {
		return &ChangeError{Class: in.Class, Property: in.Field, Want: describeColumn(in.Column), Reason: reason, Hint: hint}
	}
	if reason := badPropertyName(in.Field); reason != "" {
		return fail(reason, "")
	}
	if class := s.Class(in.Class); class != nil && class.Kind != changeset.Embedded && in.Field == KeyField {
		return fail("this is the primary key, which comes with the class", "")
	}
	if in.Column == nil {
		return fail("the property has no definition", "")
	}
	return s.checkProperty(propertyOf(in.Field, in.Column), fail)
}

// checkProperty checks the type of a property; fail makes the error.
func (s *Schema) checkProperty(p *Property, fail func(reason, hint string) error) error {
	if p.Collection > changeset.SetOf {
		return fail("the property is an unknown kind of collection", "")
	}
	if p.Type < changeset.Mixed || p.Type > changeset.UUID {
		return fail(fmt.Sprintf("a property can't be of type %v", p.Type), "")
	}
	if p.Type != changeset.Link {
		return nil
	}
	if p.Target == "" {
		return fail("the link has no target class", "a link to objects of any class can't be mapped: use a mixed")
	}
	target := s.Class(p.Target)
	switch {
	case target == nil:
		return fail(fmt.Sprintf("the target class %q does not exist", p.Target), "")
	case target.Kind == changeset.Asymmetric:
		return fail(fmt.Sprintf("the target class %q is asymmetric", p.Target), "no device could follow the link")
	case target.Kind == changeset.Embedded && p.Collection == changeset.SetOf:
		return fail("embedded objects can't be in a set", "use a list")
	}
	return nil
}

func (s *Schema) addTable(in *changeset.Instruction) (changed bool, err error) {
	t := in.Table
	if t == nil {
		return false, &ChangeError{Class: in.Class, Reason: "the class has no definition"}
	}
	c := &Class{Name: in.Class, Kind: t.Kind, Properties: make(map[string]*Property)}
	if t.Kind != changeset.Embedded {
		c.KeyType, c.KeyNullable = t.KeyType, t.KeyNullable
	}
	old := s.Class(in.Class)
	if old == nil {
		if s.Classes == nil {
			s.Classes = make(map[string]*Class)
		}
		s.Classes[in.Class] = c
		return true, nil
	}
	if old.Kind != c.Kind || old.KeyType != c.KeyType || old.KeyNullable != c.KeyNullable {
		return false, &ChangeError{
			Class: in.Class, Have: old.describe(), Want: describeTable(t), Hint: breakingHint,
		}
	}
	return false, nil
}

func (s *Schema) addColumn(in *changeset.Instruction) (changed bool, err error) {
	c := s.Class(in.Class)
	switch {
	case c == nil:
		return false, &ChangeError{Class: in.Class, Property: in.Field, Reason: "the class does not exist"}
	case in.Column == nil:
		return false, &ChangeError{Class: in.Class, Property: in.Field, Reason: "the property has no definition"}
	case in.Column.Type == changeset.Link && s.Class(in.Column.Target) == nil:
		return false, &ChangeError{
			Class: in.Class, Property: in.Field, Want: describeColumn(in.Column),
			Reason: fmt.Sprintf("the target class %q does not exist", in.Column.Target),
		}
	}
	p, old := propertyOf(in.Field, in.Column), c.Properties[in.Field]
	if old == nil {
		c.Properties[in.Field] = p
		return true, nil
	}
	if old.Type != p.Type || old.Collection != p.Collection || old.Target != p.Target || old.AcceptsNull() != p.AcceptsNull() {
		return false, &ChangeError{
			Class: in.Class, Property: in.Field, Have: describe(old), Want: describe(p), Hint: breakingHint,
		}
	}
	return false, nil
}

func (s *Schema) eraseTable(in *changeset.Instruction) (changed bool, err error) {
	if s.Class(in.Class) == nil {
		return false, &ChangeError{Class: in.Class, Reason: "the class does not exist"}
	}
	for _, name := range s.ClassNames() {
		for _, p := range s.Classes[name].Properties {
			if name != in.Class && p.Type == changeset.Link && p.Target == in.Class {
				return false, &ChangeError{Class: in.Class, Reason: fmt.Sprintf("%s.%s links to the class", name, p.Name)}
			}
		}
	}
	delete(s.Classes, in.Class)
	return true, nil
}

func (s *Schema) eraseColumn(in *changeset.Instruction) (changed bool, err error) {
	c := s.Class(in.Class)
	if c == nil || c.Properties[in.Field] == nil {
		return false, &ChangeError{Class: in.Class, Property: in.Field, Reason: "it does not exist"}
	}
	delete(c.Properties, in.Field)
	return true, nil
}

func propertyOf(name string, c *changeset.Column) *Property {
	p := &Property{Name: name, Type: c.Type, Nullable: c.Nullable, Collection: c.Collection}
	if c.Type == changeset.Link {
		p.Target = c.Target
	}
	return p
}

// RestrictedChange is the text of the refusal of an additive change when
// development mode is off, as the hosted service worded it after its "Invalid
// schema change (UPLOAD): ".
func RestrictedChange(in *changeset.Instruction) string {
	what := fmt.Sprintf("adding schema for Realm table %q", in.Class)
	if in.Op == changeset.OpAddColumn && in.Column != nil {
		what = fmt.Sprintf("adding %q column at field %q in schema %q", hostedTypeName(in.Column.Type), in.Field, in.Class)
	}
	return "non-breaking schema change: " + what + ", schema changes from clients are restricted when developer mode is disabled"
}

package notation

import (
	"bytes"
	"encoding/json"
	"math"

	"github.com/isthmus-sync/isthmus/changeset"
)

// instruction is an instruction as JSON has it. Which fields there are depends
// on Op.
type instruction struct {
	Op         string          `json:"op"`
	Class      string          `json:"class"`
	Kind       string          `json:"kind,omitempty"`
	PK         json.RawMessage `json:"pk,omitempty"`
	Field      string          `json:"field,omitempty"`
	Type       string          `json:"type,omitempty"`
	Nullable   *bool           `json:"nullable,omitempty"`
	Path       []any           `json:"path,omitempty"`
	Value      json.RawMessage `json:"value,omitempty"`
	To         *uint32         `json:"to,omitempty"`
	PriorSize  *uint32         `json:"prior_size,omitempty"`
	Default    bool            `json:"default,omitempty"`
	Collection string          `json:"collection,omitempty"`
	Target     string          `json:"target,omitempty"`
}

// table is the pk of AddTable.
type table struct {
	Field    string `json:"field"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
}

// Parse reads a changeset: an array of instructions. An empty one is nil.
func Parse(data []byte) (changeset.Changeset, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, errorf("%v", err)
	}
	var c changeset.Changeset
	for i, item := range items {
		in, err := ParseInstruction(item)
		if err != nil {
			return nil, errorf("instruction %d: %w", i, err)
		}
		c = append(c, in)
	}
	return c, nil
}

// Format writes a changeset, an instruction a line.
func Format(c changeset.Changeset) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range c {
		item, err := FormatInstruction(c[i])
		if err != nil {
			return nil, errorf("instruction %d: %w", i, err)
		}
		if i > 0 {
			b.WriteString(",\n ")
		}
		b.Write(item)
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}

// ParseInstruction reads one instruction.
func ParseInstruction(data []byte) (changeset.Instruction, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	d.DisallowUnknownFields()
	var j instruction
	if err := d.Decode(&j); err != nil {
		return changeset.Instruction{}, errorf("%v", err)
	}
	op, ok := changeset.NamedOp(j.Op)
	if !ok {
		return changeset.Instruction{}, errorf("there is no instruction %q", j.Op)
	}
	in := changeset.Instruction{Op: op, Class: j.Class}
	var err error
	switch {
	case op == changeset.OpAddTable:
		in.Table, err = j.table()
	case op == changeset.OpAddColumn:
		in.Field = j.Field
		in.Column, err = j.column()
	case op == changeset.OpEraseColumn:
		in.Field = j.Field
	case op == changeset.OpEraseTable:
	default:
		err = j.object(&in)
	}
	return in, err
}

func (j *instruction) table() (*changeset.Table, error) {
	t := &changeset.Table{}
	if j.Kind != "" {
		var ok bool
		if t.Kind, ok = changeset.NamedTableKind(j.Kind); !ok {
			return nil, errorf("there is no kind of class %q", j.Kind)
		}
	}
	if t.Kind == changeset.Embedded {
		return t, nil
	}
	var pk table
	if err := json.Unmarshal(j.PK, &pk); err != nil {
		return nil, errorf("pk: %v", err)
	}
	typ, ok := changeset.NamedType(pk.Type)
	if !ok {
		return nil, errorf("there is no type %q", pk.Type)
	}
	t.KeyField, t.KeyType, t.KeyNullable = pk.Field, typ, pk.Nullable
	return t, nil
}

func (j *instruction) column() (*changeset.Column, error) {
	c := &changeset.Column{Nullable: j.Nullable != nil && *j.Nullable, Target: j.Target}
	var ok bool
	if j.Type != "mixed" {
		if c.Type, ok = changeset.NamedType(j.Type); !ok || c.Type <= 0 {
			return nil, errorf("there is no property type %q", j.Type)
		}
	}
	if j.Collection != "" {
		if c.Collection, ok = changeset.NamedCollection(j.Collection); !ok {
			return nil, errorf("there is no collection %q", j.Collection)
		}
	}
	return c, nil
}

// object reads the fields of instructions about objects.
func (j *instruction) object(in *changeset.Instruction) error {
	if j.PK == nil {
		return errorf("pk is missing")
	}
	var err error
	if in.Key, err = ParseKey(j.PK); err != nil || !in.Op.HasPath() {
		return err
	}
	if in.Field, in.Path, err = pathOf(j.Path); err != nil {
		return err
	}
	needsIndex := in.Op == changeset.OpArrayInsert || in.Op == changeset.OpArrayMove || in.Op == changeset.OpArrayErase
	if needsIndex && !in.Path.EndsInIndex() {
		return errorf("the path must end in an index")
	}
	if j.PriorSize != nil {
		in.Prior = *j.PriorSize
	} else if needsIndex || in.Op == changeset.OpUpdate && in.Path.EndsInIndex() {
		return errorf("prior_size is missing")
	}
	in.Default = j.Default
	switch in.Op {
	case changeset.OpArrayMove:
		if j.To == nil {
			return errorf("to is missing")
		}
		in.To = *j.To
		return nil
	case changeset.OpArrayErase:
		return nil
	case changeset.OpClear:
		var ok bool
		if in.Collection, ok = changeset.NamedCollection(j.Collection); !ok {
			return errorf("there is no collection %q", j.Collection)
		}
		return nil
	}
	if j.Value == nil {
		return errorf("value is missing")
	}
	v, err := ParseValue(j.Value)
	if err != nil {
		return err
	}
	if in.Op != changeset.OpAddInteger {
		in.Value = v
		return nil
	}
	if v.Type != changeset.Int {
		return errorf("an addend must be an integer")
	}
	in.Addend = v.Num
	return nil
}

func pathOf(elements []any) (field string, path changeset.Path, err error) {
	for i, e := range elements {
		switch e := e.(type) {
		case string:
			if i == 0 {
				field = e
				continue
			}
			path = append(path, changeset.PathElement{Name: e})
			continue
		case json.Number:
			n, err := integer(e)
			if err == nil && n >= 0 && n <= math.MaxUint32 && i > 0 {
				path = append(path, changeset.PathElement{Index: uint32(n), IsIndex: true})
				continue
			}
		}
		return "", nil, errorf("%v is no element %d of a path", e, i)
	}
	if len(elements) == 0 {
		return "", nil, errorf("path is missing")
	}
	return field, path, nil
}

// FormatInstruction writes one instruction.
func FormatInstruction(in changeset.Instruction) ([]byte, error) {
	j := instruction{Op: in.Op.String(), Class: in.Class}
	var err error
	switch in.Op {
	case changeset.OpEraseTable:
	case changeset.OpAddTable:
		err = j.setTable(in.Table)
	case changeset.OpAddColumn:
		j.Field = in.Field
		j.setColumn(in.Column)
	case changeset.OpEraseColumn:
		j.Field = in.Field
	default:
		err = j.setObject(&in)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range []string{in.Class, in.Field, j.Target} {
		if _, err := text(name); err != nil {
			return nil, err
		}
	}
	return encode(j)
}

func (j *instruction) setTable(t *changeset.Table) error {
	if t.Kind != changeset.TopLevel {
		j.Kind = t.Kind.String()
	}
	if t.Kind == changeset.Embedded {
		return nil
	}
	if _, err := text(t.KeyField); err != nil {
		return err
	}
	var err error
	j.PK, err = encode(table{t.KeyField, t.KeyType.String(), t.KeyNullable})
	return err
}

func (j *instruction) setColumn(c *changeset.Column) {
	j.Type = "mixed"
	if c.Type != changeset.Mixed {
		j.Type = c.Type.String()
	}
	j.Nullable = &c.Nullable
	j.Collection = c.Collection.String()
	j.Target = c.Target
}

func (j *instruction) setObject(in *changeset.Instruction) error {
	var err error
	if j.PK, err = FormatKey(in.Key); err != nil || !in.Op.HasPath() {
		return err
	}
	j.Path = []any{in.Field}
	for _, p := range in.Path {
		if p.IsIndex {
			j.Path = append(j.Path, p.Index)
			continue
		}
		name, err := text(p.Name)
		if err != nil {
			return err
		}
		j.Path = append(j.Path, name)
	}
	switch in.Op {
	case changeset.OpUpdate:
		if in.Path.EndsInIndex() {
			j.PriorSize = &in.Prior
		} else {
			j.Default = in.Default
		}
	case changeset.OpArrayInsert, changeset.OpArrayErase:
		j.PriorSize = &in.Prior
	case changeset.OpArrayMove:
		j.PriorSize, j.To = &in.Prior, &in.To
	case changeset.OpClear:
		j.Collection = in.Collection.String()
	}
	switch in.Op {
	case changeset.OpUpdate, changeset.OpArrayInsert, changeset.OpSetInsert, changeset.OpSetErase:
		j.Value, err = FormatValue(in.Value)
	case changeset.OpAddInteger:
		j.Value, err = encode(in.Addend)
	}
	return err
}

package translator

import (
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// genInstructions draws instructions that can be applied to the object one
// after the other, and applies them.
func genInstructions(t *rapid.T, s *schema.Schema, ref changeset.ObjectRef, o *object.Object, applied func(*changeset.Instruction)) changeset.Changeset {
	var out changeset.Changeset
	c := s.Class(ref.Class)
	for range rapid.IntRange(0, 8).Draw(t, "instructions") {
		in := genInstruction(t, s, c, o)
		in.Class, in.Key = ref.Class, ref.Key
		if err := o.Apply(s, c, &in); err != nil {
			t.Fatalf("the generated %+v: %v", in, err)
		}
		applied(&in)
		out = append(out, in)
	}
	return out
}

// genInstruction draws one: it goes from a property some way down into what the
// object holds, and changes what it finds there.
func genInstruction(t *rapid.T, s *schema.Schema, c *schema.Class, o *object.Object) changeset.Instruction {
	p := c.Properties[rapid.SampledFrom(c.PropertyNames()).Draw(t, "property")]
	in := changeset.Instruction{Field: p.Name}
	node := o.Get(p)
	whole := true
	for {
		if whole && p.Collection != changeset.Single {
			down := genInCollection(t, s, p, node, &in)
			if down == nil {
				return in
			}
			node, whole = down, false
			continue
		}
		deeper := rapid.Bool().Draw(t, "deeper")
		switch n := node.(type) {
		case *object.Object:
			if deeper {
				inner := s.Class(p.Target)
				p = inner.Properties[rapid.SampledFrom(inner.PropertyNames()).Draw(t, "property")]
				in.Path = append(in.Path, changeset.PathElement{Name: p.Name})
				node, whole = n.Get(p), true
				continue
			}
		case *object.List, *object.Dictionary:
			if deeper {
				p, whole = schema.MixedElement, false
				if down := genInCollection(t, s, p, node, &in); down != nil {
					node = down
					continue
				}
				return in
			}
			if rapid.Bool().Draw(t, "clear") {
				in.Op, in.Collection = changeset.OpClear, rapid.SampledFrom([]changeset.Collection{changeset.ListOf, changeset.DictionaryOf}).Draw(t, "kind")
				return in
			}
		case changeset.Value:
			if n.Type == changeset.Int && whole && !p.Int32 && deeper {
				in.Op, in.Addend = changeset.OpAddInteger, rapid.Int64Range(-3, 3).Draw(t, "addend")
				return in
			}
		}
		in.Op = changeset.OpUpdate
		in.Value = genPayload(t, s, p)
		return in
	}
}

// genInCollection ends the instruction at a collection's element or at the
// collection itself, or returns the element whose inside is to be changed.
func genInCollection(t *rapid.T, s *schema.Schema, p *schema.Property, node object.Node, in *changeset.Instruction) object.Node {
	if p.Collection != changeset.Single && rapid.IntRange(0, 9).Draw(t, "clear") == 0 {
		in.Op, in.Collection = changeset.OpClear, p.Collection
		return nil
	}
	switch n := node.(type) {
	case *object.Set:
		in.Op = rapid.SampledFrom([]changeset.Op{changeset.OpSetInsert, changeset.OpSetErase}).Draw(t, "op")
		if in.Value = genValue(t, s, p); len(n.Items) > 0 && rapid.Bool().Draw(t, "present") {
			in.Value = rapid.SampledFrom(n.Items).Draw(t, "element")
		}
		return nil
	case *object.Dictionary:
		key := genDictionaryKey(t)
		if len(n.Entries) > 0 && rapid.IntRange(0, 2).Draw(t, "present") > 0 {
			key = rapid.SampledFrom(slices.Sorted(maps.Keys(n.Entries))).Draw(t, "key")
		}
		in.Path = append(in.Path, changeset.PathElement{Name: key})
		if down, ok := n.Entries[key]; ok && rapid.Bool().Draw(t, "into") && isContainer(down) {
			return down
		}
		in.Op = changeset.OpUpdate
		if in.Value = genPayload(t, s, p); rapid.IntRange(0, 3).Draw(t, "erase") == 0 {
			in.Value = changeset.SpecialValue(changeset.Erased)
		}
		return nil
	case *object.List:
		return genInList(t, s, p, n, in)
	}
	panic(fmt.Sprintf("a collection of type %T", node))
}

func genInList(t *rapid.T, s *schema.Schema, p *schema.Property, n *object.List, in *changeset.Instruction) object.Node {
	in.Prior = uint32(len(n.Items))
	last := len(n.Items) - 1
	op := changeset.OpArrayInsert
	if last >= 0 {
		op = rapid.SampledFrom([]changeset.Op{
			changeset.OpArrayInsert, changeset.OpUpdate, changeset.OpUpdate, changeset.OpArrayErase, changeset.OpArrayMove,
		}).Draw(t, "op")
	}
	if op == changeset.OpArrayMove && last < 1 {
		op = changeset.OpArrayErase
	}
	if op == changeset.OpArrayInsert {
		last++
	}
	in.Op = op
	i := rapid.IntRange(0, last).Draw(t, "index")
	in.Path = append(in.Path, changeset.PathElement{Index: uint32(i), IsIndex: true})
	switch op {
	case changeset.OpArrayMove:
		in.To = uint32((i + rapid.IntRange(1, last).Draw(t, "distance")) % (last + 1))
	case changeset.OpArrayInsert:
		in.Value = genPayload(t, s, p)
	case changeset.OpUpdate:
		if isContainer(n.Items[i]) && rapid.IntRange(0, 3).Draw(t, "into") > 0 {
			return n.Items[i]
		}
		in.Value = genPayload(t, s, p)
	}
	return nil
}

func isContainer(node object.Node) bool {
	_, isValue := node.(changeset.Value)
	return !isValue
}

// genPayload draws what an Update or ArrayInsert can carry for the property.
func genPayload(t *rapid.T, s *schema.Schema, p *schema.Property) changeset.Value {
	if s.IsEmbedded(p) {
		if p.AcceptsNull() && rapid.IntRange(0, 3).Draw(t, "null") == 0 {
			return changeset.NullValue()
		}
		return changeset.SpecialValue(changeset.ObjectValue)
	}
	if p.Type == changeset.Mixed && p.Collection != changeset.SetOf {
		switch rapid.IntRange(0, 5).Draw(t, "collection") {
		case 0:
			return changeset.SpecialValue(changeset.List)
		case 1:
			return changeset.SpecialValue(changeset.Dictionary)
		}
	}
	return genValue(t, s, p)
}

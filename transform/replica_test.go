package transform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// replica is what a peer's database holds.
type replica struct {
	schema  *schema.Schema
	objects map[changeset.ObjectRef]*object.Object
}

func newReplica() *replica {
	return &replica{schema: &schema.Schema{}, objects: map[changeset.ObjectRef]*object.Object{}}
}

// clone copies the objects; the schema is shared.
func (r *replica) clone() *replica {
	out := &replica{r.schema, make(map[changeset.ObjectRef]*object.Object, len(r.objects))}
	for ref, o := range r.objects {
		out.objects[ref] = o.Clone()
	}
	return out
}

// apply applies a changeset (part 2 of the specification).
func (r *replica) apply(c changeset.Changeset) error {
	for i := range c {
		if err := r.applyOne(&c[i]); err != nil {
			return fmt.Errorf("apply %v: %w", c[i], err)
		}
	}
	return nil
}

func (r *replica) applyOne(in *changeset.Instruction) error {
	if in.Op.IsSchema() {
		_, err := r.schema.ApplyAsClient(in)
		r.forget(in)
		return err
	}
	class := r.schema.Class(in.Class)
	if class == nil {
		return fmt.Errorf("no class %s", in.Class)
	}
	if err := class.CheckKey(in.Key); err != nil {
		return err
	}
	ref := in.Object()
	switch {
	case in.Op == changeset.OpEraseObject:
		delete(r.objects, ref)
		return nil
	case in.Op == changeset.OpCreateObject:
		if r.objects[ref] == nil {
			r.objects[ref] = &object.Object{}
		}
		return nil
	case r.objects[ref] == nil:
		return fmt.Errorf("no object %v", ref)
	}
	return r.objects[ref].Apply(r.schema, class, in)
}

// forget removes what an erased class or property held.
func (r *replica) forget(in *changeset.Instruction) {
	for ref, o := range r.objects {
		switch {
		case ref.Class != in.Class:
		case in.Op == changeset.OpEraseTable:
			delete(r.objects, ref)
		case in.Op == changeset.OpEraseColumn:
			delete(o.Fields, in.Field)
		}
	}
}

// differs returns the objects that two replicas of one schema do not agree on.
func (r *replica) differs(other *replica) []changeset.ObjectRef {
	var out []changeset.ObjectRef
	for ref, o := range r.objects {
		if !object.Equal(r.schema, r.schema.Class(ref.Class), o, other.objects[ref]) {
			out = append(out, ref)
		}
	}
	for ref := range other.objects {
		if r.objects[ref] == nil {
			out = append(out, ref)
		}
	}
	return out
}

// dump returns the state in the notation of the scenarios: class → objects,
// sorted by the JSON text of their keys.
func (r *replica) dump() map[string]any {
	out := map[string]any{}
	for name, class := range r.schema.Classes {
		if class.Kind == changeset.Embedded {
			continue
		}
		rows := []map[string]any{}
		for ref, o := range r.objects {
			if ref.Class == name {
				row := r.dumpObject(class, o)
				row["_pk"] = keyJSON(ref.Key)
				rows = append(rows, row)
			}
		}
		slices.SortFunc(rows, func(a, b map[string]any) int { return compareJSON(a["_pk"], b["_pk"]) })
		out[name] = rows
	}
	return out
}

func (r *replica) dumpObject(class *schema.Class, o *object.Object) map[string]any {
	out := map[string]any{}
	for name, p := range class.Properties {
		out[name] = r.dumpNode(p, o.Get(p))
	}
	return out
}

func (r *replica) dumpNode(p *schema.Property, node object.Node) any {
	switch node := node.(type) {
	case *object.Object:
		return map[string]any{"$obj": r.dumpObject(r.schema.Class(p.Target), node)}
	case *object.List:
		out := []any{}
		for _, item := range node.Items {
			out = append(out, r.dumpNode(p, item))
		}
		return out
	case *object.Dictionary:
		out := map[string]any{}
		for key, entry := range node.Entries {
			out[key] = r.dumpNode(p, entry)
		}
		return map[string]any{"$dict": out}
	case *object.Set:
		out := []any{}
		for _, v := range node.Items {
			out = append(out, r.dumpNode(p, v))
		}
		slices.SortFunc(out, compareJSON)
		return map[string]any{"$set": out}
	case changeset.Value:
		if node.Type == changeset.Link && r.objects[node.Target()] == nil {
			return map[string]any{"$dangling": []any{node.Str, keyJSON(node.Key)}}
		}
		return valueJSON(node)
	case nil:
		return nil
	}
	panic(fmt.Sprintf("a node of type %T", node))
}

func compareJSON(a, b any) int {
	x, y := jsonText(a), jsonText(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func keyJSON(k changeset.Key) any { return parsed(notation.FormatKey(k)) }

func valueJSON(v changeset.Value) any { return parsed(notation.FormatValue(v)) }

// parsed returns a JSON text as values, so that texts of equal content are
// equal.
func parsed(text []byte, err error) any {
	if err != nil {
		panic(err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

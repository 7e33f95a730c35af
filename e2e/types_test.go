package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// TestManualOfTypes compares the tables of docs/types.md with what is tested here.
func TestManualOfTypes(t *testing.T) {
	manual, err := os.ReadFile("../docs/types.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	table, header := "", true
	for _, line := range strings.Split(string(manual), "\n") {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			table, header = strings.TrimSpace(heading), true
		}
		if !strings.HasPrefix(line, "| ") || table == "" {
			continue
		}
		if first := strings.TrimSpace(strings.Split(line, "|")[1]); strings.HasPrefix(first, "---") {
			header = false
		} else if !header {
			got[table] = append(got[table], first)
		}
	}
	for _, rows := range got {
		slices.Sort(rows)
	}
	if want := testedRows(); !reflect.DeepEqual(got, want) {
		t.Errorf("docs/types.md has the rows\n%q\ntested are\n%q", got, want)
	}
}

// TestEveryType takes every row of docs/types.md through a real client, the
// bridge and a real mongod in both directions: in properties, optional ones,
// lists, sets and dictionaries.
func TestEveryType(t *testing.T) {
	b := startBridge(t)
	schema := typesSchema()
	a := subscribed(t, b, "A", schema)
	var ops []realmclient.Op
	for _, key := range keyKinds {
		for _, k := range key.both {
			ops = append(ops, realmclient.Create(key.class, k.device, nil))
		}
	}
	a.write(ops...)
	a.upload()
	other := subscribed(t, b, "B", schema)
	for _, k := range typeKinds(b.database) {
		t.Run(k.class, func(t *testing.T) {
			k := typeTest{t, b, a, other, k.class, propertiesOf(k)}
			k.devicesWrite()
			k.othersWrite()
			k.othersWriteWhatDoesNotFit()
		})
	}
	a.untroubled()
	other.untroubled()
}

// typeTest tests the class of one kind.
type typeTest struct {
	*testing.T
	b          *bridge
	a, other   *device
	class      string
	properties []typeProperty
}

// turn is the nth of a property's values of both directions and of one.
func turn(n int, both, one []pair) pair {
	all := slices.Concat(both, one)
	return all[n%len(all)]
}

// turns is the largest number of them.
func (k *typeTest) turns(of func(typeProperty) []pair) int {
	most := 0
	for _, p := range k.properties {
		most = max(most, len(p.both)+len(of(p)))
	}
	return most
}

func written(p typeProperty) []pair { return p.written }
func read(p typeProperty) []pair    { return p.read }

// devicesWrite creates objects on a device, one for each value, and gives each
// the next value. The documents are compared to the byte, the other device's
// objects are the same to the nanosecond.
func (k *typeTest) devicesWrite() {
	k.Helper()
	n := k.turns(written)
	var ops []realmclient.Op
	for i := range n {
		set := map[string]any{}
		for _, p := range k.properties {
			set[p.name] = turn(i, p.both, p.written).device
		}
		ops = append(ops, realmclient.Create(k.class, realmclient.Int(int64(i)), set))
	}
	k.a.write(ops...)
	k.a.upload()
	for i := range n {
		k.hasDocument(i, func(p typeProperty) any { return turn(i, p.both, p.written).stored })
	}
	k.agree()

	ops = nil
	for i := range n {
		for _, p := range k.properties {
			if p.property.Type == "mixed" && p.property.Collection == "" {
				// A collection in the place of one of its kind would keep its elements.
				ops = append(ops, realmclient.Update(k.class, realmclient.Int(int64(i)), p.name, nil))
			}
			ops = append(ops, realmclient.Update(k.class, realmclient.Int(int64(i)), p.name, turn(i+1, p.both, p.written).device))
		}
	}
	k.a.write(ops...)
	k.a.upload()
	for i := range n {
		k.hasDocument(i, func(p typeProperty) any {
			before, after := turn(i, p.both, p.written).stored, turn(i+1, p.both, p.written).stored
			if after == (absent{}) && before != (absent{}) {
				return emptied(p)
			}
			return after
		})
	}
	k.agree()
}

// emptied is what stays of a field that a device has set to null, or emptied.
func emptied(p typeProperty) any {
	switch p.property.Collection {
	case "list", "set":
		return bson.A{}
	case "dictionary":
		return bson.D{}
	}
	return nil
}

// othersWrite inserts documents, one for each value, and gives each the next.
func (k *typeTest) othersWrite() {
	k.Helper()
	const first = 1000
	n := k.turns(read)
	var docs []any
	for i := range n {
		doc := bson.D{{Key: "_id", Value: first + i}}
		for _, p := range k.properties {
			if v := turn(i, p.both, p.read).stored; v != (absent{}) {
				doc = append(doc, bson.E{Key: p.name, Value: v})
			}
		}
		docs = append(docs, doc)
	}
	c := k.b.collection(k.class)
	if _, err := c.InsertMany(within(k), docs); err != nil {
		k.Fatal(err)
	}
	k.see(first, n, func(i int, p typeProperty) any { return turn(i, p.both, p.read).device })

	var updates []mongo.WriteModel
	for i := range n {
		set, unset := bson.D{{Key: "somebodyElses", Value: i}}, bson.D{{Key: "nothing", Value: ""}}
		for _, p := range k.properties {
			if v := turn(i+1, p.both, p.read).stored; v != (absent{}) {
				set = append(set, bson.E{Key: p.name, Value: v})
			} else {
				unset = append(unset, bson.E{Key: p.name, Value: ""})
			}
		}
		updates = append(updates, mongo.NewUpdateOneModel().SetFilter(bson.D{{Key: "_id", Value: first + i}}).
			SetUpdate(bson.D{{Key: "$set", Value: set}, {Key: "$unset", Value: unset}}))
	}
	if _, err := c.BulkWrite(within(k), updates); err != nil {
		k.Fatal(err)
	}
	k.see(first, n, func(i int, p typeProperty) any { return turn(i+1, p.both, p.read).device })
}

// othersWriteWhatDoesNotFit gives documents values that make them unsynced,
// which devices don't see, and mends them.
func (k *typeTest) othersWriteWhatDoesNotFit() {
	k.Helper()
	const first = 2000
	type bad struct {
		property string
		value    any
	}
	var values []bad
	for _, p := range k.properties {
		for _, v := range p.unread {
			values = append(values, bad{p.name, v})
		}
		if p.property.Collection != "" {
			values = append(values, bad{p.name, 5})
		}
	}
	var docs []any
	for i, v := range values {
		doc := bson.D{{Key: "_id", Value: int64(first + i)}}
		for _, p := range k.properties {
			if p.name == v.property {
				doc = append(doc, bson.E{Key: p.name, Value: v.value})
			} else if good := turn(0, p.both, p.read).stored; good != (absent{}) {
				doc = append(doc, bson.E{Key: p.name, Value: good})
			}
		}
		docs = append(docs, doc)
	}
	if len(docs) == 0 {
		return
	}
	c := k.b.collection(k.class)
	if _, err := c.InsertMany(within(k), docs); err != nil {
		k.Fatal(err)
	}
	eventually(k, func(ctx context.Context) error {
		listed, err := k.b.unsynced(ctx, k.class)
		if err != nil {
			return err
		}
		paths := map[int64]string{}
		for _, d := range listed {
			id, _ := d.Lookup("_id", "key").AsInt64OK()
			paths[id], _ = d.Lookup("path").StringValueOK()
		}
		for i, v := range values {
			if path := paths[int64(first+i)]; path != v.property && !strings.HasPrefix(path, v.property+".") {
				return fmt.Errorf("%s of %T %v is listed as %q, of %v", v.property, v.value, v.value, path, paths)
			}
		}
		return nil
	})
	objects, err := k.objects(within(k), k.other)
	if err != nil {
		k.Fatal(err)
	}
	for i, v := range values {
		if _, has := objects[int64(first+i)]; has {
			k.Errorf("%s of %T %v has an object", v.property, v.value, v.value)
		}
	}
	for i, v := range values {
		for _, p := range k.properties {
			if p.name != v.property {
				continue
			}
			update := bson.D{{Key: "$unset", Value: bson.D{{Key: p.name, Value: ""}}}}
			if good := turn(0, p.both, p.read).stored; good != (absent{}) {
				update = bson.D{{Key: "$set", Value: bson.D{{Key: p.name, Value: good}}}}
			}
			if _, err := c.UpdateByID(within(k), first+i, update); err != nil {
				k.Fatal(err)
			}
		}
	}
	k.see(first, len(values), func(_ int, p typeProperty) any { return turn(0, p.both, p.read).device })
}

// unsynced lists the documents of a class that can't be synced.
func (b *bridge) unsynced(ctx context.Context, class string) ([]bson.Raw, error) {
	cur, err := mongotest.Client(b.t).Database("__bridge_"+b.app).Collection("unsynced").Find(ctx, bson.D{{Key: "_id.class", Value: class}})
	if err != nil {
		return nil, err
	}
	var docs []bson.Raw
	err = cur.All(ctx, &docs)
	return docs, err
}

// listsUnsynced waits until n documents of a class can't be synced, the last ones
// for a field.
func (b *bridge) listsUnsynced(t *testing.T, class string, n int, path string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		docs, err := b.unsynced(ctx, class)
		if err == nil && len(docs) != n {
			err = fmt.Errorf("%d documents of %s are listed, want %d", len(docs), class, n)
		}
		for _, d := range docs {
			if got, _ := d.Lookup("path").StringValueOK(); got != path {
				return fmt.Errorf("a document of %s is listed for %q, want %q", class, got, path)
			}
		}
		return err
	})
}

// hasDocument compares a document, whose fields are to be so.
func (k *typeTest) hasDocument(id int, stored func(typeProperty) any) {
	k.Helper()
	doc := document(k, k.b.collection(k.class), int64(id))
	for _, p := range k.properties {
		got, err := doc.LookupErr(p.name)
		want := stored(p)
		switch {
		case want == (absent{}):
			if err == nil {
				k.Errorf("document %d: %s is %v, want it absent", id, p.name, got)
			}
		case err != nil:
			k.Errorf("document %d: %s is absent, want %v", id, p.name, want)
		default:
			if err := sameStored(got, rawValue(k, want), p.property.Collection == "set"); err != nil {
				k.Errorf("document %d: %s: %v", id, p.name, err)
			}
		}
	}
}

func rawValue(t testing.TB, v any) bson.RawValue {
	t.Helper()
	if v == nil {
		return bson.RawValue{Type: bson.TypeNull}
	}
	typ, data, err := bson.MarshalValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return bson.RawValue{Type: typ, Value: data}
}

// sameStored compares values of documents, in type and bytes. The fields of
// documents are in any order but for references, and so are elements of sets. A
// NaN is as good as another.
func sameStored(got, want bson.RawValue, set bool) error {
	differ := fmt.Errorf("got %s %s, want %s %s", got.Type, got, want.Type, want)
	if got.Type != want.Type {
		return differ
	}
	switch want.Type {
	case bson.TypeDouble:
		if math.IsNaN(want.Double()) && math.IsNaN(got.Double()) {
			return nil
		}
	case bson.TypeArray:
		g, err := got.Array().Values()
		w, _ := want.Array().Values()
		if err != nil || len(g) != len(w) {
			return differ
		}
		if set {
			slices.SortFunc(g, compareStored)
			slices.SortFunc(w, compareStored)
		}
		for i := range w {
			if sameStored(g[i], w[i], false) != nil {
				return differ
			}
		}
		return nil
	case bson.TypeEmbeddedDocument:
		g, err := got.Document().Elements()
		w, _ := want.Document().Elements()
		if err != nil || len(g) != len(w) {
			return differ
		}
		if len(w) > 0 && w[0].Key() == "$ref" {
			break
		}
		for _, e := range w {
			if v, err := got.Document().LookupErr(e.Key()); err != nil || sameStored(v, e.Value(), false) != nil {
				return differ
			}
		}
		return nil
	}
	if !bytes.Equal(got.Value, want.Value) {
		return differ
	}
	return nil
}

// compareStored orders what sameStored tells apart.
func compareStored(a, b bson.RawValue) int {
	if a.Type == bson.TypeDouble && b.Type == bson.TypeDouble {
		return cmp.Or(cmp.Compare(a.Double(), b.Double()), bytes.Compare(a.Value[7:], b.Value[7:]))
	}
	return cmp.Or(cmp.Compare(a.Type, b.Type), bytes.Compare(a.Value, b.Value))
}

// objects are the objects of the class that a device has, by their keys.
func (k *typeTest) objects(ctx context.Context, d *device) (map[int64]realmclient.Object, error) {
	dump, err := d.realm.Dump(ctx, k.class)
	if err != nil {
		return nil, err
	}
	out := map[int64]realmclient.Object{}
	for _, o := range dump[k.class] {
		key, _ := o["_id"].(map[string]any)["$int"].(string)
		id, err := json.Number(key).Int64()
		if err != nil {
			return nil, err
		}
		out[id] = sorted(map[string]any(o)).(map[string]any)
	}
	return out, nil
}

// sorted is a value with the elements of its sets in some fixed order.
func sorted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, x := range v {
			out[name] = sorted(x)
		}
		if set, ok := out["$set"].([]any); ok && len(out) == 1 {
			slices.SortFunc(set, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = sorted(v[i])
		}
		return out
	}
	return v
}

// agree waits until both devices have the same objects.
func (k *typeTest) agree() {
	k.Helper()
	eventually(k, func(ctx context.Context) error {
		a, err := k.objects(ctx, k.a)
		if err != nil {
			return err
		}
		other, err := k.objects(ctx, k.other)
		if err == nil && !reflect.DeepEqual(a, other) {
			err = fmt.Errorf("A has\n%v\nB has\n%v", a, other)
		}
		return err
	})
}

// see waits until both devices have n objects from a key on with those values.
func (k *typeTest) see(first, n int, value func(i int, p typeProperty) any) {
	k.Helper()
	for _, d := range []*device{k.a, k.other} {
		eventually(k, func(ctx context.Context) error {
			objects, err := k.objects(ctx, d)
			if err != nil {
				return err
			}
			for i := range n {
				o, has := objects[int64(first+i)]
				if !has {
					return fmt.Errorf("%s lacks object %d", d.name, first+i)
				}
				for _, p := range k.properties {
					if want := sorted(value(i, p)); !reflect.DeepEqual(o[p.name], want) {
						return fmt.Errorf("%s, object %d: %s is %v, want %v", d.name, first+i, p.name, o[p.name], want)
					}
				}
			}
			return nil
		})
	}
}

package query_test

import (
	"context"
	"math"
	"strconv"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/internal/mongotest"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/query"
	"github.com/isthmus-sync/isthmus/schema"
)

func TestMain(m *testing.M) { mongotest.Main(m) }

// bsonNode returns what a document holds for a node.
func bsonNode(node object.Node) any {
	switch node := node.(type) {
	case changeset.Value:
		return bsonValue(node)
	case *object.List:
		out := bson.A{}
		for _, item := range node.Items {
			out = append(out, bsonNode(item))
		}
		return out
	case *object.Set:
		out := bson.A{}
		for _, v := range node.Items {
			out = append(out, bsonValue(v))
		}
		return out
	case *object.Dictionary:
		out := bson.M{}
		for name, entry := range node.Entries {
			out[name] = bsonNode(entry)
		}
		return out
	case *object.Object:
		out := bson.M{}
		for name, field := range node.Fields {
			out[name] = bsonNode(field)
		}
		return out
	}
	return nil
}

func bsonValue(v changeset.Value) any {
	switch v.Type {
	case changeset.Int:
		return v.Num
	case changeset.Bool:
		return v.Bool()
	case changeset.String:
		return v.Str
	case changeset.Binary:
		return bson.Binary{Data: []byte(v.Str)}
	case changeset.UUID:
		return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte(v.Str)}
	case changeset.ObjectID:
		return bson.ObjectID([]byte(v.Str))
	case changeset.Timestamp:
		return bson.DateTime(v.Num*1000 + int64(v.Nanos/1_000_000))
	case changeset.Float:
		return float64(v.Float32())
	case changeset.Double:
		return v.Float64()
	case changeset.Decimal:
		d, err := bson.ParseDecimal128(v.DecimalText())
		if err != nil {
			panic(err)
		}
		return d
	}
	return nil
}

// bsonFilter turns a filter into the driver's form.
func bsonFilter(v any) any {
	switch v := v.(type) {
	case query.Doc:
		out := bson.D{}
		for _, e := range v {
			out = append(out, bson.E{Key: e.Name, Value: bsonFilter(e.Value)})
		}
		return out
	case []any:
		out := bson.A{}
		for _, item := range v {
			out = append(out, bsonFilter(item))
		}
		return out
	case changeset.Value:
		return bsonValue(v)
	}
	return v
}

// mongoMask asks MongoDB which objects a filter finds.
func mongoMask(t *testing.T, c *mongo.Collection, filter query.Doc) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cur, err := c.Find(ctx, bsonFilter(filter), options.Find().SetProjection(bson.D{{Key: "_id", Value: 1}}))
	if err != nil {
		t.Fatalf("find %v: %v", bsonFilter(filter), err)
	}
	var found []struct {
		ID int64 `bson:"_id"`
	}
	if err := cur.All(ctx, &found); err != nil {
		t.Fatalf("find %v: %v", bsonFilter(filter), err)
	}
	var mask uint64
	for _, f := range found {
		mask |= 1 << f.ID
	}
	return mask
}

// insertStates stores objects as object states have their queryable fields.
// sparse leaves out what has its initial value.
func insertStates(t *testing.T, c *mongo.Collection, class *schema.Class, objects []*object.Object, sparse bool) {
	t.Helper()
	var docs []any
	for k, o := range objects {
		q := bson.M{}
		for name, node := range o.Fields {
			if v, ok := node.(changeset.Value); ok && sparse && v == (&object.Object{}).Get(class.Properties[name]) {
				continue
			}
			q[name] = bsonNode(node)
		}
		docs = append(docs, bson.M{"_id": int64(k), "q": q})
	}
	if _, err := c.InsertMany(context.Background(), docs); err != nil {
		t.Fatal(err)
	}
}

// A real MongoDB finds, with each query's filter and that of its negation, all
// the objects that satisfy it.
func TestFilterInMongoDB(t *testing.T) {
	for _, set := range []struct {
		file   string
		schema *schema.Schema
	}{{"core-queries.jsonl.gz", coreClass()}, {"core-geo.jsonl.gz", geoClass()}} {
		objects, queries := coreVectors(t, set.file)
		db := mongotest.Database(t)
		full, sparse := db.Collection("full"), db.Collection("sparse")
		insertStates(t, full, set.schema.Class("T"), objects, false)
		insertStates(t, sparse, set.schema.Class("T"), objects, true)
		everything := uint64(1)<<len(objects) - 1
		if len(objects) == 64 {
			everything = math.MaxUint64
		}
		selective, all := 0, 0
		for i, q := range queries {
			want, err := strconv.ParseUint(q.Mask, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			text := q.Text
			if i%2 == 1 {
				text, want = "!("+text+")", everything&^want
			}
			p, err := bind(set.schema, "T", text)
			if err != nil {
				t.Fatal(err)
			}
			filter := p.Filter("q.")
			all++
			if len(filter) == 0 {
				continue
			}
			selective++
			collection := full
			if i%4 >= 2 {
				collection = sparse
			}
			if missed := want &^ mongoMask(t, collection, filter); missed != 0 {
				k := trailingZeros(missed)
				t.Errorf("%s: %v misses %s", text, bsonFilter(filter), values(p, objects[k]))
			}
		}
		t.Logf("%s: %d of %d filters are selective", set.file, selective, all)
		if selective < all/3 {
			t.Errorf("only %d of %d filters are selective", selective, all)
		}
	}
}

package history

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/query"
)

// queryablePrefix leads to the queryable fields in an object state.
const queryablePrefix = "q."

// filter returns a filter for the object states of a class, that finds those
// which satisfy one of the predicates; nil predicates are all, and so is an
// empty filter.
func (sn *Snapshot) filter(ctx context.Context, class string, where []*query.Predicate) (bson.D, error) {
	if where == nil {
		return bson.D{}, nil
	}
	alternatives := bson.A{}
	since := 0 // generation whose states hold all that the predicates look at
	for _, p := range where {
		generation, ok := sn.queryable.since(class, p.Fields())
		filter, valid := filterDoc(p.Filter(queryablePrefix))
		if !ok || !valid || len(filter) == 0 {
			return bson.D{}, nil
		}
		since = max(since, generation)
		alternatives = append(alternatives, filter)
	}
	if since > 0 {
		alternatives = append(alternatives, bson.D{{Key: "w", Value: true}})
		// As of the snapshot: then, states of earlier generations may be left.
		reached, err := sn.backfilled(ctx, class)
		if err != nil {
			return nil, err
		}
		if reached < since {
			alternatives = append(alternatives, older(since))
		}
	}
	if len(alternatives) == 0 {
		return bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{}}}}}, nil
	}
	if len(alternatives) == 1 {
		return alternatives[0].(bson.D), nil
	}
	return bson.D{{Key: "$or", Value: alternatives}}, nil
}

// backfilled returns the generation that all states of a class have reached.
func (sn *Snapshot) backfilled(ctx context.Context, class string) (int, error) {
	d, err := readBackfill(sn.Context(ctx), sn.db.Collection(sn.file.store.backfills.Name()), scanID{sn.file.name, class})
	return d.Generation, err
}

// filterDoc returns a filter in the driver's form, false if it has a value that
// no document can hold.
func filterDoc(d query.Doc) (bson.D, bool) {
	out := make(bson.D, len(d))
	for i, e := range d {
		v, ok := filterValue(e.Value)
		if !ok {
			return nil, false
		}
		out[i] = bson.E{Key: e.Name, Value: v}
	}
	return out, true
}

func filterValue(v any) (any, bool) {
	switch v := v.(type) {
	case query.Doc:
		return filterDoc(v)
	case []any:
		out := make(bson.A, len(v))
		for i, item := range v {
			var ok bool
			if out[i], ok = filterValue(item); !ok {
				return nil, false
			}
		}
		return out, true
	case changeset.Value:
		return constantValue(v)
	}
	return v, true
}

// constantValue returns what a document holds for a value.
func constantValue(v changeset.Value) (any, bool) {
	switch v.Type {
	case changeset.Null:
		return nil, true
	case changeset.Int:
		return v.Num, true
	case changeset.Bool:
		return v.Bool(), true
	case changeset.String:
		return v.Str, true
	case changeset.Binary:
		return bson.Binary{Data: []byte(v.Str)}, true
	case changeset.UUID:
		return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte(v.Str)}, true
	case changeset.ObjectID:
		return bson.ObjectID([]byte(v.Str)), len(v.Str) == 12
	case changeset.Timestamp:
		const limit = 1 << 53 // s: BSON's milliseconds reach a little further
		return bson.DateTime(v.Num*1000 + int64(v.Nanos/1_000_000)), -limit < v.Num && v.Num < limit
	case changeset.Float:
		return float64(v.Float32()), true
	case changeset.Double:
		return v.Float64(), true
	case changeset.Decimal:
		d, err := bson.ParseDecimal128(v.DecimalText())
		return d, err == nil
	}
	return nil, false
}

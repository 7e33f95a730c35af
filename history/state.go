package history

import (
	"context"
	"encoding/binary"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// state is an object state: an object as of the head. A nil object means that
// there is none. It is immutable.
type state struct {
	version     uint64 // history version that last changed it
	fingerprint []byte
	object      *object.Object
	size        int // in bytes, encoded
}

var noState = &state{}

// A document of a state collection is {_id: key, v: version, h: fingerprint, g:
// generation, q: {field: value…}, w: wide, o: the object}, the object as the
// encoded changeset that makes it, and the values of those fields that were
// queryable in the generation, as documents have them. A state is wide when it
// has no such values, since they would be too large or no document can have them.
func stateCollection(class string) string { return "state_" + class }

func (s *Store) states(class string) *mongo.Collection {
	return s.db.Collection(stateCollection(class))
}

// KeyValue is a primary key as the _id of a document or an object state.
func KeyValue(k changeset.Key) bson.RawValue {
	switch k.Type {
	case changeset.Int:
		return bson.RawValue{Type: bson.TypeInt64, Value: binary.LittleEndian.AppendUint64(nil, uint64(k.Int))}
	case changeset.String:
		return bson.RawValue{Type: bson.TypeString, Value: bsoncore.AppendString(nil, k.Str)}
	case changeset.ObjectID:
		return bson.RawValue{Type: bson.TypeObjectID, Value: []byte(k.Str)}
	case changeset.UUID:
		return bson.RawValue{Type: bson.TypeBinary, Value: bsoncore.AppendBinary(nil, bson.TypeBinaryUUID, []byte(k.Str))}
	}
	return bson.RawValue{Type: bson.TypeNull}
}

// keyOf is the inverse of KeyValue.
func keyOf(v bson.RawValue) (changeset.Key, error) {
	switch v.Type {
	case bson.TypeInt64:
		if i, ok := v.Int64OK(); ok {
			return changeset.IntKey(i), nil
		}
	case bson.TypeString:
		if s, ok := v.StringValueOK(); ok {
			return changeset.StringKey(s), nil
		}
	case bson.TypeObjectID:
		if id, ok := v.ObjectIDOK(); ok {
			return changeset.ObjectIDKey(id), nil
		}
	case bson.TypeBinary:
		if sub, data, ok := v.BinaryOK(); ok && sub == bson.TypeBinaryUUID && len(data) == 16 {
			return changeset.UUIDKey([16]byte(data)), nil
		}
	case bson.TypeNull:
		return changeset.NullKey, nil
	}
	return changeset.Key{}, fmt.Errorf("object state with an _id of type %s", v.Type)
}

// readStates reads the object states of one class that there are for keys. There are
// none for stray ones.
func (f *File) readStates(ctx context.Context, s *schema.Schema, class string, keys []changeset.Key, found func(changeset.ObjectRef, *state)) error {
	ids := make(bson.A, 0, len(keys))
	for _, k := range keys {
		if k.Type != strayType {
			ids = append(ids, KeyValue(k))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	cur, err := f.store.states(class).Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}})
	if err != nil {
		return fmt.Errorf("read states of %s: %w", class, err)
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		key, st, err := decodeState(s, class, cur.Current)
		if err != nil {
			return err
		}
		found(changeset.ObjectRef{Class: class, Key: key}, st)
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read states of %s: %w", class, err)
	}
	return nil
}

func decodeState(s *schema.Schema, class string, raw bson.Raw) (changeset.Key, *state, error) {
	key, err := keyOf(raw.Lookup("_id"))
	if err != nil {
		return key, nil, fmt.Errorf("read state of %s: %w", class, err)
	}
	version, _ := raw.Lookup("v").AsInt64OK()
	_, fingerprint, _ := raw.Lookup("h").BinaryOK()
	_, data, _ := raw.Lookup("o").BinaryOK()
	o, err := decodeObject(s, changeset.ObjectRef{Class: class, Key: key}, data)
	if err != nil {
		return key, nil, fmt.Errorf("read state of %s: %w", class, err)
	}
	if o == nil {
		return key, nil, fmt.Errorf("read state of %s %v: no object in it", class, key)
	}
	return key, &state{uint64(version), append([]byte(nil), fingerprint...), o, len(data)}, nil
}

// maxQueryable is how large in bytes the values of an object's queryable fields
// may be together: each is stored twice, and what they hold is indexed.
const maxQueryable = 16 << 10

// queryableElems are the elements of an object state by which queries find it.
func (f *File) queryableElems(s *schema.Schema, q queryable, class string, o *object.Object) bson.D {
	elems := bson.D{{Key: "g", Value: int32(q.generation(class))}}
	switch values, wide := f.queryableValues(s, q, class, o); {
	case wide:
		elems = append(elems, bson.E{Key: "w", Value: true})
	case values != nil:
		elems = append(elems, bson.E{Key: "q", Value: values})
	}
	return elems
}

// queryableValues are the values of an object's queryable fields, nil if its class
// has none or the state is wide.
func (f *File) queryableValues(s *schema.Schema, q queryable, class string, o *object.Object) (values bson.Raw, wide bool) {
	if q.generation(class) == 0 {
		return nil, false
	}
	values = f.store.opts.Mirror.Queryable(s, s.Class(class), q[class], o)
	if values == nil || len(values) > maxQueryable {
		return nil, true
	}
	return values, false
}

// encode encodes an object as it is now, in memory that is used again.
func (w *work) encode(o *objectWork) []byte {
	made := o.made
	if made == nil {
		w.made = object.AppendInstructions(w.made[:0], w.schema, o.ref, o.now)
		made = w.made
	}
	w.encoded = changeset.Append(w.encoded[:0], made)
	return w.encoded
}

// addState adds the write that makes an object's state be st, whose size it finds.
func (w *work) addState(to *stateWrites, o *objectWork, st *state) {
	id := KeyValue(o.ref.Key)
	filter := bson.D{{Key: "_id", Value: id}}
	switch {
	case st.object == nil:
		to.others = append(to.others, mongo.NewDeleteOneModel().SetFilter(filter))
	case o.state.object == nil:
		// Half the work of an upsert. The head keeps other nodes from inserting it.
		to.inserts = append(to.inserts, w.stateDocument(id, o, st))
	default:
		to.others = append(to.others, mongo.NewReplaceOneModel().SetFilter(filter).SetReplacement(w.stateDocument(id, o, st)))
	}
}

// stateDocument is the document of a state, whose size it finds.
func (w *work) stateDocument(id bson.RawValue, o *objectWork, st *state) bson.Raw {
	class := o.ref.Class
	data := w.encode(o)
	st.size = len(data)
	values, wide := w.f.queryableValues(w.schema, w.queryable, class, st.object)
	at, dst := bsoncore.AppendDocumentStart(make([]byte, 0, 64+len(id.Value)+len(st.fingerprint)+len(values)+len(data)))
	dst = bsoncore.AppendValueElement(dst, "_id", bsoncore.Value{Type: bsoncore.Type(id.Type), Data: id.Value})
	dst = bsoncore.AppendInt64Element(dst, "v", int64(st.version))
	dst = bsoncore.AppendBinaryElement(dst, "h", bson.TypeBinaryGeneric, st.fingerprint)
	dst = bsoncore.AppendInt32Element(dst, "g", int32(w.queryable.generation(class)))
	if wide {
		dst = bsoncore.AppendBooleanElement(dst, "w", true)
	} else if values != nil {
		dst = bsoncore.AppendDocumentElement(dst, "q", bsoncore.Document(values))
	}
	dst = bsoncore.AppendBinaryElement(dst, "o", bson.TypeBinaryGeneric, data)
	return endDocument(dst, at)
}

// stateCache holds object states as of the head this node knows, absences
// included. It belongs to whoever holds File.advance.
type stateCache struct {
	limit int // number of states
	bytes int // of those that are there
	m     map[changeset.ObjectRef]*state
}

// maxStateCache bounds the object states of a file that are kept in memory, in
// bytes as they are encoded; in memory they take several times that.
const maxStateCache = 64 << 20

func newStateCache(limit int) *stateCache {
	return &stateCache{limit: limit, m: map[changeset.ObjectRef]*state{}}
}

func (c *stateCache) get(ref changeset.ObjectRef) (*state, bool) {
	st, ok := c.m[ref]
	return st, ok
}

func (c *stateCache) put(ref changeset.ObjectRef, st *state) {
	c.forget(ref)
	if len(c.m) >= c.limit || c.bytes+st.size > maxStateCache {
		// Any victims will do: map order spreads them.
		n, room := max(1, c.limit/16), maxStateCache-maxStateCache/16-st.size
		for k := range c.m {
			if n <= 0 && c.bytes <= room {
				break
			}
			c.forget(k)
			n--
		}
	}
	c.m[ref] = st
	c.bytes += st.size
}

func (c *stateCache) forget(ref changeset.ObjectRef) {
	if st, ok := c.m[ref]; ok {
		c.bytes -= st.size
		delete(c.m, ref)
	}
}

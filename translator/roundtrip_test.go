package translator

import (
	"bytes"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

func mustMap(t testing.TB, s *schema.Schema, c *schema.Class, doc bson.Raw) *object.Object {
	t.Helper()
	o, err := MapDocument(s, c, doc)
	if err != nil {
		t.Fatalf("map %s: %v", doc, err)
	}
	return o
}

// TestRealmToBSONToRealm: what is written from an object reads back as the same
// object at BSON precision, with the same fingerprint; written again it gives
// the same bytes.
func TestRealmToBSONToRealm(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := genSchema(r)
		c := s.Class("T")
		o := genObject(r, s, c)
		key := genKey(r, c.KeyType)
		doc, err := NewDocument(s, c, key, o)
		if err != nil {
			r.Fatalf("NewDocument: %v", err)
		}
		if err := doc.Validate(); err != nil {
			r.Fatalf("NewDocument made invalid BSON: %v", err)
		}
		if got, err := KeyFromBSON(c, doc.Lookup("_id")); err != nil || got != key {
			r.Fatalf("key %v, %v; want %v", got, err, key)
		}
		back, err := MapDocument(s, c, doc)
		if err != nil {
			r.Fatalf("MapDocument(%s): %v", doc, err)
		}
		if got, want := Fingerprint(s, c, back), Fingerprint(s, c, o); got != want {
			r.Fatalf("fingerprints of\n%s\n%q\n%q", doc, appendCanonicalObject(nil, s, c, back), appendCanonicalObject(nil, s, c, o))
		}
		again, err := NewDocument(s, c, key, back)
		if err != nil || !bytes.Equal(again, doc) {
			r.Fatalf("written again (%v):\n%s\nwas\n%s", err, again, doc)
		}
	})
}

// TestBSONToRealmToBSON: a document as other drivers may write it, with other widths
// of numbers, null for absent and repeated elements of sets, reads as the object
// that the bridge would have written it from, and is written as that document.
func TestBSONToRealmToBSON(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := genSchema(r)
		c := s.Class("T")
		key := genKey(r, c.KeyType)
		strict, err := NewDocument(s, c, key, genObject(r, s, c))
		if err != nil {
			r.Fatalf("NewDocument: %v", err)
		}
		loose := genLoose(r, s, c, strict)
		o, err := MapDocument(s, c, loose)
		if err != nil {
			r.Fatalf("MapDocument(%s): %v", loose, err)
		}
		written, err := NewDocument(s, c, key, o)
		if err != nil {
			r.Fatalf("NewDocument: %v", err)
		}
		again, err := MapDocument(s, c, written)
		if err != nil || Fingerprint(s, c, again) != Fingerprint(s, c, o) {
			r.Fatalf("%s is written as (%v)\n%s", loose, err, written)
		}
		first, err := MapDocument(s, c, strict)
		if err != nil || Fingerprint(s, c, first) != Fingerprint(s, c, o) {
			r.Fatalf("%s reads otherwise (%v) than\n%s", loose, err, strict)
		}
	})
}

// TestFingerprintTellsObjectsApart: objects that differ at BSON precision have
// different fingerprints, those that don't have the same.
func TestFingerprintTellsObjectsApart(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := genSchema(r)
		c := s.Class("T")
		o := genObject(r, s, c)
		name := rapid.SampledFrom(c.PropertyNames()).Draw(r, "property")
		other := &object.Object{Fields: map[string]object.Node{}}
		for n, node := range o.Fields {
			other.Fields[n] = node
		}
		other.Fields[name] = genNode(r, s, c.Properties[name])

		doc, err := NewDocument(s, c, changeset.IntKey(1), o)
		if err != nil {
			r.Fatal(err)
		}
		otherDoc, err := NewDocument(s, c, changeset.IntKey(1), other)
		if err != nil {
			r.Fatal(err)
		}
		same := Fingerprint(s, c, o) == Fingerprint(s, c, other)
		if want := bytes.Equal(doc, otherDoc); want && !same {
			r.Fatalf("two fingerprints for one document %s", doc)
		}
		if p := c.Properties[name]; same && p.Collection == changeset.Single && p.Type != changeset.Mixed && !s.IsEmbedded(p) && !bytes.Equal(doc, otherDoc) {
			r.Fatalf("one fingerprint for\n%s\n%s", doc, otherDoc)
		}
	})
}

// TestRefineRestoresTheState: a document nobody else wrote differs from its
// state in nothing, and one somebody changed differs only there.
func TestRefineRestoresTheState(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := genSchema(r)
		c := s.Class("T")
		ref := changeset.ObjectRef{Class: "T", Key: changeset.IntKey(1)}
		state := genObject(r, s, c)
		doc, err := NewDocument(s, c, ref.Key, state)
		if err != nil {
			r.Fatal(err)
		}
		read, err := MapDocument(s, c, doc)
		if err != nil {
			r.Fatal(err)
		}
		Refine(s, c, read, state)
		if in := object.Diff(s, ref, state, read); len(in) != 0 {
			r.Fatalf("a document that was only written differs from its state: %v\n%s", in, doc)
		}

		foreign := genObject(r, s, c)
		name := rapid.SampledFrom(c.PropertyNames()).Draw(r, "changed")
		changed := &object.Object{Fields: map[string]object.Node{}}
		for n, node := range state.Fields {
			if n != name {
				changed.Fields[n] = node
			}
		}
		if node, ok := foreign.Fields[name]; ok {
			changed.Fields[name] = node
		}
		doc, err = NewDocument(s, c, ref.Key, changed)
		if err != nil {
			r.Fatal(err)
		}
		read, err = MapDocument(s, c, doc)
		if err != nil {
			r.Fatal(err)
		}
		want := Fingerprint(s, c, read)
		Refine(s, c, read, state)
		if Fingerprint(s, c, read) != want {
			r.Fatalf("refining changed what the document says")
		}
		for _, in := range object.Diff(s, ref, state, read) {
			if in.Field != name {
				r.Fatalf("changed %s, but %v", name, in)
			}
		}
	})
}

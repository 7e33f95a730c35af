package object

import (
	"encoding/hex"
	"errors"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// FuzzApply applies whatever decodes as a changeset to a store that knows the
// classes of the real client's changesets. Nothing panics, every error is of the
// kinds promised, and what results can be stored and told apart from what was.
func FuzzApply(f *testing.F) {
	base := NewStore(nil, AcceptErasures())
	for i, c := range readLines[clientChangeset](f, "client-changesets.jsonl") {
		data, err := hex.DecodeString(c.Changeset)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		cs, err := changeset.Decode(data)
		if err != nil {
			f.Fatal(err)
		}
		if i < 13 || i%7 == 0 {
			// Later ones build on what was left out.
			if err := base.Apply(cs); err != nil && !errors.Is(err, ErrBadInstruction) {
				f.Fatal(err)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cs, err := changeset.Decode(data)
		if err != nil {
			return
		}
		st := base.Clone()
		for i := range cs {
			before := st.Object(cs[i].Object()).Clone()
			checked := st.Schema().Check(&cs[i])
			err := st.Apply(cs[i : i+1])
			switch {
			case err == nil && checked != nil && cs[i].Op != changeset.OpEraseObject:
				t.Fatalf("%v applied, but Check says %v", cs[i], checked)
			case err != nil && !errors.Is(err, ErrBadInstruction) && !errors.Is(err, schema.ErrInvalidSchemaChange):
				t.Fatalf("unexpected error %v", err)
			}
			ref, after := cs[i].Object(), st.Object(cs[i].Object())
			if after == nil || st.Schema().Class(ref.Class) == nil {
				continue
			}
			checkStored(t, st.Schema(), ref, after)
			if before != nil && !cs[i].Op.IsSchema() {
				checkDiff(t, st.Schema(), ref, before, after)
			}
		}
		_, _ = st.State() // text that is not UTF-8 has no JSON
	})
}

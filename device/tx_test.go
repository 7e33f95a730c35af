package device

import (
	"encoding/hex"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

// vector is a transaction of a real client's, and the changeset it uploaded.
type vector struct {
	ID          int          `json:"id"`
	Description string       `json:"description"`
	Ops         []recordedOp `json:"ops"`
	Hex         *string      `json:"changeset_hex"`
	Sequence    string       `json:"sequence"`
}

// deletions stand for what the SDKs do by a query or by the links of a list:
// the objects that the real client deleted, in its order.
var deletions = map[int][]int64{254: {3}, 255: {2}, 257: {4, -7, 1}}

// TestTransactions does what an app did with a real client, and compares the
// changesets with what that client uploaded, byte by byte.
func TestTransactions(t *testing.T) {
	files := map[string]*File{}
	compared := 0
	for _, v := range readLines[vector](t, "client-changesets.jsonl.gz") {
		if len(v.Ops) == 0 {
			continue // made without operations of an app
		}
		file := files[v.Sequence]
		var before int
		if file != nil {
			before = len(file.history.own)
		}
		var err error
		switch ops := v.Ops; {
		case ops[0].Op == "open_flx" && file == nil:
			s, order := recordedSchema(t, ops[0].Schema)
			file, err = NewFile(Config{Schema: s, Order: order}, Options{})
			files[v.Sequence] = file
		case ops[0].Op == "open_flx":
			s, order := recordedSchema(t, ops[0].Schema)
			_, err = file.UpdateSchema(s, order)
		default:
			_, err = file.Write(func(tx *Tx) error {
				if keys, ok := deletions[v.ID]; ok {
					for _, key := range keys {
						if err := tx.Delete("Dog", changeset.IntKey(key)); err != nil {
							return err
						}
					}
					return nil
				}
				for i := range ops {
					if err := ops[i].do(tx); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err != nil {
			t.Errorf("%d %s: %v", v.ID, v.Description, err)
			continue
		}
		got := ""
		if own := file.history.own; len(own) > before {
			got = hex.EncodeToString(own[len(own)-1].encoded)
		}
		want := ""
		if v.Hex != nil {
			want = *v.Hex
		}
		compared++
		if got != want {
			t.Errorf("%d %s:\n got %s\nwant %s\n got %v\nwant %v", v.ID, v.Description, got, want, decoded(t, got), decoded(t, want))
		}
	}
	if compared < 260 {
		t.Errorf("compared %d changesets only", compared)
	}
}

func decoded(t *testing.T, text string) changeset.Changeset {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	cs, err := changeset.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

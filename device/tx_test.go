package device

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
)

// vector is a transaction of a real client's, and the changeset it uploaded.
type vector struct {
	ID          int          `json:"id"`
	Description string       `json:"description"`
	Ops         []recordedOp `json:"ops"`
	Hex         *string      `json:"changeset_hex"`
}

// deletions stand for what the SDKs do by a query or by the links of a list:
// the objects that the real client deleted, in its order.
var deletions = map[int][]int64{254: {3}, 255: {2}, 257: {4, -7, 1}}

// setups are what the vectors outside of the first sequence start from.
var setups = map[int]string{
	260: `[]`,
	263: `[{"op":"open_flx","schema":[
		{"name":"Dog","props":[{"name":"_id","type":"int","pk":true},{"name":"name","type":"string","nullable":true},{"name":"age","type":"int"},{"name":"friend","type":"object","target":"Dog"}]},
		{"name":"Temp","props":[{"name":"_id","type":"int","pk":true}]}]}]`,
	266: `[{"op":"open_flx","schema":[{"name":"All","props":[{"name":"_id","type":"objectId","pk":true},{"name":"sn_s","type":"string","collection":"set","nullable":true}]}]},
		{"op":"create","class":"All","pk":{"$oid":"0102030405060708090a0b0c"},"set":{"sn_s":{"$set":[null,"x"]}}}]`,
}

// perform does the operations in one transaction. Opening makes the file, or
// adds to its schema.
func perform(t *testing.T, file *File, id int, ops []recordedOp) (*File, error) {
	t.Helper()
	if len(ops) > 0 && ops[0].Op == "open_flx" {
		s, order := recordedSchema(t, ops[0].Schema)
		if file == nil {
			return NewFile(Config{Schema: s, Order: order}, Options{})
		}
		_, err := file.UpdateSchema(s, order)
		return file, err
	}
	_, err := file.Write(func(tx *Tx) error {
		if keys, ok := deletions[id]; ok {
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
	return file, err
}

// TestTransactions does what an app did with a real client, and compares the
// changesets with what that client uploaded, byte by byte.
func TestTransactions(t *testing.T) {
	var file *File
	compared := 0
	for _, v := range readLines[vector](t, "client-changesets.jsonl.gz") {
		if len(v.Ops) == 0 {
			continue // made without operations of an app
		}
		if setup, ok := setups[v.ID]; ok {
			file = nil
			var ops []recordedOp
			if err := json.Unmarshal([]byte(setup), &ops); err != nil {
				t.Fatal(err)
			}
			for i := range ops {
				var err error
				if file, err = perform(t, file, 0, ops[i:i+1]); err != nil {
					t.Fatal(err)
				}
			}
		}
		before := 0
		if file != nil {
			before = len(file.history.own)
		}
		var err error
		if file, err = perform(t, file, v.ID, v.Ops); err != nil {
			t.Fatalf("%d %s: %v", v.ID, v.Description, err)
		}
		got, want := "", ""
		if own := file.history.own; len(own) > before {
			got = hex.EncodeToString(own[len(own)-1].encoded)
		}
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

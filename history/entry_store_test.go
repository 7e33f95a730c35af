package history_test

import (
	"fmt"
	"strings"
	"testing"
)

// Another node reads what this one has written of an entry that does not fit one
// document, and of those around it.
func TestEntryInPartsIsReadBack(t *testing.T) {
	b := newBed(t)
	d := b.device()
	d.mustSend(ops(dogSchema), decoded(t, manyDogs(5_000, strings.Repeat("x", 2100))),
		ops(`[{"op":"Update","class":"Dog","pk":7,"path":["age"],"value":7}]`))
	if n, err := b.db.Client().Database("__bridge_"+b.db.Name()).Collection("history_parts").CountDocuments(b.ctx, map[string]any{}); err != nil || n == 0 {
		t.Fatalf("%d parts, want some (%v)", n, err)
	}
	mine, read := b.entries(), b.node().entries()
	if len(read) != len(mine) {
		t.Fatalf("%d entries read, want %d", len(read), len(mine))
	}
	for i, e := range read {
		got, want := fmt.Sprint(e.Version, e.Origin, e.User, e.ClientVersion, e.Base, e.Timestamp, e.Schema, e.Changeset, len(e.Objects)), fmt.Sprint(
			mine[i].Version, mine[i].Origin, mine[i].User, mine[i].ClientVersion, mine[i].Base, mine[i].Timestamp, mine[i].Schema, mine[i].Changeset, len(mine[i].Objects))
		if got != want {
			t.Errorf("entry %d read as %.300s, want %.300s", i, got, want)
		}
	}
}

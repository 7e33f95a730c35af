package translator

import (
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/changeset"
)

// benchmarkDocuments are a small document and one of about 20 KB.
func benchmarkDocuments(b *testing.B) map[string]bson.Raw {
	small := fromJSON(b, `{"_id":1,"n":{"$numberLong":"42"},"state":"open","opt":"Buy milk and bread","owner":"ann",
		"date":{"$date":"2024-05-06T07:08:09.123Z"},"list":[1,2,3],"note":{"text":"soon","n":1}}`)
	var notes, numbers bson.A
	for i := range 100 {
		notes = append(notes, bson.D{{Key: "text", Value: strings.Repeat(fmt.Sprint("line ", i, " "), 12)}, {Key: "n", Value: int64(i)}})
	}
	for i := range 300 {
		numbers = append(numbers, int64(i))
	}
	large, err := bson.Marshal(bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: int64(1)}, {Key: "state", Value: "open"},
		{Key: "notes", Value: notes}, {Key: "list", Value: numbers}})
	if err != nil {
		b.Fatal(err)
	}
	return map[string]bson.Raw{"small": small, "20KB": large}
}

// BenchmarkIngest is what each document that the change stream hints at costs:
// reading it as an object, and its fingerprint.
func BenchmarkIngest(b *testing.B) {
	s, class := testSchema()
	for _, name := range []string{"small", "20KB"} {
		doc := benchmarkDocuments(b)[name]
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				o, err := MapDocument(s, class, doc)
				if err != nil {
					b.Fatal(err)
				}
				Fingerprint(s, class, o)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "documents/s")
		})
	}
}

// BenchmarkEdit is what the write of one changed field costs.
func BenchmarkEdit(b *testing.B) {
	s, class := testSchema()
	for _, name := range []string{"small", "20KB"} {
		doc := benchmarkDocuments(b)[name]
		b.Run(name, func(b *testing.B) {
			before := mustMap(b, s, class, doc)
			after := before.Clone()
			in := changeset.Changeset{update(text("done"), "state")}
			if err := after.Apply(s, class, &in[0]); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Edit(s, class, doc, changeset.IntKey(1), before, after, in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
		})
	}
}

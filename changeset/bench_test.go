package changeset_test

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/isthmus-sync/isthmus/changeset"
)

// corpora are the changesets that the C++ client library was measured with, so
// that figures compare: each object is created and has four properties set.
func corpora() []struct {
	name       string
	changesets [][]byte
} {
	var small, one [][]byte
	for i := range 5000 {
		small = append(small, Encode(taskChangeset(i, 1, "some short text here")))
		one = append(one, Encode(Changeset{
			update("Task", ObjectIDKey([12]byte{1}), "title", StringValue(fmt.Sprint("title ", i))),
			update("Task", ObjectIDKey([12]byte{1}), "done", BoolValue(i%2 == 0)),
			{Op: OpAddInteger, Class: "Task", Key: ObjectIDKey([12]byte{1}), Field: "count", Addend: 1},
		}))
	}
	return []struct {
		name       string
		changesets [][]byte
	}{
		{"small", small},
		{"one object", one},
		{"large, 20 byte strings", [][]byte{Encode(taskChangeset(0, 20_000, strings.Repeat("x", 20)))}},
		{"large, 500 byte strings", [][]byte{Encode(taskChangeset(0, 20_000, strings.Repeat("x", 500)))}},
	}
}

func update(class string, key Key, field string, v Value) Instruction {
	return Instruction{Op: OpUpdate, Class: class, Key: key, Field: field, Value: v}
}

func taskChangeset(first, objects int, text string) Changeset {
	var c Changeset
	for i := first; i < first+objects; i++ {
		key := IntKey(int64(i))
		c = append(c,
			Instruction{Op: OpCreateObject, Class: "Task", Key: key},
			update("Task", key, "title", StringValue(text)),
			update("Task", key, "priority", IntValue(int64(i%7))),
			update("Task", key, "done", BoolValue(i%2 == 0)),
			update("Task", key, "weight", DoubleValue(float64(i)/3)))
	}
	return c
}

func BenchmarkDecode(b *testing.B) {
	for _, corpus := range corpora() {
		b.Run(corpus.name, func(b *testing.B) {
			b.SetBytes(totalBytes(corpus.changesets))
			b.ReportAllocs()
			for b.Loop() {
				for _, data := range corpus.changesets {
					if _, err := Decode(data); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, corpus := range corpora() {
		var decoded []Changeset
		for _, data := range corpus.changesets {
			c, err := Decode(data)
			if err != nil {
				b.Fatal(err)
			}
			decoded = append(decoded, c)
		}
		b.Run(corpus.name, func(b *testing.B) {
			b.SetBytes(totalBytes(corpus.changesets))
			b.ReportAllocs()
			var buffer []byte
			for b.Loop() {
				for _, c := range decoded {
					buffer = Append(buffer[:0], c)
				}
			}
		})
	}
}

func totalBytes(changesets [][]byte) int64 {
	n := 0
	for _, data := range changesets {
		n += len(data)
	}
	return int64(n)
}

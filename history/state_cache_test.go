package history

import (
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
)

func TestStateCacheIsBounded(t *testing.T) {
	for _, test := range []struct {
		name         string
		size         int
		least, limit int // states kept of a thousand
	}{
		{"by number", 1000, 85, 100},
		{"by bytes", maxStateCache / 32, 27, 32},
		{"with one that is too large", 2 * maxStateCache, 1, 1},
	} {
		c := newStateCache(100)
		ref := func(i int) changeset.ObjectRef {
			return changeset.ObjectRef{Class: "Dog", Key: changeset.IntKey(int64(i % 1000))}
		}
		for i := range 3000 {
			c.put(ref(i), &state{object: &object.Object{}, size: test.size})
			if st, ok := c.get(ref(i)); !ok || st.size != test.size {
				t.Fatalf("%s: what was put last is not there", test.name)
			}
			if len(c.m) > test.limit || i >= 1000 && len(c.m) < test.least || c.bytes != len(c.m)*test.size {
				t.Fatalf("%s: %d states, %d bytes", test.name, len(c.m), c.bytes)
			}
		}
		for i := range 1000 {
			c.put(ref(i), noState)
			c.forget(ref(i))
		}
		if c.bytes != 0 {
			t.Errorf("%s: %d bytes when empty", test.name, c.bytes)
		}
	}
}

package object

import (
	"unsafe"

	"github.com/isthmus-sync/isthmus/changeset"
)

// Size estimates the memory that an object takes, in bytes; 0 of nil.
func (o *Object) Size() int {
	if o == nil {
		return 0
	}
	return sizeOf(o)
}

func sizeOf(node Node) int {
	const element = 16 // an interface
	n := element
	switch node := node.(type) {
	case changeset.Value:
		return n + int(unsafe.Sizeof(node)) + len(node.Str) + len(node.Key.Str)
	case *Object:
		for name, field := range node.Fields {
			n += 2*element + len(name) + sizeOf(field)
		}
	case *List:
		for _, item := range node.Items {
			n += sizeOf(item)
		}
	case *Dictionary:
		for key, entry := range node.Entries {
			n += 2*element + len(key) + sizeOf(entry)
		}
	case *Set:
		for _, v := range node.Items {
			n += sizeOf(v)
		}
	}
	return n
}

package translator

import (
	"math"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/object"
	"github.com/isthmus-sync/isthmus/schema"
)

// nanBits is the NaN that stands for all of them when values are compared.
const nanBits = 0x7ff8000000000000

// atBSONPrecision returns what is left of a value once it has been written to a
// document and read back, in the one form that all values have that a document
// can't tell apart: floats are doubles, dates are whole milliseconds, NaN is
// NaN, decimals are by their bits, and a link to the object with the null key
// is null, except in mixed, where a link is written with its class.
func atBSONPrecision(p *schema.Property, v changeset.Value) changeset.Value {
	switch v.Type {
	case changeset.Float:
		return doubleByBits(float64(v.Float32()))
	case changeset.Double:
		return doubleByBits(v.Float64())
	case changeset.Timestamp:
		if ms, ok := millisecondsOf(v); ok {
			return timestampOf(ms)
		}
	case changeset.Decimal:
		if high, low, ok := decimalBits(v); ok {
			return decimalFromBits(high, low)
		}
	case changeset.Link:
		if p.Type == changeset.Link && v.Key == changeset.NullKey && p.AcceptsNull() {
			return changeset.NullValue()
		}
	}
	return v
}

func doubleByBits(f float64) changeset.Value {
	if math.IsNaN(f) {
		return changeset.Value{Type: changeset.Double, Num: nanBits}
	}
	return changeset.DoubleValue(f)
}

// setIdentity returns the value that stands for all values that are the same
// element of a set, at BSON precision.
func setIdentity(p *schema.Property, v changeset.Value) changeset.Value {
	return object.SetIdentity(atBSONPrecision(p, v), p.Type == changeset.Mixed)
}

package device

import (
	"fmt"
	"time"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/schema"
)

// What an app may set besides scalars. A scalar is a changeset.Value, nil,
// bool, an integer, a float32 or float64, string, []byte or time.Time; numbers
// take the type of the property.
type (
	List     []any          // of a list property, or inside mixed
	Set      []any          // of a set property
	Dict     map[string]any // of a dictionary property, or inside mixed
	Embedded map[string]any // an embedded object's properties
)

// scalar converts what an app sets to a payload for a property.
func scalar(v any, p *schema.Property) (changeset.Value, error) {
	switch v := v.(type) {
	case nil:
		return changeset.NullValue(), nil
	case changeset.Value:
		return v, nil
	case changeset.ObjectRef:
		return changeset.LinkValue(v.Class, v.Key), nil
	case bool:
		return changeset.BoolValue(v), nil
	case string:
		return changeset.StringValue(v), nil
	case []byte:
		return changeset.BinaryValue(v), nil
	case time.Time:
		return timestamp(v), nil
	case int:
		return integer(int64(v), p), nil
	case int32:
		return integer(int64(v), p), nil
	case int64:
		return integer(v, p), nil
	case float32:
		return changeset.FloatValue(v), nil
	case float64:
		if p.Type == changeset.Float {
			return changeset.FloatValue(float32(v)), nil
		}
		return changeset.DoubleValue(v), nil
	}
	return changeset.Value{}, fmt.Errorf("a %T can't be stored", v)
}

// integer makes a whole number of the property's type.
func integer(v int64, p *schema.Property) changeset.Value {
	switch p.Type {
	case changeset.Float:
		return changeset.FloatValue(float32(v))
	case changeset.Double:
		return changeset.DoubleValue(float64(v))
	case changeset.Decimal:
		if v < 0 {
			return changeset.DecimalValue(0, -uint64(v), 0, true)
		}
		return changeset.DecimalValue(0, uint64(v), 0, false)
	}
	return changeset.IntValue(v)
}

// timestamp makes a Timestamp: before 1970 the nanoseconds are negative, too.
func timestamp(t time.Time) changeset.Value {
	seconds, nanos := t.Unix(), int32(t.Nanosecond())
	if seconds < 0 && nanos > 0 {
		seconds, nanos = seconds+1, nanos-1e9
	}
	return changeset.TimestampValue(seconds, nanos)
}

package translator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// applyWrite does to a document what MongoDB does for the write.
func applyWrite(doc bson.Raw, w Write) (bson.Raw, error) {
	switch w.Kind {
	case None:
		return doc, nil
	case Insert, Replace:
		return w.Document, nil
	case Delete:
		return nil, nil
	}
	return applyUpdate(doc, w.Update)
}

// applyUpdate is MongoDB's $set and $unset, with its refusals.
func applyUpdate(doc, update bson.Raw) (bson.Raw, error) {
	var d, u bson.D
	if err := bson.Unmarshal(doc, &d); err != nil {
		return nil, err
	}
	if err := bson.Unmarshal(update, &u); err != nil {
		return nil, err
	}
	if err := conflict(u); err != nil {
		return nil, err
	}
	var root any = d
	for _, operator := range u {
		for _, change := range operator.Value.(bson.D) {
			steps := strings.Split(change.Key, ".")
			for _, step := range steps {
				if step == "" || strings.HasPrefix(step, "$") {
					return nil, fmt.Errorf("path %q", change.Key)
				}
			}
			var err error
			switch operator.Key {
			case "$set":
				root, err = setPath(root, steps, change.Value)
			case "$unset":
				root, err = unsetPath(root, steps)
			default:
				err = fmt.Errorf("operator %s", operator.Key)
			}
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", operator.Key, change.Key, err)
			}
		}
	}
	return bson.Marshal(root)
}

// conflict is the refusal of a path together with one below it.
func conflict(update bson.D) error {
	var paths []string
	for _, operator := range update {
		for _, change := range operator.Value.(bson.D) {
			paths = append(paths, change.Key)
		}
	}
	for i, a := range paths {
		for j, b := range paths {
			if i != j && (a == b || strings.HasPrefix(b, a+".")) {
				return fmt.Errorf("error 40: paths %q and %q", a, b)
			}
		}
	}
	return nil
}

func setPath(at any, steps []string, v any) (any, error) {
	if len(steps) == 0 {
		return v, nil
	}
	switch in := at.(type) {
	case nil: // a parent that is made on the way
		inner, err := setPath(nil, steps[1:], v)
		return bson.D{{Key: steps[0], Value: inner}}, err
	case bson.D:
		i := slices.IndexFunc(in, func(e bson.E) bool { return e.Key == steps[0] })
		if i < 0 {
			inner, err := setPath(nil, steps[1:], v)
			return append(in, bson.E{Key: steps[0], Value: inner}), err
		}
		if in[i].Value == nil && len(steps) > 1 {
			return nil, fmt.Errorf("error 28: through null")
		}
		inner, err := setPath(in[i].Value, steps[1:], v)
		in[i].Value = inner
		return in, err
	case bson.A:
		i, err := strconv.Atoi(steps[0])
		if err != nil {
			return nil, fmt.Errorf("error 28: key %q in an array", steps[0])
		}
		for len(in) < i {
			in = append(in, nil)
		}
		if len(in) == i {
			inner, err := setPath(nil, steps[1:], v)
			return append(in, inner), err
		}
		inner, err := setPath(in[i], steps[1:], v)
		in[i] = inner
		return in, err
	}
	return nil, fmt.Errorf("error 28: through %T", at)
}

func unsetPath(at any, steps []string) (any, error) {
	switch in := at.(type) {
	case bson.D:
		i := slices.IndexFunc(in, func(e bson.E) bool { return e.Key == steps[0] })
		if i < 0 {
			return in, nil
		}
		if len(steps) == 1 {
			return slices.Delete(in, i, i+1), nil
		}
		inner, err := unsetPath(in[i].Value, steps[1:])
		in[i].Value = inner
		return in, err
	case bson.A:
		i, err := strconv.Atoi(steps[0])
		if err != nil || i >= len(in) {
			return in, nil
		}
		if len(steps) == 1 {
			in[i] = nil
			return in, nil
		}
		inner, err := unsetPath(in[i], steps[1:])
		in[i] = inner
		return in, err
	}
	return at, nil
}

// TestApplyUpdate pins the model to what mongod was seen to do.
func TestApplyUpdate(t *testing.T) {
	for _, c := range []struct{ doc, update, want string }{
		{`{"_id":1,"a":1}`, `{"$set":{"a":2,"b":3}}`, `{"_id":1,"a":2,"b":3}`},
		{`{"_id":1}`, `{"$set":{"m.0":1}}`, `{"_id":1,"m":{"0":1}}`},
		{`{"_id":1,"a":[1]}`, `{"$set":{"a.3":2}}`, `{"_id":1,"a":[1,null,null,2]}`},
		{`{"_id":1,"a":[1,2]}`, `{"$unset":{"a.1":""}}`, `{"_id":1,"a":[1,null]}`},
		{`{"_id":1,"d":{"0":1,"x":2}}`, `{"$set":{"d.0":5},"$unset":{"d.x":""}}`, `{"_id":1,"d":{"0":5}}`},
		{`{"_id":1,"a":[{"b":1}]}`, `{"$set":{"a.0.b":2}}`, `{"_id":1,"a":[{"b":2}]}`},
		{`{"_id":1,"a":{"b":1}}`, `{"$set":{"a":1,"a.b":2}}`, "error 40"},
		{`{"_id":1,"a":null}`, `{"$set":{"a.b":2}}`, "error 28"},
		{`{"_id":1,"a":5}`, `{"$set":{"a.b":2}}`, "error 28"},
	} {
		got, err := applyUpdate(fromJSON(t, c.doc), fromJSON(t, c.update))
		if strings.HasPrefix(c.want, "error") {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s %s: %v, want %s", c.doc, c.update, err, c.want)
			}
			continue
		}
		if want := fromJSON(t, c.want); err != nil || string(got) != string(want) {
			t.Errorf("%s %s: %s, %v, want %s", c.doc, c.update, got, err, want)
		}
	}
}

func fromJSON(t testing.TB, text string) bson.Raw {
	t.Helper()
	var d bson.D
	if err := bson.UnmarshalExtJSON([]byte(text), false, &d); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	raw, err := bson.Marshal(d)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return raw
}

package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/isthmus-sync/isthmus/internal/mongod"
)

// TestDemo plays the whole demonstration. It judges itself: it fails unless the
// three agree after every step, and on the right thing in the end.
func TestDemo(t *testing.T) {
	path, err := mongod.Find()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(mongod.EnvPath, path)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	c := newDemo()
	c.SetArgs(nil)
	c.SetOut(&out)
	c.SetContext(ctx)
	if err := c.Execute(); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	text := out.String()
	for _, want := range []string{"5. The tablet comes out of the tunnel", "≠ milk", "All three hold the same"} {
		if !strings.Contains(text, want) {
			t.Errorf("the demonstration does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b[") {
		t.Error("there are colours although it is no terminal")
	}
}

// spoiler writes another name over the bread's before the last step.
type spoiler struct {
	t   *testing.T
	uri string
	app string
	out bytes.Buffer
}

func (s *spoiler) Write(p []byte) (int, error) {
	if _, rest, ok := strings.Cut(string(p), ", app "); ok {
		s.app, _, _ = strings.Cut(rest, ",")
	}
	if strings.HasPrefix(string(p), "5. ") {
		runCommand(s.t, s.uri, "isthmus_"+s.app, bson.D{{Key: "update", Value: demoClass}, {Key: "updates", Value: bson.A{
			bson.M{"q": bson.M{"_id": "bread"}, "u": bson.M{"$set": bson.M{"name": "Toast"}}},
		}}})
	}
	return s.out.Write(p)
}

// A demonstration that goes wrong says why, and shows the bridge's log.
func TestDemoFails(t *testing.T) {
	s := &spoiler{t: t, uri: sharedMongo(t)}
	err := demo(t.Context(), s.uri, s)
	if err == nil || !strings.Contains(err.Error(), "Toast") {
		t.Errorf("got %v", err)
	}
	if _, log, _ := strings.Cut(s.out.String(), "The bridge's log:"); !strings.Contains(log, "serving") {
		t.Errorf("the log is not shown:\n%s", &s.out)
	}
}

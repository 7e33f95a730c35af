package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

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

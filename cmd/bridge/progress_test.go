package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-sync/isthmus/translator"
)

func TestProgressBar(t *testing.T) {
	type look struct {
		after       time.Duration // since the one before
		done, total int64
	}
	for _, c := range []struct {
		name     string
		terminal bool
		looks    []look
		want     string
	}{
		{"quick, no terminal", false, []look{{0, 0, 9}, {time.Second, 9, 9}}, ""},
		{"slow, no terminal", false, []look{{0, 0, 200}, {11 * time.Second, 50, 200}, {time.Second, 60, 200}, {11 * time.Second, 150, 200}},
			"Dog   25 %  50 of 200\nDog   75 %  150 of 200\n"},
		{"terminal", true, []look{{0, 0, 1000}, {time.Millisecond, 1, 1000}, {time.Second, 500, 1000}, {time.Second, 3, 0}},
			"\r░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  Dog    0 %  0 of 1000" +
				"\r███████████████░░░░░░░░░░░░░░░  Dog   50 %  500 of 1000" +
				"\r░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░  Dog    0 %  3 of 0     " +
				"\r                                                  \r"},
		{"more than the total", true, []look{{0, 7, 5}}, "\r██████████████████████████████  Dog  100 %  7 of 5\r                                                  \r"},
	} {
		var b bytes.Buffer
		now := time.Now()
		p := newProgressBar(&b)
		if c.terminal {
			p.terminal, p.every, p.next = true, progressDraws, now
		}
		p.clock = func() time.Time { return now }
		for _, l := range c.looks {
			now = now.Add(l.after)
			p.show("Dog", l.done, l.total)
		}
		p.clear()
		if got := b.String(); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
}

// A line of the log takes the place of the bar, which comes back below it.
func TestConsole(t *testing.T) {
	var b bytes.Buffer
	c := newConsole(&b)
	now := time.Now()
	c.bar.terminal, c.bar.every, c.bar.next = true, progressDraws, now
	c.bar.clock = func() time.Time { return now }
	scans := []translator.Progress{{Class: "Cat", Looked: 9, Total: 9, Done: true}, {Class: "Dog", Looked: 1, Total: 4}}
	c.show(scans)
	if _, err := c.Write([]byte("a line\n")); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Second)
	scans[1].Looked = 2
	c.show(scans)
	scans[1].Done = true
	c.show(scans)
	gap := "\r" + strings.Repeat(" ", 50) + "\r"
	want := "\r███████░░░░░░░░░░░░░░░░░░░░░░░  Dog   25 %  1 of 4" + gap + "a line\n" +
		"\r███████████████░░░░░░░░░░░░░░░  Dog   50 %  2 of 4" + gap
	if got := b.String(); got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
	if !isTerminal(c) {
		t.Error("the log is not as on a terminal")
	}
}

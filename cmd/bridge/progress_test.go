package main

import (
	"bytes"
	"testing"
	"time"
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

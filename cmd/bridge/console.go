package main

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/isthmus-sync/isthmus/translator"
)

// console is where a node writes for people. On a terminal a bar below the log shows
// how far the comparison of a class has come, as in a first import.
type console struct {
	mu  sync.Mutex
	w   io.Writer
	bar *progressBar
}

func newConsole(w io.Writer) *console { return &console{w: w, bar: newProgressBar(w)} }

// Write implements io.Writer. The bar makes way, and comes back when it is next drawn.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bar.clear()
	return c.w.Write(p)
}

// follow shows the comparisons that run, until the context ends. Elsewhere than on a
// terminal it shows nothing: there are metrics.
func (c *console) follow(ctx context.Context, scans func() []translator.Progress) {
	if !c.bar.terminal {
		return
	}
	t := time.NewTicker(progressDraws)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			c.show(nil)
			return
		case <-t.C:
			c.show(scans())
		}
	}
}

// show shows the first of the comparisons that is not done.
func (c *console) show(scans []translator.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range scans {
		if !p.Done {
			c.bar.show(p.Class, p.Looked, p.Total)
			return
		}
	}
	c.bar.clear()
}

package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	progressWidth = 30                     // of the bar, in characters
	progressDraws = 100 * time.Millisecond // between two drawings of the bar
	progressLines = 10 * time.Second       // between two lines where there is no terminal
)

// progressBar shows how far a piece of work has come: a bar on a terminal, a line
// now and then elsewhere.
type progressBar struct {
	w        io.Writer
	terminal bool
	clock    func() time.Time
	every    time.Duration
	next     time.Time
	drawn    int // characters of the bar on the screen
}

func newProgressBar(w io.Writer) *progressBar {
	p := &progressBar{w: w, terminal: isTerminal(w), clock: time.Now, every: progressLines}
	if p.terminal {
		p.every = progressDraws
	}
	p.next = p.clock()
	if !p.terminal {
		p.next = p.next.Add(p.every) // what is quick needs no line
	}
	return p
}

// show shows that so much of the total is done, which may be wrong.
func (p *progressBar) show(what string, done, total int64) {
	now := p.clock()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(p.every)
	share := 0.0
	if total > 0 {
		share = min(1, float64(done)/float64(total))
	}
	text := fmt.Sprintf("%s  %3.0f %%  %d of %d", what, 100*share, done, total)
	if !p.terminal {
		fmt.Fprintln(p.w, text)
		return
	}
	full := int(share * progressWidth)
	bar := strings.Repeat("█", full) + strings.Repeat("░", progressWidth-full)
	p.draw(bar + "  " + text)
}

// draw replaces the line on the screen.
func (p *progressBar) draw(line string) {
	width := len([]rune(line))
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.drawn-width)))
	p.drawn = width
}

// clear takes the bar off the screen, so that something else can be printed.
func (p *progressBar) clear() {
	if p.drawn > 0 {
		p.draw("")
		fmt.Fprint(p.w, "\r")
		p.drawn = 0
	}
}

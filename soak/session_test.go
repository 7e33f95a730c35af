package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// crew is three phones that take part in sessions together.
type crew struct {
	bridge   *bridge
	phones   [clients]*phone
	sessions *atomic.Int64 // numbers of sessions, shared by all crews of a bridge
	// patience is how long replicas may differ at the end.
	patience time.Duration
}

// outcome is what came of a session.
type outcome struct {
	kind   string // nothing if all is well; else diverged, stuck, death, error, failed
	text   string
	script script // what was done, all made up
	writes int
	kinds  []string // of all that was done
	took   time.Duration
	// told are the errors and resets that clients were told of.
	told []string
	log  string // what the bridge warned of meanwhile
}

func (o *outcome) fail(kind, format string, args ...any) {
	if o.kind == "" {
		o.kind, o.text = kind, fmt.Sprintf(format, args...)
	}
}

// String is the outcome for people: what went wrong, the script, and what clients
// and bridge say of it.
func (o *outcome) String() string {
	out := fmt.Sprintf("%s\n%s%s", o.kind, o.script, o.text)
	for _, t := range o.told {
		if !strings.Contains(o.text, t) {
			out += "\n" + t
		}
	}
	return out + "\n" + o.log
}

// failErr files an error of a client's.
func (o *outcome) failErr(who string, err error) {
	var dead *realmclient.DeathError
	switch {
	case errors.As(err, &dead):
		o.fail("death", "%s: %v", who, err)
	case errors.Is(err, realmclient.ErrTimeout):
		o.fail("stuck", "%s: %v", who, err)
	default:
		o.fail("failed", "%s: %v", who, err)
	}
}

// run plays a script in a session of its own. ed makes up what is not in it yet.
func (c *crew) run(ctx context.Context, s script, ed *editor) *outcome {
	start := time.Now()
	o := &outcome{}
	session := int(c.sessions.Add(1))
	logged := c.bridge.log.now()
	c.play(ctx, session, s, ed, o)
	if o.kind == "" {
		c.comeToRest(ctx, session, o)
	}
	if o.kind != "death" {
		c.askForTroubles(ctx, o)
	}
	c.disband(ctx, o)
	o.log = c.bridge.log.since(logged)
	o.took = time.Since(start)
	return o
}

// each has all phones do something at once.
func (c *crew) each(o *outcome, do func(p *phone) error) {
	var all errgroup.Group
	failed := make([]error, clients)
	for i, p := range c.phones {
		all.Go(func() error {
			failed[i] = do(p)
			return nil
		})
	}
	_ = all.Wait() // the errors are in failed
	for i, err := range failed {
		if err != nil {
			o.failErr(fmt.Sprintf("client %d", i+1), err)
		}
	}
}

func (c *crew) play(ctx context.Context, session int, s script, ed *editor, o *outcome) {
	c.each(o, func(p *phone) error {
		if err := p.start(ctx); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, commandTime)
		defer cancel()
		return p.join(ctx, session)
	})
	for i := range s {
		if o.kind != "" {
			return
		}
		op := s[i]
		var err error
		switch op.who {
		case "mongodb":
			op.lines, err = c.writeForeign(ctx, session, &op, ed)
		case "all":
			for range 2 {
				for _, p := range c.phones {
					if err == nil {
						err = c.step(ctx, p, &operation{verb: "sync"}, ed)
					}
				}
			}
		default:
			err = c.step(ctx, c.phones[op.client-1], &op, ed)
		}
		if err != nil {
			o.failErr(strings.Split(op.String(), "\n")[0], err)
		}
		if op.verb != "write" {
			op.kinds = []string{op.who + " " + op.verb}
		}
		o.kinds = append(o.kinds, op.kinds...)
		if op.verb == "write" {
			op.seed, op.kinds = 0, nil
			o.writes += len(op.lines)
			if len(op.lines) == 0 {
				continue
			}
		}
		o.script = append(o.script, op)
	}
}

// step makes one client do something. The lines of a write become those that fit.
func (c *crew) step(ctx context.Context, p *phone, op *operation, ed *editor) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	switch op.verb {
	case "offline":
		return p.goOffline(ctx)
	case "online":
		return p.goOnline(ctx)
	case "reopen":
		return p.reopen(ctx)
	case "upload":
		if p.offline {
			return nil
		}
		return p.realm.WaitUpload(ctx)
	case "sync":
		return p.sync(ctx)
	}
	edits, err := p.write(ctx, func(attempt int) func(state) *edit { return op.propose(ed, p.number, attempt) })
	op.lines = nil
	for _, e := range edits {
		op.lines, op.kinds = append(op.lines, e.String()), append(op.kinds, e.kinds...)
	}
	return err
}

// propose makes the proposer of a client's edits for a write.
func (o *operation) propose(ed *editor, client, attempt int) func(state) *edit {
	if o.seed == 0 {
		return scripted(o.lines)
	}
	own := *ed
	own.who = client
	own.rng = rand.New(rand.NewPCG(o.seed, uint64(attempt)))
	left := 1 + own.rng.IntN(3)
	return func(s state) *edit {
		if left--; left < 0 {
			return nil
		}
		return own.one(s)
	}
}

// scripted proposes the edits of a script's lines.
func scripted(lines []string) func(state) *edit {
	return func(state) *edit {
		if len(lines) == 0 {
			return nil
		}
		e, err := parseEdit(lines[0])
		if err != nil {
			panic(err) // the script was parsed
		}
		lines = lines[1:]
		return e
	}
}

func (c *crew) writeForeign(ctx context.Context, session int, op *operation, ed *editor) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	lines := op.lines
	if op.seed != 0 {
		s, err := documents(ctx, c.bridge.documents, session)
		if err != nil {
			return nil, err
		}
		own := *ed
		own.rng = rand.New(rand.NewPCG(op.seed, 0))
		lines = []string{own.foreign(s).String()}
	}
	for _, line := range lines {
		f, err := parseForeign(line)
		if err != nil {
			return nil, err
		}
		if err := f.do(ctx, c.bridge.documents, session); err != nil {
			return nil, fmt.Errorf("%s: %w", line, err)
		}
		op.kinds = append(op.kinds, f.kind())
	}
	return lines, nil
}

// comeToRest brings everything everywhere, and looks whether it is the same.
func (c *crew) comeToRest(ctx context.Context, session int, o *outcome) {
	ctx, cancel := context.WithTimeout(ctx, commandTime+c.patience)
	defer cancel()
	c.each(o, func(p *phone) error {
		if err := p.goOnline(ctx); err != nil {
			return err
		}
		return p.realm.WaitUpload(ctx)
	})
	deadline := time.Now().Add(c.patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for o.kind == "" {
		different := c.compare(ctx, session, o)
		if different == "" {
			return
		}
		if time.Now().After(deadline) {
			o.fail("diverged", "%s", different)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			o.fail("diverged", "%s", different)
		}
	}
}

// compare says where clients and documents differ once all has been downloaded.
func (c *crew) compare(ctx context.Context, session int, o *outcome) string {
	states := make([]state, clients)
	c.each(o, func(p *phone) error {
		if err := p.realm.WaitDownload(ctx); err != nil {
			return err
		}
		var err error
		states[p.number-1], err = p.state(ctx)
		return err
	})
	if o.kind != "" {
		return ""
	}
	var exact, coarse []holder
	for i, s := range states {
		name := fmt.Sprint("client ", i+1)
		exact = append(exact, holder{name, s})
		coarse = append(coarse, holder{name, s.atBSON()})
	}
	docs, err := documents(ctx, c.bridge.documents, session)
	if err != nil {
		return fmt.Sprintf("the documents: %v", err)
	}
	coarse = append(coarse, holder{"MongoDB", docs.atBSON()})
	if d := differences(coarse...); d != "" {
		return d
	}
	return differences(exact...)
}

// askForTroubles files what the clients were told of.
func (c *crew) askForTroubles(ctx context.Context, o *outcome) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	for _, p := range c.phones {
		if p.realm == nil {
			continue
		}
		events, err := p.troubles(ctx)
		if err != nil {
			o.failErr(fmt.Sprintf("client %d", p.number), err)
		}
		for _, e := range events {
			o.told = append(o.told, fmt.Sprintf("client %d: %s %d %s %s %v recovered=%v", p.number, e.Event, e.Code, e.Action, e.Message, e.Compensating, e.Recovered))
		}
	}
	if len(o.told) > 0 {
		o.fail("error", "%s", strings.Join(o.told, "\n"))
	}
}

// disband ends the session. After a failure the phones are started afresh.
func (c *crew) disband(ctx context.Context, o *outcome) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	if o.kind == "" {
		c.each(o, func(p *phone) error { return p.leave(ctx) })
	}
	if o.kind == "" {
		return
	}
	for _, p := range c.phones {
		p.end()
	}
}

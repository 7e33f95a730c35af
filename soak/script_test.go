package soak

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// clients is how many take part in a session.
const clients = 3

// operation is one line of a script, with the lines below it that are indented.
//
//	client 1 write
//	  set Thing/1 n {"$int":"5"}
//	client 1 offline
//	client 1 online
//	client 1 reopen                closes its realm, and opens it again
//	client 1 upload                waits until all is acknowledged
//	client 1 sync                  goes on line if it is not, until all has gone and come
//	mongodb write
//	  set Thing/1 n {"$int":"5"}
//	all sync                       each client in turn, then again
type operation struct {
	who    string // client, mongodb, all
	client int    // from 1
	verb   string
	lines  []string
	// seed is that of a write whose lines are still to be made up.
	seed uint64
	// kinds are those of what was done.
	kinds []string
}

var verbs = map[string][]string{
	"client":  {"write", "offline", "online", "reopen", "upload", "sync"},
	"mongodb": {"write"},
	"all":     {"sync"},
}

func (o *operation) String() string {
	var b strings.Builder
	b.WriteString(o.who)
	if o.who == "client" {
		fmt.Fprintf(&b, " %d", o.client)
	}
	b.WriteString(" " + o.verb)
	for _, line := range o.lines {
		b.WriteString("\n  " + line)
	}
	return b.String()
}

// script is what happens in a session, before everything comes to rest.
type script []operation

// tolerant is the line in a script file by which errors that clients are told of
// are none of its matter: some pairs make them fail, and only then they are healed.
const tolerant = "clients may be told of errors"

func (s script) String() string {
	var b strings.Builder
	for i := range s {
		b.WriteString(s[i].String() + "\n")
	}
	return b.String()
}

// parseScript reads a script. Empty lines, those that begin with # and what is said
// of errors count for nothing.
func parseScript(text string) (script, error) {
	var s script
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		if err := s.parseLine(lines.Text()); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	return s, lines.Err()
}

func (s *script) parseLine(line string) error {
	trimmed := strings.TrimSpace(line)
	if trimmed == "" || trimmed == tolerant || strings.HasPrefix(trimmed, "#") {
		return nil
	}
	if line[0] == ' ' {
		if len(*s) == 0 || (*s)[len(*s)-1].verb != "write" {
			return fmt.Errorf("%q belongs to no write", trimmed)
		}
		last := &(*s)[len(*s)-1]
		last.lines = append(last.lines, trimmed)
		if last.who == "mongodb" {
			_, err := parseForeign(trimmed)
			return err
		}
		_, err := parseEdit(trimmed)
		return err
	}
	words := strings.Fields(trimmed)
	o := operation{who: words[0]}
	words = words[1:]
	if o.who == "client" && len(words) == 2 {
		var err error
		if o.client, err = strconv.Atoi(words[0]); err != nil || o.client < 1 || o.client > clients {
			return fmt.Errorf("%q: there is no such client", trimmed)
		}
		words = words[1:]
	}
	if len(words) != 1 || !slices.Contains(verbs[o.who], words[0]) {
		return fmt.Errorf("%q is no operation", trimmed)
	}
	o.verb = words[0]
	*s = append(*s, o)
	return nil
}

// newScript makes a script whose writes are still to be made up. It begins with
// the creation of some of the Things that they are about.
func newScript(rng *rand.Rand, things []string) script {
	first := operation{who: "client", client: 1, verb: "write", lines: []string{`create Stone/1 {}`, `create Other/x {"k":{"$int":"1"}}`}}
	for _, name := range things[:min(len(things), 2)] {
		first.lines = append(first.lines, fmt.Sprintf("create %s {}", ref{thing, name}))
	}
	s := script{first}
	for range 2 + rng.IntN(6) {
		s = append(s, operation{who: "client", client: 1, verb: "write", seed: rng.Uint64()})
	}
	s = append(s, operation{who: "all", verb: "sync"})
	offline := map[int]bool{}
	toggle := func(c int, off bool) {
		if offline[c] != off {
			offline[c] = off
			s = append(s, operation{who: "client", client: c, verb: map[bool]string{true: "offline", false: "online"}[off]})
		}
	}
	for range 1 + rng.IntN(3) {
		for c := 1; c <= clients; c++ {
			toggle(c, rng.IntN(10) < 7)
		}
		for range 3 + rng.IntN(8) {
			c := 1 + rng.IntN(clients)
			switch n := rng.IntN(40); {
			case n < 3:
				s = append(s, operation{who: "mongodb", verb: "write", seed: rng.Uint64()})
			case n < 6:
				s = append(s, operation{who: "client", client: c, verb: "sync"})
			case n < 8:
				toggle(c, !offline[c])
			case n < 9 && !offline[c]:
				s = append(s, operation{who: "client", client: c, verb: "upload"})
			case n < 10:
				s = append(s, operation{who: "client", client: c, verb: "reopen"})
			default:
				s = append(s, operation{who: "client", client: c, verb: "write", seed: rng.Uint64()})
			}
		}
		if rng.IntN(3) == 0 {
			for c := 1; c <= clients; c++ {
				toggle(c, false)
			}
			s = append(s, operation{who: "all", verb: "sync"})
		}
	}
	return s
}

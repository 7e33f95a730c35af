package metamorphic

import (
	"bufio"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// operation is one line of a script, with the lines below it that are indented.
// Before the first stand the number of devices and, where the script is about one
// of what devices get wrong, which: it is to be met.
//
//	devices 2
//	defect nested_move
//	device 1 subscribe {"Thing":"n > 2"}
//	device 1 write 120                      at 120 ms of its clock
//	  set Thing/1 n 5
//	device 1 offline
//	device 1 online
//	device 1 cut                            its connection breaks
//	device 1 cut down 500                   after 500 more bytes from the server
//	device 1 cut up 500                     after 500 more bytes to the server
//	device 1 cut half                       it is gone, which the node does not hear of
//	device 1 pause                          the app pauses its session
//	device 1 resume
//	device 1 expire                         if it is off line, it was for too long
//	device 1 upgrade                        the app is a newer version from now on
//	device 1 mute                           it hears nothing more until the next cut
//	device 1 restart                        its process ends and starts again
//	device 1 afresh                         another device takes its place
//	device 1 upload                         waits until all is acknowledged
//	device 1 download                       waits until all has come
//	device 1 download 2                     of the model: two entries of the history
//	device 1 node 2                         connects to that node from now on
//	devices meet                            all that are on line upload, then download
//	mongodb write                           in one transaction, if it is more than one
//	  update Thing/1 {"$set":{"n":5}}
//	mongodb edit 120                        of the model: edits, as devices make them
//	mongodb settle                          waits until all foreign writes are ingested
//	node 1 restart                          having told its devices
//	node 1 kill                             without a word; it starts again
//	history trim
type operation struct {
	who   string
	which int // device or node, from 1
	verb  string
	rest  string // arguments
	lines []string
}

var verbs = map[string][]string{
	"device": {"subscribe", "write", "offline", "online", "cut", "mute", "restart", "afresh", "upload", "download", "node",
		"pause", "resume", "expire", "upgrade"},
	"devices": {"meet"},
	"mongodb": {"write", "edit", "settle"},
	"node":    {"restart", "kill"},
	"history": {"trim"},
}

func numbered(who string) bool { return who == "device" || who == "node" }

func (o *operation) String() string {
	var b strings.Builder
	b.WriteString(o.who)
	if numbered(o.who) {
		fmt.Fprintf(&b, " %d", o.which)
	}
	b.WriteString(" " + o.verb)
	if o.rest != "" {
		b.WriteString(" " + o.rest)
	}
	for _, line := range o.lines {
		b.WriteString("\n  " + line)
	}
	return b.String()
}

// script is a list of operations, and what must be known to run them.
type script struct {
	devices    int
	defect     string // a transform.DefectKind, or empty
	operations []operation
}

func (s *script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "devices %d\n", s.devices)
	for i := range s.operations {
		b.WriteString(s.operations[i].String() + "\n")
	}
	return b.String()
}

// parseScript reads a script. Empty lines and those that begin with # count for
// nothing.
func parseScript(text string) (*script, error) {
	s := &script{}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 16<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if err := s.parseLine(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	if s.devices == 0 {
		return nil, fmt.Errorf("the script does not say how many devices there are")
	}
	return s, lines.Err()
}

func (s *script) parseLine(line string) error {
	trimmed := strings.TrimSpace(line)
	if trimmed == "" || strings.HasPrefix(trimmed, "#") {
		return nil
	}
	if line[0] == ' ' {
		if len(s.operations) == 0 {
			return fmt.Errorf("%q belongs to no operation", trimmed)
		}
		last := &s.operations[len(s.operations)-1]
		last.lines = append(last.lines, trimmed)
		return nil
	}
	who, rest, _ := strings.Cut(trimmed, " ")
	n, err := strconv.Atoi(rest)
	if who == "devices" && err == nil {
		s.devices = n
		return nil
	}
	if who == "defect" {
		s.defect = rest
		return nil
	}
	o := operation{who: who}
	if numbered(who) {
		var number string
		number, rest, _ = strings.Cut(rest, " ")
		if o.which, err = strconv.Atoi(number); err != nil {
			return err
		}
		if o.which < 1 || who == "device" && o.which > s.devices {
			return fmt.Errorf("there is no %s %d", who, o.which)
		}
	}
	o.verb, o.rest, _ = strings.Cut(rest, " ")
	if !slices.Contains(verbs[who], o.verb) {
		return fmt.Errorf("%q is no operation", trimmed)
	}
	s.operations = append(s.operations, o)
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package metamorphic

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/device"
)

// generator makes up lists of operations.
type generator struct {
	rng     *rand.Rand
	editor  *editor
	shadow  *device.File // what a device that is always on line would hold, about
	devices int
	clocks  []int64 // by device, in ms after the run began
	now     int64
	next    int64 // key of the next receipt
	big     bool  // there are large values, so that bootstraps take several messages
}

// generate makes up a script of n operations.
func generate(rng *rand.Rand, n int, wild bool) (*script, error) {
	g := &generator{rng: rng, editor: newEditor(rng, wild), devices: 2 + rng.IntN(4), next: 1, big: rng.IntN(8) == 0}
	g.clocks = make([]int64, g.devices)
	var err error
	g.shadow, err = device.NewFile(device.Config{Schema: appSchema, Partition: `"shadow"`}, device.Options{})
	if err != nil {
		return nil, err
	}
	s := &script{devices: g.devices}
	for d := range g.devices {
		s.operations = append(s.operations, g.subscribe(d+1, rng.IntN(3) > 0))
	}
	if rng.IntN(4) > 0 {
		s.operations = append(s.operations, g.population(), meeting)
	}
	for len(s.operations) < n {
		if rng.IntN(12) == 0 {
			s.operations = append(s.operations, g.spell()...)
		} else {
			s.operations = append(s.operations, g.operation())
		}
	}
	return s, nil
}

// population creates all objects.
func (g *generator) population() operation {
	o := operation{who: "device", which: 1, verb: "write", rest: "0"}
	var edits []edit
	for k := range thingKeys {
		edits = append(edits, edit{verb: "create", ref: changeset.ObjectRef{Class: thing, Key: changeset.IntKey(int64(1 + k))}})
	}
	for _, k := range otherKeys {
		edits = append(edits, edit{verb: "create", ref: changeset.ObjectRef{Class: other, Key: changeset.StringKey(k)}})
	}
	for range g.rng.IntN(8) {
		edits = append(edits, g.editor.edit(g.shadow))
	}
	for _, e := range edits {
		g.imagine(&e)
		o.lines = append(o.lines, e.String())
	}
	return o
}

// meeting brings all devices that are on line together.
var meeting = operation{who: "devices", verb: "meet"}

// spell has several devices off line at a time, so that what they write is
// concurrent.
func (g *generator) spell() []operation {
	out := []operation{meeting}
	away := g.rng.Perm(g.devices)[:2+g.rng.IntN(g.devices-1)]
	for _, d := range away {
		out = append(out, operation{who: "device", which: d + 1, verb: "offline"})
	}
	for range 3 + g.rng.IntN(8) {
		if g.rng.IntN(6) == 0 {
			out = append(out, g.foreign())
		} else {
			out = append(out, g.write(1+pick(g.rng, away...)))
		}
	}
	g.rng.Shuffle(len(away), func(i, j int) { away[i], away[j] = away[j], away[i] })
	for _, d := range away {
		out = append(out, operation{who: "device", which: d + 1, verb: "online"})
		if g.rng.IntN(3) == 0 {
			out = append(out, operation{who: "device", which: d + 1, verb: "upload"})
		}
	}
	return out
}

func (g *generator) operation() operation {
	d := 1 + g.rng.IntN(g.devices)
	on := func(verb, rest string) operation { return operation{who: "device", which: d, verb: verb, rest: rest} }
	switch p := g.rng.IntN(100); {
	case p < 49:
		return g.write(d)
	case p < 62:
		return g.foreign()
	case p < 66:
		return on("upload", "")
	case p < 69:
		return on("download", "")
	case p < 72:
		return meeting
	case p < 75:
		return g.subscribe(d, false)
	case p < 78:
		return on("offline", "")
	case p < 83:
		return on("online", "")
	case p < 84:
		return on("pause", "")
	case p < 86:
		return on("resume", "")
	case p < 90:
		return on("cut", pick(g.rng, "", "", "half", fmt.Sprintf("%s %d", pick(g.rng, "down", "up"), 1+g.rng.IntN(pick(g.rng, 100, 1000, 10000, 2_000_000)))))
	case p < 91:
		return on("mute", "")
	case p < 92:
		return on("restart", "")
	case p < 93:
		return on("node", fmt.Sprint(1+g.rng.IntN(2)))
	case p < 94:
		return operation{who: "mongodb", verb: "settle"}
	case p < 95:
		return operation{who: "history", verb: "trim"}
	case p < 97:
		return operation{who: "node", which: 1 + g.rng.IntN(2), verb: pick(g.rng, "restart", "kill")}
	case p < 98:
		return on(pick(g.rng, "expire", "upgrade", "upgrade", "afresh"), "")
	case p < 99:
		return on("subscribe", `{"Thing":"nosuch == 1"}`)
	}
	return g.subscribe(d, true)
}

// subscribe makes a subscription set: everything, or a random one.
func (g *generator) subscribe(d int, all bool) operation {
	rest := `{"Thing":"TRUEPREDICATE","Other":"TRUEPREDICATE","Receipt":"TRUEPREDICATE"}`
	if !all {
		var parts []string
		if g.rng.IntN(6) > 0 {
			parts = append(parts, fmt.Sprintf(`"Thing":"%s"`, pick(g.rng, thingFilter...)))
		}
		if g.rng.IntN(3) > 0 {
			parts = append(parts, fmt.Sprintf(`"Other":"%s"`, pick(g.rng, otherFilter...)))
		}
		if g.rng.IntN(2) > 0 {
			parts = append(parts, `"Receipt":"TRUEPREDICATE"`)
		}
		rest = "{" + strings.Join(parts, ",") + "}"
	}
	return operation{who: "device", which: d, verb: "subscribe", rest: rest}
}

// write makes a transaction of a device's. Clocks differ and tie; in lists with
// what devices get wrong they also go back.
func (g *generator) write(d int) operation { return g.writeOn(d, g.shadow) }

// tick is a time of a device's clock; 0 stands for MongoDB's.
func (g *generator) tick(d int) int64 {
	g.now += int64(g.rng.IntN(2) * g.rng.IntN(20))
	if d == 0 {
		return g.now
	}
	at := g.now - int64(g.rng.IntN(5))
	if !g.editor.wild || g.rng.IntN(4) > 0 {
		at = max(at, g.clocks[d-1])
	}
	g.clocks[d-1] = at
	return at
}

// writeOn is write, having looked at a file.
func (g *generator) writeOn(d int, f *device.File) operation {
	o := operation{who: "device", which: d, verb: "write", rest: fmt.Sprint(g.tick(d))}
	for _, e := range g.editor.edits(f) {
		if f == g.shadow {
			g.imagine(&e)
		}
		o.lines = append(o.lines, e.String())
	}
	if g.big && g.rng.IntN(4) == 0 {
		o.lines = append(o.lines, fmt.Sprintf("fill Thing/%d bin %d", 1+g.rng.IntN(g.editor.keys), 100_000+g.rng.IntN(500_000)))
	}
	switch g.rng.IntN(6) {
	case 0:
		o.lines = append(o.lines, fmt.Sprintf("add Tally/0 devices %d", 1+g.rng.IntN(9)))
	case 1:
		o.lines = append(o.lines, fmt.Sprintf("create Receipt/%d", g.next))
		g.next++
	}
	return o
}

// imagine performs an edit on the shadow.
func (g *generator) imagine(e *edit) {
	// What does not fit changes nothing there either.
	_, _ = g.shadow.Write(func(tx *device.Tx) error { return e.perform(tx) })
}

// foreign makes a write of the MongoDB writer.
func (g *generator) foreign() operation {
	o := operation{who: "mongodb", verb: "write"}
	n := 1
	if g.rng.IntN(4) == 0 {
		n = 2 + g.rng.IntN(2)
	}
	for range n {
		o.lines = append(o.lines, g.foreignWrite())
	}
	return o
}

func (g *generator) foreignWrite() string {
	switch g.rng.IntN(10) {
	case 0:
		return fmt.Sprintf(`update Tally/0 {"$inc":{"mongodb":{"$numberLong":"%d"}}}`, 1+g.rng.IntN(9))
	case 1:
		g.next++
		return fmt.Sprintf(`insert Receipt/%d {"v":{"$numberLong":"7"}}`, g.next-1)
	}
	key := 1 + g.rng.IntN(thingKeys)
	ref := fmt.Sprintf("Thing/%d", key)
	switch g.rng.IntN(10) {
	case 0:
		return "delete " + ref
	case 1:
		g.imagine(&edit{verb: "create", ref: changeset.ObjectRef{Class: thing, Key: changeset.IntKey(int64(key))}})
		return fmt.Sprintf("insert %s %s", ref, g.document())
	case 2:
		return fmt.Sprintf("replace %s %s", ref, g.document())
	case 3:
		if g.rng.IntN(4) == 0 {
			// It cannot be synced, until somebody mends it.
			return fmt.Sprintf(`update %s {"$set":{"n":"%s"}}`, ref, pick(g.rng, texts...))
		}
	}
	field := pick(g.rng, g.editor.fields...)
	make, known := foreignUpdates[field]
	if !known {
		field = pick(g.rng, "n", "t")
		make = foreignUpdates[field]
	}
	return fmt.Sprintf("update %s %s", ref, make(g.rng))
}

// required are the fields that a document of a Thing must have.
const required = `"n":{"$numberLong":"%d"},"b":true,"x":{"$numberDouble":"%d.5"}`

func (g *generator) document() string {
	n := g.rng.IntN(4)
	doc := fmt.Sprintf(required, n, n)
	for _, field := range g.editor.fields {
		if literal, known := foreignValues[field]; known && g.rng.IntN(2) == 0 && field != "n" && field != "b" && field != "x" {
			doc += fmt.Sprintf(`,"%s":%s`, field, literal(g.rng))
		}
	}
	return "{" + doc + "}"
}

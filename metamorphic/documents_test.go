package metamorphic

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// What the MongoDB writer writes into the fields of a Thing, in extended JSON:
// whole values, and updates of what is there. No document gets anything that
// cannot be synced.

func long(rng *rand.Rand) string { return fmt.Sprintf(`{"$numberLong":"%d"}`, rng.IntN(4)) }

func text(rng *rand.Rand) string { return `"` + pick(rng, texts...) + `"` }

func thingKey(rng *rand.Rand) string {
	return fmt.Sprintf(`{"$numberLong":"%d"}`, 1+rng.IntN(thingKeys))
}

// array makes an array of up to three elements.
func array(rng *rand.Rand, element func(*rand.Rand) string) string {
	items := make([]string, rng.IntN(4))
	for i := range items {
		items[i] = element(rng)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// distinct is array without repetitions.
func distinct(rng *rand.Rand, element func(*rand.Rand) string) string {
	var items []string
	seen := map[string]bool{}
	for range rng.IntN(4) {
		if item := element(rng); !seen[item] {
			items = append(items, item)
			seen[item] = true
		}
	}
	return "[" + strings.Join(items, ",") + "]"
}

func document(rng *rand.Rand, value func(*rand.Rand) string) string {
	var fields []string
	for _, key := range dictKeys {
		if rng.IntN(2) == 0 {
			fields = append(fields, fmt.Sprintf(`"%s":%s`, key, value(rng)))
		}
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func anything(rng *rand.Rand) string {
	switch rng.IntN(8) {
	case 0:
		return array(rng, scalarOfAnyType)
	case 1:
		return document(rng, scalarOfAnyType)
	case 2:
		return array(rng, func(rng *rand.Rand) string { return document(rng, scalarOfAnyType) })
	}
	return scalarOfAnyType(rng)
}

func scalarOfAnyType(rng *rand.Rand) string {
	return pick(rng, "null", "true", long(rng), text(rng), `{"$numberDouble":"2.5"}`)
}

func partDocument(rng *rand.Rand) string {
	return fmt.Sprintf(`{"a":%s,"t":%s,"l":%s,"m":%s}`, long(rng), text(rng), array(rng, long), scalarOfAnyType(rng))
}

// foreignValues makes values of fields.
var foreignValues = map[string]func(*rand.Rand) string{
	"n": long, "t": text, "c": long, "m": anything,
	"b":   func(rng *rand.Rand) string { return pick(rng, "true", "false") },
	"x":   func(rng *rand.Rand) string { return fmt.Sprintf(`{"$numberDouble":"%d.5"}`, rng.IntN(4)) },
	"f":   func(rng *rand.Rand) string { return fmt.Sprintf(`{"$numberDouble":"%d.5"}`, rng.IntN(4)) },
	"dec": func(rng *rand.Rand) string { return fmt.Sprintf(`{"$numberDecimal":"%d.50"}`, rng.IntN(4)) },
	"ts": func(rng *rand.Rand) string {
		return fmt.Sprintf(`{"$date":{"$numberLong":"%d"}}`, 1700000000000+rng.IntN(2))
	},
	"one": thingKey, "far": func(rng *rand.Rand) string { return `"` + pick(rng, otherKeys...) + `"` },
	"e": partDocument,
	"l": func(rng *rand.Rand) string { return array(rng, long) }, "ln": func(rng *rand.Rand) string { return array(rng, text) },
	"lm": func(rng *rand.Rand) string { return array(rng, anything) }, "ll": func(rng *rand.Rand) string { return array(rng, thingKey) },
	"le": func(rng *rand.Rand) string { return array(rng, partDocument) },
	"s":  func(rng *rand.Rand) string { return distinct(rng, long) }, "sn": func(rng *rand.Rand) string { return distinct(rng, text) },
	"sm": func(rng *rand.Rand) string { return distinct(rng, text) },
	"sl": func(rng *rand.Rand) string {
		return distinct(rng, func(rng *rand.Rand) string { return `"` + pick(rng, otherKeys...) + `"` })
	},
	"d": func(rng *rand.Rand) string { return document(rng, long) }, "ds": func(rng *rand.Rand) string { return document(rng, text) },
	"dl": func(rng *rand.Rand) string { return document(rng, thingKey) }, "dm": func(rng *rand.Rand) string { return document(rng, anything) },
	"de": func(rng *rand.Rand) string { return document(rng, partDocument) },
}

// foreignUpdates makes updates of fields.
var foreignUpdates = func() map[string]func(*rand.Rand) string {
	out := map[string]func(*rand.Rand) string{}
	for field, value := range foreignValues {
		out[field] = func(rng *rand.Rand) string {
			if rng.IntN(8) == 0 && field != "n" && field != "b" && field != "x" {
				return fmt.Sprintf(`{"$unset":{"%s":""}}`, field)
			}
			if special := specialUpdates[field]; special != nil && rng.IntN(3) > 0 {
				return special(rng)
			}
			return fmt.Sprintf(`{"$set":{"%s":%s}}`, field, value(rng))
		}
	}
	return out
}()

// listUpdate updates a list in place.
func listUpdate(field string, element func(*rand.Rand) string) func(*rand.Rand) string {
	return func(rng *rand.Rand) string {
		switch i := rng.IntN(3); rng.IntN(5) {
		case 0:
			return fmt.Sprintf(`{"$push":{"%s":%s}}`, field, element(rng))
		case 1:
			return fmt.Sprintf(`{"$push":{"%s":{"$each":[%s],"$position":%d}}}`, field, element(rng), i)
		case 2:
			return fmt.Sprintf(`{"$set":{"%s.%d":%s}} %s.%d`, field, i, element(rng), field, i)
		case 3:
			return fmt.Sprintf(`{"$pop":{"%s":-1}}`, field)
		}
		return fmt.Sprintf(`{"$pull":{"%s":%s}}`, field, element(rng))
	}
}

// setUpdate updates an array that is a set.
func setUpdate(field string, element func(*rand.Rand) string) func(*rand.Rand) string {
	return func(rng *rand.Rand) string {
		return fmt.Sprintf(`{"%s":{"%s":%s}}`, pick(rng, "$addToSet", "$pull"), field, element(rng))
	}
}

// entryUpdate updates a document that is a dictionary.
func entryUpdate(field string, element func(*rand.Rand) string) func(*rand.Rand) string {
	return func(rng *rand.Rand) string {
		at := field + "." + pick(rng, dictKeys...)
		if rng.IntN(3) == 0 {
			return fmt.Sprintf(`{"$unset":{"%s":""}}`, at)
		}
		return fmt.Sprintf(`{"$set":{"%s":%s}}`, at, element(rng))
	}
}

var specialUpdates = map[string]func(*rand.Rand) string{
	"n": func(rng *rand.Rand) string { return fmt.Sprintf(`{"$inc":{"n":%s}}`, long(rng)) },
	"e": func(rng *rand.Rand) string { return fmt.Sprintf(`{"$set":{"e.a":%s}} e.a`, long(rng)) },
	"l": listUpdate("l", long), "ln": listUpdate("ln", text), "lm": listUpdate("lm", anything), "ll": listUpdate("ll", thingKey),
	"le": func(rng *rand.Rand) string {
		if i := rng.IntN(3); rng.IntN(2) == 0 {
			return fmt.Sprintf(`{"$set":{"le.%d.a":%s}} le.%d.a`, i, long(rng), i)
		}
		return listUpdate("le", partDocument)(rng)
	},
	"s": setUpdate("s", long), "sn": setUpdate("sn", text), "sm": setUpdate("sm", text),
	"d": entryUpdate("d", long), "ds": entryUpdate("ds", text), "dl": entryUpdate("dl", thingKey), "dm": entryUpdate("dm", anything),
}

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-sync/isthmus/history"
)

// holdState says what a held class waits for, and what its operator can do.
func holdState(h history.Hold) string {
	switch {
	case h.Settling:
		return "it is being compared with its collection, and released after that"
	case h.Accepted:
		return "that its objects may be erased is accepted; the node that reads the change stream compares it next"
	case h.Asks:
		return fmt.Sprintf("most of its objects have no document any more: restore the collection, or say that this is meant by: bridge resync %s --accept-erase", h.Class)
	}
	return "its collection is looked at when the grace is over (sync.guard_grace): a restore may be on its way"
}

// printHold says that a class is held.
func printHold(w io.Writer, h history.Hold) error {
	_, err := fmt.Fprintf(w, "%s is held since %s: %s.\n    Devices keep its objects, their uploads to it wait.\n    %s.\n",
		h.Class, h.Since.Local().Format(time.DateTime), h.Reason, upperFirst(holdState(h)))
	return err
}

// sortedHolds are the holds by class.
func sortedHolds(holds map[string]history.Hold) []history.Hold {
	var out []history.Hold
	for _, name := range slices.Sorted(maps.Keys(holds)) {
		out = append(out, holds[name])
	}
	return out
}

func upperFirst(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/translator"
)

// historyWindow is how many entries are read at a time, from the newest back.
const historyWindow = 500

func newHistory() *cobra.Command {
	var f historyFilter
	var key string
	n := 20
	c := &cobra.Command{
		Use:   "history",
		Short: "Print the newest changesets of the history",
		Long: "history prints the newest changesets, the newest last: version, time by the author's\n" +
			"clock, author, and the instructions as they were merged, one a line.",
		Args: exactly(0),
	}
	c.Flags().StringVar(&f.class, "class", "", "only what is about this class")
	c.Flags().StringVar(&key, "key", "", "only what is about the object of --class with this primary key")
	c.Flags().IntVarP(&n, "number", "n", n, "number of changesets")
	return newDeploymentCommand(c, func(c *cobra.Command, g *guest, _ []string) error {
		if key != "" && f.class == "" {
			return usageError{fmt.Errorf("--key goes with --class")}
		}
		if f.class != "" {
			class, err := g.class(f.class)
			if err != nil {
				return err
			}
			f.class = class.Name
			if key != "" {
				k, err := translator.ParseKey(class, key)
				if err != nil {
					return err
				}
				f.key = &k
			}
		}
		entries, err := newest(c.Context(), g.file, n, f.matches)
		if err != nil {
			return err
		}
		return printHistory(c.OutOrStdout(), entries, f)
	})
}

// historyFilter chooses entries and their instructions; the zero value chooses all.
type historyFilter struct {
	class string
	key   *changeset.Key
}

// about reports whether an object is chosen.
func (f historyFilter) about(ref changeset.ObjectRef) bool {
	return (f.class == "" || ref.Class == f.class) && (f.key == nil || ref.Key == *f.key)
}

// chosen are the instructions that are.
func (f historyFilter) chosen(cs changeset.Changeset) changeset.Changeset {
	var out changeset.Changeset
	for i := range cs {
		in := &cs[i]
		ofSchema := in.Op.IsSchema() && f.key == nil && (f.class == "" || in.Class == f.class)
		if ofSchema || !in.Op.IsSchema() && f.about(in.Object()) {
			out = append(out, *in)
		}
	}
	return out
}

func (f historyFilter) matches(e *history.Entry) bool {
	if f.class == "" {
		return true
	}
	return len(f.chosen(e.Changeset)) > 0 || slices.ContainsFunc(e.Objects, func(t history.Touched) bool { return f.about(t.Ref) })
}

// newest returns the newest n entries that match, in order.
func newest(ctx context.Context, f *history.File, n int, matches func(*history.Entry) bool) ([]*history.Entry, error) {
	head, _ := f.Head()
	var out []*history.Entry
	for top := head; top > 0 && len(out) < n; {
		entries, err := between(ctx, f, top-min(top, historyWindow), top)
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 || entries[0].Version > top {
			break // trimmed
		}
		for _, e := range slices.Backward(entries) {
			if e.Version <= top && len(out) < n && matches(e) {
				out = append(out, e)
			}
		}
		top = entries[0].Version - 1
	}
	slices.Reverse(out)
	return out, nil
}

// between returns the entries after one version, up to another.
func between(ctx context.Context, f *history.File, after, to uint64) ([]*history.Entry, error) {
	var out []*history.Entry
	for after < to {
		entries, err := f.Entries(ctx, after, int(to-after))
		if err != nil || len(entries) == 0 {
			return out, err
		}
		out = append(out, entries...)
		after = entries[len(entries)-1].Version
	}
	return out, nil
}

func printHistory(w io.Writer, entries []*history.Entry, f historyFilter) error {
	for _, e := range entries {
		if err := printEntry(w, e, f); err != nil {
			return err
		}
	}
	var err error
	switch {
	case len(entries) > 0:
	case f == historyFilter{}:
		_, err = fmt.Fprintln(w, "The history is empty.")
	default:
		_, err = fmt.Fprintln(w, "There is nothing of that in the history.")
	}
	return err
}

func printEntry(w io.Writer, e *history.Entry, f historyFilter) error {
	author := "MongoDB"
	if e.Origin != history.ServerIdent {
		author = fmt.Sprintf("device %d, user %s, client version %d", e.Origin, e.User, e.ClientVersion)
	}
	at := history.TimeOf(e.Timestamp).UTC()
	var b bytes.Buffer
	fmt.Fprintf(&b, "version %d  %s  %s\n", e.Version, at.Format("2006-01-02 15:04:05.000Z"), author)
	var text bytes.Buffer
	if err := changeset.Print(&text, f.chosen(e.Changeset)); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		b.WriteString("    " + line)
	}
	for i := range e.Objects {
		if t := &e.Objects[i]; t.Refused != "" && f.about(t.Ref) {
			fmt.Fprintf(&b, "    refused %v: %s\n", t.Ref, oneLine(t.Refused))
		}
	}
	if len(e.Changeset) == 0 && e.Schema {
		b.WriteString("    queryable fields\n")
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

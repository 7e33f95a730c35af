package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/schema"
)

func newUnsynced() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "unsynced [CLASS]",
		Short: "List the documents that can't be synced, and why",
		Long: "unsynced lists the documents that do not fit their class: where, what was expected and\n" +
			"what is there. They stay out of sync until they, or the schema, are changed to fit; then\n" +
			"they are synced without further ado. Devices keep an object as it was before its document\n" +
			"was frozen; one that never fitted they do not have.",
		Args: atMost(1),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return newDeploymentCommand(c, func(c *cobra.Command, g *guest, args []string) error {
		docs, err := g.file.ListUnsynced(c.Context())
		if err != nil {
			return err
		}
		if len(args) > 0 {
			if docs, err = g.ofClass(docs, args[0]); err != nil {
				return err
			}
		}
		if asJSON {
			return unsyncedJSON(c.OutOrStdout(), docs)
		}
		return unsyncedTable(c.OutOrStdout(), g.file.Schema(), docs)
	})
}

// ofClass keeps the documents of one class.
func (g *guest) ofClass(docs []history.UnsyncedDocument, name string) ([]history.UnsyncedDocument, error) {
	c, err := g.class(name)
	if err != nil {
		return nil, err
	}
	var out []history.UnsyncedDocument
	for _, d := range docs {
		if d.Class == c.Name {
			out = append(out, d)
		}
	}
	return out, nil
}

func unsyncedTable(w io.Writer, s *schema.Schema, docs []history.UnsyncedDocument) error {
	if len(docs) == 0 {
		_, err := fmt.Fprintln(w, "Every document is in sync.")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CLASS\tCOLLECTION\tKEY\tPATH\tEXPECTED\tFOUND\tSINCE\tDEVICES\tREASON")
	for _, d := range docs {
		devices := "lack it"
		if d.Frozen {
			devices = "keep it as it was"
		}
		row := []string{d.Class, d.Collection, idText(s.Class(d.Class), d.ID), d.Path, d.Expected, d.Found,
			d.Since.Local().Format(time.DateTime), devices, moreThanTypes(d)}
		for i, cell := range row {
			row[i] = oneLine(cell)
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s can't be synced.\n", counted(len(docs), "document"))
	return err
}

// moreThanTypes is the part of a reason that the other columns do not tell.
func moreThanTypes(d history.UnsyncedDocument) string {
	types := fmt.Sprintf("expected %s, found %s", d.Expected, d.Found)
	_, more, found := strings.Cut(d.Reason, types)
	if !found {
		return d.Reason
	}
	return strings.TrimPrefix(more, ": ")
}

// oneLine keeps what documents hold from breaking a table, or a terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '·'
		}
		return r
	}, text)
}

// counted is a number of things: 1 document, 2 documents.
func counted(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "s"):
		return fmt.Sprintf("%d %ses", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// unsyncedRow is a document in JSON.
type unsyncedRow struct {
	Class      string          `json:"class"`
	Collection string          `json:"collection"`
	ID         json.RawMessage `json:"id"` // extended JSON
	Frozen     bool            `json:"frozen"`
	Path       string          `json:"path"`
	Expected   string          `json:"expected"`
	Found      string          `json:"found"`
	Reason     string          `json:"reason"`
	Since      time.Time       `json:"since"`
}

func unsyncedJSON(w io.Writer, docs []history.UnsyncedDocument) error {
	rows := []unsyncedRow{}
	for _, d := range docs {
		rows = append(rows, unsyncedRow{d.Class, d.Collection, json.RawMessage(d.ID.String()), d.Frozen,
			d.Path, d.Expected, d.Found, d.Reason, d.Since.UTC()})
	}
	return printJSON(w, rows)
}

func printJSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-sync/isthmus/history"
	"github.com/isthmus-sync/isthmus/translator"
)

func newVerify() *cobra.Command {
	var asJSON, repair bool
	var patience time.Duration
	c := &cobra.Command{
		Use:   "verify",
		Short: "Prove that documents, object states and history agree",
		Long: "verify compares every document with the state of its object, the states with what a replay\n" +
			"of the history gives (as long as none of it was trimmed), and what queries find the states\n" +
			"by with their objects: a range of keys at a time, each as of one time. A foreign write that is\n" +
			"on its way is waited for. A replay has all objects in memory.\n" +
			"Below a document that differs are the instructions that would make its object what the\n" +
			"document holds. The exit status is 1 when anything differs.\n\n" +
			"With --repair the documents are the truth: the objects that differ are made what their\n" +
			"documents hold, on all devices, and everything is verified again.",
		Args: exactly(0),
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	c.Flags().BoolVar(&repair, "repair", false, "make the objects that differ what their documents hold")
	c.Flags().DurationVar(&patience, "patience", translator.DefaultPatience, "how long a foreign write may be on its way")
	return newDeploymentCommand(c, func(c *cobra.Command, g *guest, _ []string) error {
		v := &translator.Verifier{DB: g.documents, File: g.file, Patience: patience}
		return verify(c.Context(), v, repair, report{c.OutOrStdout(), asJSON})
	})
}

// verify verifies, and repairs and verifies again when told to.
func verify(ctx context.Context, v *translator.Verifier, repair bool, out report) error {
	found, err := v.Verify(ctx)
	if err != nil {
		return err
	}
	var after *translator.Verification
	if !out.json {
		if err := out.verification(found); err != nil {
			return err
		}
	}
	if repair && len(found.Differences) > 0 {
		if err := v.Repair(ctx, found); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
		if after, err = v.Verify(ctx); err != nil {
			return err
		}
		if !out.json {
			fmt.Fprintln(out.w, "\nAfter the repair:")
			if err := out.verification(after); err != nil {
				return err
			}
			if err := out.leftOver(after, v.File.Holds()); err != nil {
				return err
			}
		}
	}
	if out.json {
		if err := out.verifications(found, after); err != nil {
			return err
		}
	}
	if after != nil {
		found = after
	}
	if len(found.Differences) > 0 {
		return errReported
	}
	return nil
}

// report prints what was found.
type report struct {
	w    io.Writer
	json bool
}

func (r report) verification(v *translator.Verification) error {
	var b strings.Builder
	for _, d := range v.Differences {
		subject := "history"
		if d.Ref.Class != "" {
			subject = d.Ref.Class + " " + keyText(d.Ref.Key)
		}
		fmt.Fprintf(&b, "%s: %s\n", oneLine(subject), oneLine(d.What))
		for _, change := range d.Changes {
			fmt.Fprintf(&b, "    %s\n", oneLine(change))
		}
	}
	if len(v.Differences) > 0 {
		fmt.Fprintf(&b, "\n%s", counted(len(v.Differences), "difference"))
	} else {
		b.WriteString("Documents, object states and history agree")
	}
	fmt.Fprintf(&b, " at version %d: %s", v.Version, counted(v.Objects, "object"))
	if v.Frozen > 0 {
		fmt.Fprintf(&b, ", and %s that can't be synced (see bridge unsynced)", counted(v.Frozen, "document"))
	}
	b.WriteString(".\n")
	if !v.Replayed {
		b.WriteString("The history was not replayed: its beginning is trimmed.\n")
	}
	_, err := io.WriteString(r.w, b.String())
	return err
}

// leftOver says why a repair left differences.
func (r report) leftOver(v *translator.Verification, holds map[string]history.Hold) error {
	if len(v.Differences) == 0 {
		return nil
	}
	told := map[string]bool{}
	other := false
	for _, d := range v.Differences {
		h, held := holds[d.Ref.Class]
		if !held {
			other = true
		} else if !told[h.Class] {
			told[h.Class] = true
			if err := printHold(r.w, h); err != nil {
				return err
			}
		}
	}
	if !other {
		return nil
	}
	_, err := fmt.Fprint(r.w, "A repair goes by the documents. What is left is in the bridge's own database: restore that\n"+
		"from a backup of the same time as the documents.\n")
	return err
}

// verificationJSON is a Verification in JSON.
type verificationJSON struct {
	Version     uint64           `json:"version"`
	Objects     int              `json:"objects"`
	Frozen      int              `json:"frozen"`
	Replayed    bool             `json:"replayed"`
	Differences []differenceJSON `json:"differences"`
	// AfterRepair is what was found after a repair; absent if there was none.
	AfterRepair *verificationJSON `json:"after_repair,omitempty"`
}

type differenceJSON struct {
	Class string `json:"class,omitempty"`
	Key   string `json:"key,omitempty"`
	What  string `json:"what"`
	// Changes would make the object what the document holds.
	Changes []string `json:"changes,omitempty"`
}

func (r report) verifications(found, after *translator.Verification) error {
	out := toJSON(found)
	if after != nil {
		out.AfterRepair = toJSON(after)
	}
	return printJSON(r.w, out)
}

func toJSON(v *translator.Verification) *verificationJSON {
	out := &verificationJSON{Version: v.Version, Objects: v.Objects, Frozen: v.Frozen, Replayed: v.Replayed, Differences: []differenceJSON{}}
	for _, d := range v.Differences {
		row := differenceJSON{Class: d.Ref.Class, What: d.What, Changes: d.Changes}
		if d.Ref.Class != "" {
			row.Key = keyText(d.Ref.Key)
		}
		out.Differences = append(out.Differences, row)
	}
	return out
}

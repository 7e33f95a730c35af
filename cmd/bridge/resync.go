package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-sync/isthmus/translator"
)

// erasePoll is how often it is looked how far an erasure has come.
const erasePoll = 500 * time.Millisecond

func newResync() *cobra.Command {
	var acceptErase bool
	c := &cobra.Command{
		Use:   "resync [CLASS [KEY]]",
		Short: "Compare documents with what devices have, and mend what differs",
		Long: "resync looks at every document, of all classes, of one, or at one document, and makes the\n" +
			"objects that differ what their documents hold, on all devices. The bridge does so by itself\n" +
			"whenever it has to; nothing is lost by doing it once more.\n\n" +
			"A class whose collection was dropped or emptied is held: devices keep its objects, and what\n" +
			"they upload to it waits. resync says which classes are held, and why. Restore the\n" +
			"collection, and the class is released; or, if it is meant to be empty, say so with\n" +
			"--accept-erase, and its objects are erased from every device.\n\n" +
			"The exit status is 1 when a class is held.",
		Args: atMost(2),
	}
	c.Flags().BoolVar(&acceptErase, "accept-erase", false, "erase the objects of CLASS that have no document, even most of them")
	return newDeploymentCommand(c, func(c *cobra.Command, g *guest, args []string) error {
		if acceptErase && len(args) != 1 {
			return usageError{errors.New("--accept-erase goes with a CLASS, and no KEY")}
		}
		r := &resync{guest: g, out: c.OutOrStdout(), resyncer: &translator.Resyncer{DB: g.documents, File: g.file}}
		if len(args) == 0 {
			return r.compare(c.Context(), g.classes())
		}
		class, err := g.class(args[0])
		switch {
		case err != nil:
			return err
		case acceptErase:
			return r.acceptErase(c.Context(), class.Name)
		case len(args) == 2:
			return r.object(c.Context(), class.Name, args[1])
		}
		return r.compare(c.Context(), []string{class.Name})
	})
}

// resync is the command at work.
type resync struct {
	*guest
	out      io.Writer
	resyncer *translator.Resyncer
}

// compare compares classes, one after the other; one that is held keeps no other
// from it.
func (r *resync) compare(ctx context.Context, names []string) error {
	held := false
	for _, name := range names {
		before, looked := r.changed.Load(), int64(0)
		bar := newProgressBar(r.out)
		err := r.resyncer.Class(ctx, name, func(p translator.Progress) {
			looked = p.Looked
			bar.show(p.Class, p.Looked, p.Total)
		})
		bar.clear()
		switch hold := (*translator.HeldError)(nil); {
		case errors.As(err, &hold):
			held = true
			if err := r.printHeld(hold); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if err := r.summary(ctx, name, fmt.Sprintf("%s compared", counted(int(looked), "document")), r.changed.Load()-before); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		fmt.Fprintln(r.out, "There is no class yet.")
	}
	if held {
		return errReported
	}
	return nil
}

// object looks at one document.
func (r *resync) object(ctx context.Context, class, key string) error {
	before := r.changed.Load()
	err := r.resyncer.Object(ctx, class, key)
	var hold *translator.HeldError
	if errors.As(err, &hold) {
		return errors.Join(r.printHeld(hold), errReported)
	}
	if err != nil {
		return err
	}
	return r.summary(ctx, class, "looked at", r.changed.Load()-before)
}

// summary says what came of a comparison.
func (r *resync) summary(ctx context.Context, class, what string, changed int64) error {
	differed := "none differed"
	if changed > 0 {
		differed = counted(int(changed), "object") + " made what their documents hold"
		if changed == 1 {
			differed = "1 object made what its document holds"
		}
	}
	fmt.Fprintf(r.out, "%s: %s, %s", class, what, differed)
	unsynced, err := r.file.CountUnsynced(ctx)
	if err != nil {
		return err
	}
	if n := unsynced[class]; n > 0 {
		fmt.Fprintf(r.out, "; %s can't be synced (see bridge unsynced %s)", counted(int(n), "document"), class)
	}
	_, err = fmt.Fprintln(r.out, ".")
	return err
}

// printHeld says why a class can't be compared, and what to do.
func (r *resync) printHeld(e *translator.HeldError) error {
	if h, held := r.file.Holds()[e.Class]; held {
		return printHold(r.out, h)
	}
	_, err := fmt.Fprintf(r.out, "%s is not compared: %s.\n    %s.\n", e.Class, e.Reason, upperFirst(e.Hint()))
	return err
}

// acceptErase has the node that reads the change stream make a class what its
// collection holds, and waits for it.
func (r *resync) acceptErase(ctx context.Context, class string) error {
	before, err := r.file.CountStates(ctx, class)
	if err != nil {
		return err
	}
	reads, err := r.store.IngestHeld(ctx)
	if err != nil {
		return err
	}
	if !reads {
		fmt.Fprintf(r.out, "No bridge reads the change stream at the moment. The next one that runs compares %s;\n"+
			"this command waits for it, but need not.\n", class)
	}
	bar := newProgressBar(r.out)
	done := make(chan error, 1)
	go func() { done <- r.resyncer.AcceptErase(ctx, class) }()
	t := time.NewTicker(erasePoll)
	defer t.Stop()
	for waiting := true; waiting; {
		select {
		case err = <-done:
			waiting = false
		case <-t.C:
			// Should one of these fail, the next one may not.
			if h, held := r.file.Holds()[class]; held && !h.Accepted {
				// A node that reads only now of the drop holds the class anew.
				_ = r.file.AcceptErase(ctx, class)
			}
			if left, err := r.file.CountStates(ctx, class); err == nil {
				bar.show(class+" erased", before-left, before)
			}
		}
	}
	bar.clear()
	if err != nil {
		return err
	}
	left, err := r.file.CountStates(ctx, class)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(r.out, "%s is released: it had %s and has %d.\n", class, counted(int(before), "object"), left)
	return err
}

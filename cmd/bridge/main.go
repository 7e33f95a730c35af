// Command bridge is the sync server and its tools. Its files parse the command
// line, wire the packages together and wait; what is served and how is theirs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	exitFailure = 1 // it was tried and failed; standard error says why
	exitUsage   = 2 // the command line is wrong
)

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// errReported is a failure that the command has told already.
var errReported = errors.New("failed")

// execute runs a command line and returns the exit status.
func execute(args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ctx, stop := untilSignal(context.Background())
	defer stop()
	command, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errReported):
		return exitFailure
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "bridge: %v\nSee '%s --help'.\n", err, command.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(stderr, "bridge: %v\n", err)
	return exitFailure
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "bridge",
		Short: "A sync server for Realm apps, over MongoDB",
		Long: "bridge is a sync server: apps written with the Realm SDKs connect to it as they are,\n" +
			"and their data is mirrored into a MongoDB cluster.",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              unknownCommand,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newServe(), newDev(), newDemo(), newCheck(), newUnsynced(), newResync(), newVerify(), newSchemaCommand(), newHistory(), newChangeset(), newVersion())
	return root
}

// unknownCommand says which command was probably meant.
func unknownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %q?", err, near[0])
	}
	return usageError{err}
}

// exactly is cobra.ExactArgs with our exit status.
func exactly(n int) cobra.PositionalArgs { return usage(cobra.ExactArgs(n)) }

// atMost is cobra.MaximumNArgs with our exit status.
func atMost(n int) cobra.PositionalArgs { return usage(cobra.MaximumNArgs(n)) }

func usage(ok cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := ok(c, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

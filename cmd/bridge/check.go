package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/isthmus-sync/isthmus/config"
	"github.com/isthmus-sync/isthmus/schema"
)

// defaultConfig is the file that serve and check read unless told otherwise.
const defaultConfig = "bridge.yaml"

func newCheck() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with a configuration and how to mend it",
		Long: "check reads the configuration, the environment and the schema files that it names,\n" +
			"and prints every problem with its place. It connects to nothing. The exit status is 1\n" +
			"when there is a problem.",
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return check(c, path) },
	}
	c.Flags().StringVar(&path, "config", defaultConfig, "configuration file")
	return c
}

func check(c *cobra.Command, path string) error {
	out := c.OutOrStdout()
	cfg, err := config.Load(path)
	var wrong *config.Error
	if errors.As(err, &wrong) {
		fmt.Fprintln(out, wrong)
		return errReported
	}
	if err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(out, "warning:", w)
	}
	_, err = loadSchema(cfg.Schema.Files)
	var bad *schema.JSONError
	if errors.As(err, &bad) {
		for _, p := range bad.Problems {
			fmt.Fprintln(out, p)
		}
		return errReported
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s: ok\n", path)
	return err
}

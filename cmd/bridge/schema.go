package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

func newSchemaCommand() *cobra.Command {
	parent := &cobra.Command{
		Use:   "schema",
		Short: "Look at the schema",
		Args:  unknownCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var dir string
	c := &cobra.Command{
		Use:   "print [CLASS]",
		Short: "Print the schema in use as JSON Schema",
		Long: "print writes the classes in use, those learnt from devices in development mode included,\n" +
			"as JSON Schema, the form of App Services' exports. With --out each class becomes a file,\n" +
			"CLASS.json, which schema.files can name in production. What is in the folder under these\n" +
			"names is overwritten only with --force.",
		Args: atMost(1),
	}
	var force bool
	c.Flags().StringVar(&dir, "out", "", "folder to write a file for each class to")
	c.Flags().BoolVar(&force, "force", false, "overwrite files that are there")
	parent.AddCommand(newDeploymentCommand(c, func(c *cobra.Command, g *guest, args []string) error {
		if dir == "" {
			return g.printSchema(c, args)
		}
		return g.writeSchema(c, args, dir, force)
	}))
	return parent
}

// schemaFiles are the JSON schemas of the class named, or of all, with the names
// of the classes.
func (g *guest) schemaFiles(args []string) (classes []string, texts [][]byte, err error) {
	s := g.file.Schema()
	if len(args) > 0 {
		c, err := g.class(args[0])
		if err != nil {
			return nil, nil, err
		}
		classes = []string{c.Name}
	} else {
		classes = g.classes()
	}
	if len(classes) == 0 {
		return nil, nil, errors.New("there is no class yet: no device has brought one, and schema.files names none")
	}
	for _, name := range classes {
		text, err := s.MarshalJSONSchema(name, g.cfg.MongoDB.Database)
		if err != nil {
			return nil, nil, err
		}
		texts = append(texts, text)
	}
	return classes, texts, nil
}

func (g *guest) printSchema(c *cobra.Command, args []string) error {
	_, texts, err := g.schemaFiles(args)
	if err != nil {
		return err
	}
	for _, text := range texts {
		if _, err := c.OutOrStdout().Write(text); err != nil {
			return err
		}
	}
	return nil
}

func (g *guest) writeSchema(c *cobra.Command, args []string, dir string, force bool) error {
	classes, texts, err := g.schemaFiles(args)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("write schema: %w", err)
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !force {
		flags |= os.O_EXCL
	}
	for i, name := range classes {
		path := filepath.Join(dir, schemaFileName(name))
		if err := writeFile(path, flags, texts[i]); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("write schema: %s is there already; --force overwrites it", path)
		} else if err != nil {
			return fmt.Errorf("write schema: %w", err)
		}
		if _, err := fmt.Fprintln(c.OutOrStdout(), path); err != nil {
			return err
		}
	}
	return nil
}

// inFileNames escapes what leads out of a folder: names of classes are what devices
// make them.
var inFileNames = strings.NewReplacer("/", "%2F", `\`, "%5C", "%", "%25")

// schemaFileName is the name of a class's file. One that would mean something else
// where loadSchema reads it gets an underscore.
func schemaFileName(class string) string {
	name := inFileNames.Replace(class)
	if file := name + ".json"; file == exportedSchema || file == exportedRelationships || strings.HasSuffix(file, relationshipsSuffix) {
		name += "_"
	}
	return name + ".json"
}

func writeFile(path string, flags int, text []byte) error {
	f, err := os.OpenFile(path, flags, 0o666)
	if err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

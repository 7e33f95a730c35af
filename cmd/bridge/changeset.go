package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/isthmus-sync/isthmus/changeset"
)

// maxDump bounds what is read: a changeset is smaller than this.
const maxDump = 256 << 20

func newChangeset() *cobra.Command {
	parent := &cobra.Command{
		Use:   "changeset",
		Short: "Look at changesets",
		Args:  unknownCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	parent.AddCommand(&cobra.Command{
		Use:   "dump HEX|FILE|-",
		Short: "Print the instructions of a changeset",
		Long: "dump prints the instructions of a changeset, one a line. It takes the changeset's\n" +
			"bytes as hexadecimal digits, or a file (- is standard input) that holds either the\n" +
			"digits or the bytes themselves.",
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return dump(c, args[0]) },
	})
	return parent
}

func dump(c *cobra.Command, source string) error {
	data, err := changesetBytes(c.InOrStdin(), source)
	if err != nil {
		return err
	}
	decoded, err := changeset.Decode(data)
	if err != nil {
		return fmt.Errorf("decode changeset of %d bytes: %w", len(data), err)
	}
	return changeset.Print(c.OutOrStdout(), decoded)
}

// changesetBytes reads what dump was given.
func changesetBytes(stdin io.Reader, source string) ([]byte, error) {
	text, err := readSource(stdin, source)
	if errors.Is(err, fs.ErrNotExist) {
		data, hexErr := hexBytes([]byte(source))
		if hexErr != nil {
			return nil, fmt.Errorf("%q is neither a file nor hexadecimal digits", abridged(source))
		}
		return data, nil
	}
	if err != nil {
		return nil, err
	}
	if data, err := hexBytes(text); err == nil {
		return data, nil
	}
	return text, nil
}

func readSource(stdin io.Reader, source string) ([]byte, error) {
	if source != "-" {
		if len(source) > 4096 {
			return nil, fs.ErrNotExist // no file has so long a name
		}
		f, err := os.Open(source)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stdin = f
	}
	text, err := io.ReadAll(io.LimitReader(stdin, maxDump+1))
	if err != nil {
		return nil, fmt.Errorf("read changeset: %w", err)
	}
	if len(text) > maxDump {
		return nil, fmt.Errorf("read changeset: it has more than %d bytes", maxDump)
	}
	return text, nil
}

// hexBytes reads hexadecimal digits, with any space between them. A changeset's
// own bytes are never digits only: its first one says how a name is spelt.
func hexBytes(text []byte) ([]byte, error) {
	digits := bytes.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	return hex.DecodeString(strings.TrimPrefix(string(digits), "0x"))
}

// abridged keeps messages short.
func abridged(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong, where it is, and how to mend it.
type Problem struct {
	Place   Place
	Key     string // dotted path such as sync.mode; empty when it is about the whole file
	Message string
	Hint    string // how to mend it
}

// Place is where a setting was made: a position in the file, an environment
// variable, or a command-line flag. The zero value is nowhere in particular.
type Place struct {
	File         string
	Line, Column int    // from 1; 0 when it is about the file as a whole
	Env          string // the variable's name, instead of File
	Flag         string // the flag's name, instead of File
}

// String is file:line:column, as editors understand it, or names the variable
// or flag.
func (p Place) String() string {
	switch {
	case p.Env != "":
		return "environment variable " + p.Env
	case p.Flag != "":
		return "flag --" + p.Flag
	case p.File == "":
		return "configuration"
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// String is the place, the key, the message, and on a second line the hint.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Place.String())
	if p.Key != "" {
		b.WriteString(": " + p.Key)
	}
	b.WriteString(": " + p.Message)
	if p.Hint != "" {
		b.WriteString("\n    " + p.Hint)
	}
	return b.String()
}

// Error is everything that is wrong with a configuration, in the order of the
// file, then of the environment.
type Error struct{ Problems []Problem }

// Error is one problem after the other, each on lines of its own.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

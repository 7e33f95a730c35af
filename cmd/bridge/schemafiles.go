package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/isthmus-sync/isthmus/schema"
)

// Names of App Services' export, where each collection has a folder.
const (
	exportedSchema        = "schema.json"
	exportedRelationships = "relationships.json"
	relationshipsSuffix   = ".relationships.json"
)

// loadSchema reads the classes of the files; without files it returns nil. The
// relationships of schema.json are in relationships.json beside it, and its
// collection is what the folder is called; those of Task.json are in
// Task.relationships.json. The error may be a *schema.JSONError.
func loadSchema(files []string) (*schema.Schema, error) {
	var sources []schema.JSONFile
	for _, path := range files {
		name := filepath.Base(path)
		if name == exportedRelationships || strings.HasSuffix(name, relationshipsSuffix) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		source := schema.JSONFile{Name: path, Schema: text}
		beside := strings.TrimSuffix(path, filepath.Ext(path)) + relationshipsSuffix
		if name == exportedSchema {
			beside = filepath.Join(filepath.Dir(path), exportedRelationships)
			source.Collection = filepath.Base(filepath.Dir(path))
		}
		source.Relationships, err = os.ReadFile(beside)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read schema: %w", err)
		}
		sources = append(sources, source)
	}
	if len(sources) == 0 {
		return nil, nil
	}
	return schema.ParseJSON(sources...)
}

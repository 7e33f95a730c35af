package session

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

var errBadPartition = errors.New("not a partition value")

// partitionFile returns the name of the server file of a partition, given as
// Extended JSON. Texts of one value give one name.
func partitionFile(text string) (string, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", fmt.Errorf("%w: %w", errBadPartition, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", errBadPartition
	}
	const prefix = "partition/"
	switch v := v.(type) {
	case nil:
		return prefix + "null", nil
	case string:
		return prefix + "string/" + v, nil
	case json.Number:
		return integerPartition(prefix, string(v))
	case map[string]any:
		if len(v) != 1 {
			return "", errBadPartition
		}
		for kind, content := range v {
			return typedPartition(prefix, kind, content)
		}
	}
	return "", errBadPartition
}

// typedPartition takes {"$kind": content} apart.
func typedPartition(prefix, kind string, content any) (string, error) {
	if kind == "$binary" {
		m, ok := content.(map[string]any)
		encoded, okData := m["base64"].(string)
		subtype, okType := m["subType"].(string)
		if !ok || !okData || !okType || subtype != "04" && subtype != "4" {
			return "", errBadPartition
		}
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errBadPartition, err)
		}
		return bytesPartition(prefix+"uuid/", raw, 16)
	}
	text, ok := content.(string)
	if !ok {
		return "", errBadPartition
	}
	switch kind {
	case "$numberInt", "$numberLong":
		return integerPartition(prefix, text)
	case "$oid":
		raw, err := hex.DecodeString(text)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errBadPartition, err)
		}
		return bytesPartition(prefix+"objectId/", raw, 12)
	case "$uuid":
		raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
		if err != nil {
			return "", fmt.Errorf("%w: %w", errBadPartition, err)
		}
		return bytesPartition(prefix+"uuid/", raw, 16)
	}
	return "", errBadPartition
}

func integerPartition(prefix, text string) (string, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errBadPartition, err)
	}
	return prefix + "long/" + strconv.FormatInt(n, 10), nil
}

func bytesPartition(prefix string, raw []byte, size int) (string, error) {
	if len(raw) != size {
		return "", errBadPartition
	}
	return prefix + hex.EncodeToString(raw), nil
}

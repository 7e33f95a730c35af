package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

// Every metric, check and command is in docs/operations.md, and no other.
func TestManualOfOperations(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	cfg := testConfig(t, "manual-abcde")
	cfg.Redis.Embedded = true
	r := start(t, cfg)
	r.login(t) // what has labels is there once something was counted
	_, page := get(t, "http://"+r.addr+"/metrics")
	metrics := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (bridge_\w+) `).FindAllStringSubmatch(page, -1) {
		metrics[m[1]] = true
	}
	described := make(chan *prometheus.Desc, 100)
	figures{}.Describe(described)
	close(described)
	for d := range described {
		metrics[regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	wantSame(t, "metric", metrics, rows(manual, regexp.MustCompile("(?m)^\\| `(bridge_\\w+)` \\|")))

	checks := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^bridge_check_up\{check="(\w+)"\}`).FindAllStringSubmatch(page, -1) {
		checks[m[1]] = true
	}
	wantSame(t, "check", checks, rows(manual, regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (?:required|advisory) \\|")))

	commands := map[string]bool{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if !c.HasSubCommands() {
			commands[c.CommandPath()] = true
		}
	}
	walk(newRoot())
	wantSame(t, "command", commands, rows(manual, regexp.MustCompile("(?m)^\\| `(bridge [a-z ]*[a-z])")))
}

func rows(manual string, row *regexp.Regexp) map[string]bool {
	found := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(manual, -1) {
		found[strings.TrimSpace(m[1])] = true
	}
	return found
}

func wantSame(t *testing.T, what string, there, documented map[string]bool) {
	t.Helper()
	if len(there) == 0 {
		t.Errorf("there is no %s", what)
	}
	for name := range there {
		if !documented[name] {
			t.Errorf("%s %s is not in docs/operations.md", what, name)
		}
	}
	for name := range documented {
		if !there[name] {
			t.Errorf("docs/operations.md has %s %s, which does not exist", what, name)
		}
	}
}

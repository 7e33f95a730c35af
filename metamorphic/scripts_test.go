package metamorphic

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var timesFlag = flag.Int("times", 2, "configurations under which each script of testdata is run, besides the usual one")

// TestScripts replays what was found before: every script is a list of
// operations that once failed. One whose name begins with "wild" has pairs that
// devices get wrong.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("scripts: %d, %v", len(paths), err)
	}
	for i, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parseScript(string(text))
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(*seedFlag, uint64(i)))
			configurations := []configuration{usual}
			for range *timesFlag {
				configurations = append(configurations, randomConfiguration(rng))
			}
			for _, c := range configurations {
				out := once(t, s, c, strings.HasPrefix(name, "wild"))
				if out.failure != nil {
					t.Errorf("%v\n%v", c, out.failure)
				}
				if s.defect != "" && out.defects[s.defect] == 0 {
					t.Errorf("%v\nmet %v, want %s", c, out.defects, s.defect)
				}
			}
		})
	}
}

package schema

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
)

// TestScripts runs the scripts below testdata/scripts. Their commands take
// instructions in notation, one a line:
//
//	new         starts with an empty schema
//	apply       applies schema instructions: "added", "known", or the error
//	as-client   the same with ApplyAsClient
//	restricted  the refusal when development mode is off
//	print       prints the whole schema as instructions
//	check       checks object and path instructions; the class is P and the key 1 unless they say
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &Schema{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var b strings.Builder
			for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
				switch d.Cmd {
				case "new":
					s = &Schema{}
				case "apply", "as-client":
					in := parseInstruction(t, line)
					before := s.Clone()
					apply := s.Apply
					if d.Cmd == "as-client" {
						apply = s.ApplyAsClient
					}
					changed, err := apply(&in)
					switch {
					case err != nil:
						b.WriteString(err.Error())
						if changed || len(s.Diff(before)) > 0 {
							t.Errorf("%s: refused, but changed the schema", line)
						}
					case changed:
						b.WriteString("added")
					default:
						b.WriteString("known")
					}
					b.WriteString("\n")
				case "restricted":
					in := parseInstruction(t, line)
					b.WriteString(RestrictedChange(&in) + "\n")
				case "print":
					var out bytes.Buffer
					if err := changeset.Print(&out, s.Instructions()); err != nil {
						t.Fatal(err)
					}
					b.WriteString(out.String())
				case "check":
					in := parseInstruction(t, line)
					if err := s.Check(&in); err != nil {
						b.WriteString(strings.TrimPrefix(err.Error(), "bad instruction: ") + "\n")
					} else {
						b.WriteString("ok\n")
					}
				default:
					t.Fatalf("unknown command %s", d.Cmd)
				}
			}
			return b.String()
		})
	})
}

// parseInstruction reads an instruction; a path instruction without a class is about P[1].
func parseInstruction(t testing.TB, line string) changeset.Instruction {
	t.Helper()
	if !strings.Contains(line, `"class"`) {
		line = strings.Replace(line, "{", `{"class":"P","pk":1,`, 1)
	}
	in, err := notation.ParseInstruction([]byte(line))
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return in
}

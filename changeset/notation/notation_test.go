package notation_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/isthmus-sync/isthmus/changeset"
	"github.com/isthmus-sync/isthmus/changeset/notation"
)

// checkText parses a changeset and checks that writing it, and encoding it, keep
// all of it.
func checkText(t *testing.T, name string, data []byte) {
	t.Helper()
	c, err := notation.Parse(data)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	out, err := notation.Format(c)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if got, want := canonical(t, out), canonical(t, data); got != want {
		t.Errorf("%s:\n got %s\nwant %s", name, got, want)
	}
	again, err := changeset.Decode(changeset.Encode(c))
	if err != nil || !reflect.DeepEqual(again, c) {
		t.Errorf("%s: the encoding decodes to\n%v\nerror %v, want\n%v", name, again, err, c)
	}
}

// canonical sorts the fields of JSON objects.
func canonical(t *testing.T, data []byte) string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestConstructs(t *testing.T) {
	oid, uuid := `{"$oid":"0123456789abcdef01234567"}`, `{"$uuid":"00112233-4455-6677-8899-aabbccddeeff"}`
	ops := []string{
		`{"op":"AddTable","class":"T","pk":{"field":"_id","type":"string","nullable":true}}`,
		`{"op":"AddTable","class":"E","kind":"embedded"}`,
		`{"op":"AddTable","class":"A","kind":"asymmetric","pk":{"field":"_id","type":"objectid","nullable":false}}`,
		`{"op":"AddTable","class":"G","pk":{"field":"","type":"globalkey","nullable":false}}`,
		`{"op":"EraseTable","class":"T"}`,
		`{"op":"EraseColumn","class":"T","field":"x"}`,
		`{"op":"AddColumn","class":"T","field":"m","type":"mixed","nullable":true,"collection":"single"}`,
		`{"op":"AddColumn","class":"T","field":"d","type":"link","nullable":true,"collection":"dictionary","target":"E"}`,
		`{"op":"AddColumn","class":"T","field":"l","type":"link","nullable":false,"collection":"list","target":"T"}`,
		`{"op":"Clear","class":"T","pk":"a","path":["d"],"collection":"dictionary"}`,
		`{"op":"ArrayMove","class":"T","pk":"a","path":["l",3],"to":0,"prior_size":5}`,
		`{"op":"ArrayErase","class":"T","pk":"a","path":["l",3],"prior_size":5}`,
		`{"op":"AddInteger","class":"T","pk":"a","path":["m"],"value":-7}`,
		`{"op":"SetInsert","class":"T","pk":null,"path":["s"],"value":"x"}`,
		`{"op":"SetErase","class":"T","pk":null,"path":["s"],"value":{"$bin":"00ff"}}`,
	}
	for _, pk := range []string{"null", "0", "-5", "9223372036854775807", `"k"`, oid, uuid, `{"$gkey":[2,18446744073709551615]}`} {
		ops = append(ops,
			`{"op":"CreateObject","class":"T","pk":`+pk+`}`,
			`{"op":"EraseObject","class":"T","pk":`+pk+`}`)
	}
	for _, v := range []string{
		"null", "true", "false", "0", "-1", "1099511627776", `"h\u00e9<"`, `""`, `{"$bin":""}`, `{"$ts":[-1,-500]}`,
		`{"$ts":[0,0]}`, `{"$float":1.5}`, `{"$float":"NaN"}`, `{"$double":-2.25}`, `{"$double":"-Infinity"}`, `{"$double":-0.0}`,
		`{"$dec":"10.50"}`, `{"$dec":"-123456789012345678901234567890"}`, `{"$dec":"NaN"}`, `{"$dec":"1.5E+30"}`,
		`{"$decraw":[10384593717069655257060992658440191,-3,1]}`, `{"$decraw":[7,9696,0]}`,
		`{"$link":["T","z"]}`, `{"$link":["T",null]}`, oid, uuid, `{"$erased":true}`, `{"$new":"object"}`, `{"$new":"list"}`,
		`{"$new":"dictionary"}`,
	} {
		ops = append(ops,
			`{"op":"Update","class":"T","pk":1,"path":["m"],"value":`+v+`,"default":true}`,
			`{"op":"Update","class":"T","pk":1,"path":["m","k",300],"value":`+v+`,"prior_size":301}`,
			`{"op":"ArrayInsert","class":"T","pk":1,"path":["m",0],"value":`+v+`,"prior_size":0}`)
	}
	for _, op := range ops {
		checkText(t, op, []byte("["+op+"]"))
	}
	checkText(t, "all", []byte("["+strings.Join(ops, ",")+"]"))
	checkText(t, "none", []byte("[]"))
}

func TestScenarios(t *testing.T) {
	data, err := os.ReadFile("testdata/ot-scenarios.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Scenarios []struct {
			Name  string
			Steps []struct{ Ops json.RawMessage }
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range doc.Scenarios {
		for _, step := range s.Steps {
			if step.Ops != nil {
				checkText(t, s.Name, step.Ops)
				n++
			}
		}
	}
	if n < 250 {
		t.Errorf("only %d changesets in the scenarios", n)
	}
}

// Whatever a client sends can be written down and read back.
func TestClientChangesets(t *testing.T) {
	f, err := os.Open("../testdata/real-client-changesets.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<22)
	n := 0
	for lines.Scan() {
		var v struct {
			Hex string `json:"changeset_hex"`
		}
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		data, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		c, err := changeset.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		text, err := notation.Format(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := notation.Parse(text)
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%s\nread back as %v, error %v", text, again, err)
		}
		n++
	}
	if err := lines.Err(); err != nil || n < 250 {
		t.Errorf("%d lines, error %v", n, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		`{}`, `[{}]`, `[1]`, `[{"op":"Explode","class":"T"}]`, `[{"op":"EraseTable","class":"T","extra":1}]`,
		`[{"op":"AddTable","class":"T"}]`, `[{"op":"AddTable","class":"T","kind":"odd"}]`,
		`[{"op":"AddTable","class":"T","pk":{"field":"a","type":"odd"}}]`,
		`[{"op":"AddColumn","class":"T","field":"a","type":"odd"}]`, `[{"op":"AddColumn","class":"T","field":"a","type":"object"}]`,
		`[{"op":"AddColumn","class":"T","field":"a","type":"int","collection":"odd"}]`,
		`[{"op":"CreateObject","class":"T"}]`, `[{"op":"CreateObject","class":"T","pk":1.5}]`,
		`[{"op":"CreateObject","class":"T","pk":true}]`, `[{"op":"CreateObject","class":"T","pk":{"$oid":"00"}}]`,
		`[{"op":"CreateObject","class":"T","pk":{"$gkey":[1]}}]`, `[{"op":"CreateObject","class":"T","pk":{"$gkey":[1,-1]}}]`,
		`[{"op":"Update","class":"T","pk":1,"value":1}]`, `[{"op":"Update","class":"T","pk":1,"path":[0],"value":1}]`,
		`[{"op":"Update","class":"T","pk":1,"path":["a"]}]`, `[{"op":"Update","class":"T","pk":1,"path":["a",0],"value":1}]`,
		`[{"op":"Update","class":"T","pk":1,"path":["a",-1],"value":1,"prior_size":1}]`,
		`[{"op":"Update","class":"T","pk":1,"path":["a",null],"value":1}]`,
		`[{"op":"AddInteger","class":"T","pk":1,"path":["a"],"value":"1"}]`,
		`[{"op":"ArrayInsert","class":"T","pk":1,"path":["a"],"value":1,"prior_size":1}]`,
		`[{"op":"ArrayMove","class":"T","pk":1,"path":["a",0],"prior_size":1}]`,
		`[{"op":"Clear","class":"T","pk":1,"path":["a"]}]`,
	} {
		if c, err := notation.Parse([]byte(text)); !errors.Is(err, notation.ErrNotation) {
			t.Errorf("%s: read as %v, error %v", text, c, err)
		}
	}
	for _, text := range []string{
		`1 2`, `1.5`, `9223372036854775808`, `[]`, `{"$odd":1}`, `{"$ts":[1,2],"$oid":1}`, `{"$bin":"0"}`, `{"$bin":1}`,
		`{"$ts":[1]}`, `{"$ts":[1,4294967296]}`, `{"$float":"one"}`, `{"$double":true}`, `{"$dec":"one"}`, `{"$decraw":[1,2]}`,
		`{"$decraw":["1",2,3]}`, `{"$decraw":[-1,2,0]}`, `{"$link":["T"]}`, `{"$link":[1,2]}`, `{"$erased":false}`, `{"$new":"x"}`, ``,
	} {
		if v, err := notation.ParseValue([]byte(text)); !errors.Is(err, notation.ErrNotation) {
			t.Errorf("%s: read as %v, error %v", text, v, err)
		}
	}
}

func TestFormatRefusesBadText(t *testing.T) {
	bad := "\xff"
	for _, in := range []changeset.Instruction{
		{Op: changeset.OpEraseTable, Class: bad},
		{Op: changeset.OpEraseColumn, Class: "T", Field: bad},
		{Op: changeset.OpCreateObject, Class: "T", Key: changeset.StringKey(bad)},
		{Op: changeset.OpUpdate, Class: "T", Field: "a", Path: changeset.Path{{Name: bad}}},
		{Op: changeset.OpUpdate, Class: "T", Field: "a", Value: changeset.LinkValue(bad, changeset.NullKey)},
		{Op: changeset.OpUpdate, Class: "T", Field: "a", Value: changeset.StringValue(bad)},
	} {
		if text, err := notation.Format(changeset.Changeset{in}); !errors.Is(err, notation.ErrNotation) {
			t.Errorf("%v: written as %s, error %v", in, text, err)
		}
	}
}

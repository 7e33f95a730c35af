package changeset_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	. "github.com/isthmus-sync/isthmus/changeset"
)

// clientVector is a line of testdata/real-client-changesets.jsonl: the bytes
// that an unmodified client sent, and what an independent decoder saw in them.
type clientVector struct {
	ID           int              `json:"id"`
	Description  string           `json:"description"`
	Hex          *string          `json:"changeset_hex"`
	Instructions []map[string]any `json:"instructions"`
}

func clientVectors(t testing.TB) []clientVector {
	t.Helper()
	f, err := os.Open("testdata/real-client-changesets.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []clientVector
	d := json.NewDecoder(f)
	d.UseNumber()
	for d.More() {
		var v clientVector
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if v.Hex != nil { // some transactions made no upload
			out = append(out, v)
		}
	}
	if len(out) != 265 {
		t.Fatalf("%d client vectors, want 265", len(out))
	}
	return out
}

// mergeSide is what a line of testdata/ot-merge-vectors.jsonl.gz holds of one
// side's changesets, before or after the merge.
type mergeSide struct {
	ID    string
	Hex   []string
	Print [][]string
}

func mergeSides(t testing.TB) []mergeSide {
	t.Helper()
	f, err := os.Open("testdata/ot-merge-vectors.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []mergeSide
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<24)
	n := 0
	for lines.Scan() {
		var v map[string]json.RawMessage
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		for _, side := range []string{"our", "their", "our_transformed", "their_transformed"} {
			s := mergeSide{ID: string(v["id"]) + " " + side}
			hexField := side + "_changeset_hex"
			if strings.HasSuffix(side, "_transformed") {
				hexField = side + "_hex"
			}
			if raw, ok := v[hexField]; ok {
				unmarshal(t, raw, &s.Hex)
				unmarshal(t, v[side+"_print"], &s.Print)
				out = append(out, s)
			}
		}
		n++
	}
	if err := lines.Err(); err != nil || n != 500 {
		t.Fatalf("%d merge vectors, error %v; want 500", n, err)
	}
	return out
}

func unmarshal(t testing.TB, raw []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// workedExamples are the examples of rule 1.10, with the number of instructions.
var workedExamples = []struct {
	name, hex string
	want      []string
}{
	{"E1", "3f0001503f01035f69640000000101003f02016e3f03000600020100003f04017306000403010002000101040001010200" +
		"01ac02000400010104000302686900", []string{
		"AddTable P pk='_id' pktype=1 nullable=0 asymmetric=0",
		"AddColumn P.n type=1 nullable=0 coll=single",
		"AddColumn P.s type=3 nullable=1 coll=single",
		"CreateObject P[1]",
		"Update P[1].n = int:300",
		"Update P[1].s = str:'hi'",
	}},
	{"E2", "3f0001513f010179020003013f0201503f03026c6c3f0401780802010103010009000304000802010103010109000301010" +
		"902010103010100020a020101030100023f05016e05020101050040", []string{
		"CreateObject Q['y']",
		"ArrayInsert P[1].ll[0] = link:Q['x'] prior_size=0",
		"ArrayInsert P[1].ll[1] = link:Q['y'] prior_size=1",
		"ArrayMove P[1].ll[1] -> 0 prior_size=2",
		"ArrayErase P[1].ll[0] prior_size=2",
		"AddInteger P[1].n += -1",
	}},
	{"E3", "3f0001503f01016504000101010041003f0201453f03016104000101010140030105003f04026c6508000101040100410" +
		"03f05016c0800010104030040050001c54000", []string{
		"Update P[1].e = <embedded>",
		"Update P[1].e.'a' = int:5",
		"ArrayInsert P[1].le[0] = <embedded> prior_size=0",
		"ArrayInsert P[1].le[0].'l'[0] = int:-70 prior_size=0",
	}},
	{"E4", "3f0001503f01016d04000101010042003f02016b0400010101014002440008000101010240020003017a000800010101" +
		"0240020142013f030171040001010103400201400300000400010101024002000201020b0001010101400201", []string{
		"Update P[1].m = <dict>",
		"Update P[1].m.'k' = <list>",
		"ArrayInsert P[1].m.'k'[0] = str:'z' prior_size=0",
		"ArrayInsert P[1].m.'k'[1] = <dict> prior_size=1",
		"Update P[1].m.'k'[1].'q' = null",
		"Update P[1].m.'k'[0] = bool:true prior_size=2",
		"Clear P[1].m.'k' coll=list",
	}},
	{"E5", "3f0001503f0101643f02036f6e650400010101014002010100040001010101400243003f0301740c0001010300030261610d" +
		"000101030003026161", []string{
		"Update P[1].d.'one' = int:1",
		"Update P[1].d.'one' = <erased>",
		"SetInsert P[1].t str:'aa'",
		"SetErase P[1].t str:'aa'",
	}},
	{"E6", "3f0001503f0101660400010101000700000000000004c0003f020167040001010200060000c03f003f030163040001010300" +
		"08e2094101003f0401770400010104000580e2cfaa0605003f0501750400010105000b00112233445566778899aabbccddeeff" +
		"003f060162040001010600040200ff003f07016f0400010107000201003f08016e040001010800010701", []string{
		"Update P[1].f = double:-2.5",
		"Update P[1].g = float:1.5",
		"Update P[1].c = dec:-12.50",
		"Update P[1].w = ts:1700000000.5",
		"Update P[1].u = uuid:00112233-4455-6677-8899-aabbccddeeff",
		"Update P[1].b = bin:00ff",
		"Update P[1].o = bool:true",
		"Update P[1].n = int:7 default=1",
	}},
	{"E7", "3f0001503f01026c6c0a000101010100013f0201513f03017803020303", []string{
		"ArrayErase P[1].ll[0] prior_size=1",
		"EraseObject Q['x']",
	}},
}

func printed(t testing.TB, c Changeset) []string {
	t.Helper()
	var b bytes.Buffer
	if err := Print(&b, c); err != nil {
		t.Fatal(err)
	}
	if b.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func TestWorkedExamples(t *testing.T) {
	for _, e := range workedExamples {
		c := checkBytes(t, e.name, unhex(t, e.hex))
		if got := printed(t, c); !reflect.DeepEqual(got, e.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", e.name, strings.Join(got, "\n"), strings.Join(e.want, "\n"))
		}
	}
}

// checkBytes decodes data, checks that its layout gives back the very bytes and
// that the canonical encoding means the same.
func checkBytes(t testing.TB, name string, data []byte) Changeset {
	t.Helper()
	c, err := Decode(data)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	same, layout, err := DecodeLayout(data)
	if err != nil || !reflect.DeepEqual(same, c) {
		t.Fatalf("%s: DecodeLayout differs from Decode; error %v", name, err)
	}
	if got := AppendLayout(nil, c, layout); !bytes.Equal(got, data) {
		t.Errorf("%s: bytes\n got %x\nwant %x", name, got, data)
	}
	for encoding, data := range map[string][]byte{"Encode": Encode(c), "EncodePadded": EncodePadded(c)} {
		again, err := Decode(data)
		if err != nil {
			t.Errorf("%s: decode what %s wrote: %v", name, encoding, err)
		} else if !reflect.DeepEqual(again, c) {
			t.Errorf("%s: %s changed the instructions:\n%v\n%v", name, encoding, c, again)
		}
	}
	return c
}

func TestMergeVectorBytes(t *testing.T) {
	n := 0
	for _, s := range mergeSides(t) {
		for i, h := range s.Hex {
			c := checkBytes(t, s.ID, unhex(t, h))
			got := printed(t, c)
			if len(got) != len(s.Print[i]) {
				t.Errorf("%s: %d instructions, want %d", s.ID, len(got), len(s.Print[i]))
				continue
			}
			for j := range got {
				if want := asPrinted(s.Print[i][j]); got[j] != want {
					t.Errorf("%s: printed %s\nwant %s", s.ID, got[j], want)
				}
			}
			n++
		}
	}
	if n < 1000 {
		t.Errorf("only %d changesets compared", n)
	}
}

var numberText = regexp.MustCompile(`(double|dec):(-?[0-9.E]+-?[0-9]+)`)

// asPrinted brings the recorded texts to the form that Print gives them:
// they have doubles with 17 digits, large decimals as coefficient and exponent,
// and say that an update is no default.
func asPrinted(s string) string {
	s = strings.TrimSuffix(s, " default=0")
	return numberText.ReplaceAllStringFunc(s, func(m string) string {
		kind, text, _ := strings.Cut(m, ":")
		if kind == "double" {
			f, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return err.Error()
			}
			return DoubleValue(f).String()
		}
		d, err := ParseDecimal(text)
		if err != nil {
			return err.Error()
		}
		return d.String()
	})
}

func TestClientVectors(t *testing.T) {
	for _, v := range clientVectors(t) {
		name := fmt.Sprintf("%d %s", v.ID, v.Description)
		data := unhex(t, *v.Hex)
		c := checkBytes(t, name, data)
		_, layout, _ := DecodeLayout(data)
		got := describe(c, layout)
		if len(got) != len(v.Instructions) {
			t.Errorf("%s: %d items, want %d", name, len(got), len(v.Instructions))
			continue
		}
		for i := range got {
			if g, w := asJSON(t, got[i]), asJSON(t, v.Instructions[i]); g != w {
				t.Errorf("%s, item %d:\n got %s\nwant %s", name, i, g, w)
			}
		}
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// describe renders a changeset in the notation of the client vectors.
func describe(c Changeset, l Layout) []map[string]any {
	var out []map[string]any
	n := 0
	for i := 0; i <= len(c); i++ {
		for n < len(l) && l[n].Before == i {
			out = append(out, map[string]any{"op": "InternString", "index": n, "value": l[n].Text})
			n++
		}
		if i < len(c) {
			out = append(out, describeInstruction(&c[i]))
		}
	}
	return out
}

var vectorTypes = map[Type]string{
	Mixed: "Null", Int: "Int", Bool: "Bool", String: "String", Binary: "Binary", Timestamp: "Timestamp", Float: "Float",
	Double: "Double", Decimal: "Decimal", Link: "Link", ObjectID: "ObjectId", UUID: "UUID",
}

var vectorCollections = map[Collection]string{
	Single: "Single", ListOf: "List", DictionaryOf: "Dictionary", SetOf: "Set",
}

func describeInstruction(in *Instruction) map[string]any {
	m := map[string]any{"op": in.Op.String(), "table": in.Class}
	switch in.Op {
	case OpAddTable:
		m["type"] = [...]string{"TopLevel", "Embedded", "TopLevelAsymmetric"}[in.Table.Kind]
		if in.Table.Kind != Embedded {
			m["pk_field"], m["pk_type"] = in.Table.KeyField, vectorTypes[in.Table.KeyType]
			m["pk_nullable"] = in.Table.KeyNullable
		}
	case OpAddColumn:
		c := in.Column
		m["field"], m["type"], m["nullable"] = in.Field, vectorTypes[c.Type], c.Nullable
		m["collection"] = vectorCollections[c.Collection]
		if c.Type == Link {
			m["target"] = c.Target
		}
		if c.Collection == DictionaryOf {
			m["key_type"] = "String"
		}
	case OpEraseColumn:
		m["field"] = in.Field
	case OpCreateObject, OpEraseObject:
		m["object"] = describeKey(in.Key)
	}
	if !in.Op.HasPath() {
		return m
	}
	m["object"], m["field"] = describeKey(in.Key), in.Field
	path := []any{}
	for _, p := range in.Path {
		if p.IsIndex {
			path = append(path, p.Index)
		} else {
			path = append(path, p.Name)
		}
	}
	m["path"] = path
	switch in.Op {
	case OpUpdate, OpArrayInsert, OpSetInsert, OpSetErase:
		m["value"] = describeValue(in.Value)
	case OpAddInteger:
		m["value"] = map[string]any{"$int": strconv.FormatInt(in.Addend, 10)}
	case OpArrayMove:
		m["to"] = in.To
	case OpClear:
		m["collection"] = vectorCollections[in.Collection]
	}
	switch {
	case in.Op == OpArrayInsert, in.Op == OpArrayMove, in.Op == OpArrayErase, in.Op == OpUpdate && in.Path.EndsInIndex():
		m["prior_size"] = in.Prior
	case in.Op == OpUpdate:
		m["is_default"] = in.Default
	}
	return m
}

func describeKey(k Key) any {
	switch k.Type {
	case Int:
		return map[string]any{"$int": strconv.FormatInt(k.Int, 10)}
	case String:
		return k.Str
	case ObjectID:
		return map[string]any{"$oid": hex.EncodeToString([]byte(k.Str))}
	case UUID:
		return map[string]any{"$uuid": UUIDText(k.Str)}
	}
	return nil
}

func describeValue(v Value) any {
	switch v.Type {
	case Int:
		return map[string]any{"$int": strconv.FormatInt(v.Num, 10)}
	case Bool:
		return v.Bool()
	case String:
		return v.Str
	case Binary:
		return map[string]any{"$binary": base64.StdEncoding.EncodeToString([]byte(v.Str))}
	case Timestamp:
		return map[string]any{"$ts": []any{v.Num, v.Nanos}}
	case Float:
		return map[string]any{"$float": vectorNumber(float64(v.Float32()), 32)}
	case Double:
		return map[string]any{"$double": vectorNumber(v.Float64(), 64)}
	case Decimal:
		high, low, exponent, negative := v.Decimal()
		c := new(big.Int).SetUint64(high)
		c.Lsh(c, 64).Or(c, new(big.Int).SetUint64(low))
		return map[string]any{"$decimal_parts": map[string]any{
			"coefficient": c.String(), "exponent": exponent, "negative": negative,
		}}
	case Link:
		return map[string]any{"$link": map[string]any{"class": v.Str, "pk": describeKey(v.Key)}}
	case ObjectID:
		return map[string]any{"$oid": hex.EncodeToString([]byte(v.Str))}
	case UUID:
		return map[string]any{"$uuid": UUIDText(v.Str)}
	case ObjectValue:
		return map[string]any{"$ObjectValue": true}
	case List:
		return map[string]any{"$List": true}
	case Dictionary:
		return map[string]any{"$Dictionary": true}
	case Erased:
		return map[string]any{"$Erased": true}
	}
	return nil
}

func vectorNumber(f float64, bits int) string {
	return strconv.FormatFloat(f, 'g', -1, bits)
}

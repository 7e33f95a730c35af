package history_test

import "testing"

// Defects 7.3 and 7.5 of devices: after such a pair a list may be another than the
// one that an upload was merged for. What its author put into it is kept.
func TestListsAfterDefectivePairs(t *testing.T) {
	schema := ops(`[{"op":"AddTable","class":"E","kind":"embedded"},{"op":"AddColumn","class":"E","field":"l","type":"int","nullable":false,"collection":"list"},
		{"op":"AddTable","class":"P","pk":{"field":"_id","type":"int","nullable":false}},
		{"op":"AddColumn","class":"P","field":"de","type":"link","target":"E","nullable":true,"collection":"dictionary"},
		{"op":"AddColumn","class":"P","field":"m","type":"mixed","nullable":true,"collection":"single"},
		{"op":"CreateObject","class":"P","pk":1}]`)
	for _, test := range []struct {
		name                 string
		before, older, newer string
		want                 string
		entry                []string // what others get of the newer
	}{
		{
			"an entry of embedded objects made twice", `[]`,
			`[{"op":"Update","class":"P","pk":1,"path":["de","k"],"value":{"$new":"object"}},{"op":"ArrayInsert","class":"P","pk":1,"path":["de","k","l",0],"value":1,"prior_size":0}]`,
			`[{"op":"Update","class":"P","pk":1,"path":["de","k"],"value":{"$new":"object"}},{"op":"ArrayInsert","class":"P","pk":1,"path":["de","k","l",0],"value":2,"prior_size":0},
				{"op":"Update","class":"P","pk":1,"path":["de","k","l",0],"value":3,"prior_size":1}]`,
			`{"_id":{"$numberLong":"1"},"de":{"k":{"l":[{"$numberLong":"3"}]}}}`,
			[]string{"Update P[1].de.'k' = <embedded>", "ArrayInsert P[1].de.'k'.'l'[0] = int:2 prior_size=0", "Update P[1].de.'k'.'l'[0] = int:3 prior_size=1"},
		},
		{
			"a list made anew over an older value", `[{"op":"Update","class":"P","pk":1,"path":["m"],"value":{"$new":"list"}},{"op":"ArrayInsert","class":"P","pk":1,"path":["m",0],"value":1,"prior_size":0}]`,
			`[{"op":"Update","class":"P","pk":1,"path":["m"],"value":7}]`,
			`[{"op":"Update","class":"P","pk":1,"path":["m"],"value":{"$new":"list"}},{"op":"ArrayInsert","class":"P","pk":1,"path":["m",1],"value":2,"prior_size":1},
				{"op":"ArrayErase","class":"P","pk":1,"path":["m",0],"prior_size":2}]`,
			`{"_id":{"$numberLong":"1"},"m":[{"$numberLong":"2"}]}`,
			nil,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBed(t)
			d1, d2 := b.device(), b.device()
			d1.mustSend(schema, ops("%s", test.before))
			d1.catchUp()
			d2.catchUp()
			d2.version = d1.version // which is the clock
			d1.mustSend(ops("%s", test.older))
			d2.mustSend(ops("%s", test.newer))
			b.wantDocument("P", 1, test.want)
			e := b.last()
			if o := e.Objects[0]; !o.Refresh || o.Refused != "" {
				t.Errorf("its author is told %+v", o)
			}
			if test.entry != nil {
				b.wantInstructions(e, test.entry...)
			}
			other := b.device()
			other.catchUp()
			other.mustSend(ops(`[{"op":"Update","class":"P","pk":1,"path":["m"],"value":null}]`))
		})
	}
}

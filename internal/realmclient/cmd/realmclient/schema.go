package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// Property types, collection kinds and flags of the schema.
const (
	pInt       = 0
	pBool      = 1
	pString    = 2
	pBinary    = 4
	pMixed     = 6
	pTimestamp = 8
	pFloat     = 9
	pDouble    = 10
	pDecimal   = 11
	pObject    = 12
	pObjectID  = 15
	pUUID      = 17

	cNone = 0
	cList = 1
	cSet  = 2
	cDict = 4

	fNullable   = 1
	fPrimaryKey = 2
	fIndexed    = 4
	fFullText   = 8

	kTop        = 0
	kEmbedded   = 1
	kAsymmetric = 2
)

var typeNames = map[string]int{
	"int": pInt, "bool": pBool, "string": pString, "data": pBinary, "mixed": pMixed, "timestamp": pTimestamp,
	"float": pFloat, "double": pDouble, "decimal128": pDecimal, "object": pObject, "objectId": pObjectID, "uuid": pUUID,
}

func (a *arena) alloc(n int) unsafe.Pointer {
	p := C.calloc(1, C.size_t(n+1))
	*a = append(*a, p)
	return p
}

func buildSchema(a *arena, specs []realmclient.Class) (C.rc_h, error) {
	classes := unsafe.Slice((*C.rc_class)(a.alloc(len(specs)*int(unsafe.Sizeof(C.rc_class{})))), len(specs))
	lists := unsafe.Slice((**C.rc_prop)(a.alloc(len(specs)*8)), len(specs))
	for i, s := range specs {
		kind, ok := map[string]int{"": kTop, "top": kTop, "embedded": kEmbedded, "asymmetric": kAsymmetric}[s.Kind]
		if !ok {
			return nil, fmt.Errorf("class %s: unknown kind %q", s.Name, s.Kind)
		}
		pk := ""
		props := unsafe.Slice((*C.rc_prop)(a.alloc(len(s.Properties)*int(unsafe.Sizeof(C.rc_prop{})))), len(s.Properties))
		for j, p := range s.Properties {
			t, ok := typeNames[p.Type]
			if !ok {
				return nil, fmt.Errorf("%s.%s: unknown type %q", s.Name, p.Name, p.Type)
			}
			c, ok := map[string]int{"": cNone, "list": cList, "set": cSet, "dictionary": cDict}[p.Collection]
			if !ok {
				return nil, fmt.Errorf("%s.%s: unknown collection %q", s.Name, p.Name, p.Collection)
			}
			flags := 0
			// What the schema rules leave no choice about is filled in here.
			if p.Nullable || t == pMixed || t == pObject && (c == cNone || c == cDict) {
				flags |= fNullable
			}
			if p.PrimaryKey {
				flags |= fPrimaryKey
				pk = p.Name
			}
			if p.Indexed {
				flags |= fIndexed
			}
			if p.FullText {
				flags |= fFullText
			}
			props[j] = C.rc_prop{name: a.str(p.Name), public_name: a.str(""), _type: C.int32_t(t), collection: C.int32_t(c),
				link_target: a.str(p.Target), link_origin: a.str(""), key: -1, flags: C.int32_t(flags)}
		}
		classes[i] = C.rc_class{name: a.str(s.Name), primary_key: a.str(pk), n_props: C.size_t(len(s.Properties)), key: 0x7fffffff, flags: C.int32_t(kind)}
		if len(props) > 0 {
			lists[i] = &props[0]
		}
	}
	var cp *C.rc_class
	var lp **C.rc_prop
	if len(specs) > 0 {
		cp, lp = &classes[0], &lists[0]
	}
	h := C.rc_schema_new(cp, C.size_t(len(specs)), lp)
	if h == nil {
		return nil, lastError("schema_new")
	}
	return h, nil
}

// class and prop are what an open realm says about its schema.
type class struct {
	name, pk string
	key      C.uint32_t
	kind     int
	props    []prop
	byName   map[string]prop
	byKey    map[int64]prop
}

type prop struct {
	name, target string
	typ, coll    int
	flags        int
	key          C.int64_t
}

func (r *realm) loadSchema() error {
	n := C.rc_get_num_classes(r.h)
	keys := make([]C.uint32_t, n+1)
	var got C.size_t
	if !C.rc_get_class_keys(r.h, &keys[0], n, &got) {
		return lastError("get_class_keys")
	}
	r.classes, r.byKey = map[string]*class{}, map[C.uint32_t]*class{}
	for _, k := range keys[:got] {
		var ci C.rc_class
		if !C.rc_get_class(r.h, k, &ci) {
			return lastError("get_class")
		}
		c := &class{name: C.GoString(ci.name), pk: C.GoString(ci.primary_key), key: k, kind: int(ci.flags) & 3,
			byName: map[string]prop{}, byKey: map[int64]prop{}}
		max := ci.n_props + ci.n_computed
		ps := make([]C.rc_prop, max+1)
		var np C.size_t
		if !C.rc_get_class_properties(r.h, k, &ps[0], max, &np) {
			return lastError("get_class_properties")
		}
		for _, p := range ps[:np] {
			if p._type == 14 { // backlinks: computed, never stored
				continue
			}
			x := prop{C.GoString(p.name), C.GoString(p.link_target), int(p._type), int(p.collection), int(p.flags), p.key}
			c.props = append(c.props, x)
			c.byName[x.name] = x
			c.byKey[int64(p.key)] = x
		}
		r.classes[c.name], r.byKey[k] = c, c
	}
	return nil
}

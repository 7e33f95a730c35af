package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"sort"
)

const (
	modeSet = iota
	modeInsert
	modeDefault
)

// put stores a value, scalar or composite, at one element of a place.
func (r *realm) put(a *arena, n *node, elem, value any, mode int) error {
	comp := asComposite(value)
	switch n.kind {
	case "object":
		name, _ := elem.(string)
		p, ok := n.cls.byName[name]
		if !ok {
			return fmt.Errorf("%s has no property %v", n.cls.name, elem)
		}
		if p.coll != cNone {
			if comp == nil {
				return fmt.Errorf("%s.%s is a collection", n.cls.name, name)
			}
			c, err := r.step(a, n, name)
			if err != nil {
				return err
			}
			defer c.release()
			if mode == modeSet {
				if err := r.clear(c); err != nil {
					return err
				}
			}
			return r.fill(a, c, comp)
		}
		if comp != nil {
			switch comp.kind {
			case "embedded":
				h := C.rc_set_embedded(n.h, p.key)
				return r.fillNew(a, &node{kind: "object", h: h, cls: r.classes[p.target]}, comp)
			case "list":
				return r.fillNew(a, &node{kind: "list", h: C.rc_set_list(n.h, p.key), p: prop{typ: pMixed}}, comp)
			case "dict":
				return r.fillNew(a, &node{kind: "dict", h: C.rc_set_dictionary(n.h, p.key), p: prop{typ: pMixed}}, comp)
			}
			return fmt.Errorf("a %s does not fit %s.%s", comp.kind, n.cls.name, name)
		}
		v, err := r.encode(a, value, p.typ)
		if err != nil {
			return err
		}
		if !C.rc_set_value(n.h, p.key, v, C.bool(mode == modeDefault)) {
			return lastError("set_value " + name)
		}
	case "list":
		i, err := index(elem)
		if err != nil {
			return err
		}
		ins := mode == modeInsert
		if comp != nil {
			var out *node
			switch comp.kind {
			case "embedded":
				out = &node{kind: "object", cls: r.classes[n.p.target]}
				if ins {
					out.h = C.rc_list_insert_embedded(n.h, i)
				} else {
					out.h = C.rc_list_set_embedded(n.h, i)
				}
			case "list":
				out = &node{kind: "list", p: prop{typ: pMixed}}
				if ins {
					out.h = C.rc_list_insert_list(n.h, i)
				} else {
					out.h = C.rc_list_set_list(n.h, i)
				}
			case "dict":
				out = &node{kind: "dict", p: prop{typ: pMixed}}
				if ins {
					out.h = C.rc_list_insert_dictionary(n.h, i)
				} else {
					out.h = C.rc_list_set_dictionary(n.h, i)
				}
			default:
				return fmt.Errorf("a %s does not fit a list", comp.kind)
			}
			return r.fillNew(a, out, comp)
		}
		v, err := r.encode(a, value, n.p.typ)
		if err != nil {
			return err
		}
		if ins && !bool(C.rc_list_insert(n.h, i, v)) || !ins && !bool(C.rc_list_set(n.h, i, v)) {
			return lastError("list put")
		}
	case "dict":
		k, err := r.key(a, elem)
		if err != nil {
			return err
		}
		if comp != nil {
			var out *node
			switch comp.kind {
			case "embedded":
				out = &node{kind: "object", cls: r.classes[n.p.target], h: C.rc_dictionary_insert_embedded(n.h, k)}
			case "list":
				out = &node{kind: "list", p: prop{typ: pMixed}, h: C.rc_dictionary_insert_list(n.h, k)}
			case "dict":
				out = &node{kind: "dict", p: prop{typ: pMixed}, h: C.rc_dictionary_insert_dictionary(n.h, k)}
			default:
				return fmt.Errorf("a %s does not fit a dictionary", comp.kind)
			}
			return r.fillNew(a, out, comp)
		}
		v, err := r.encode(a, value, n.p.typ)
		if err != nil {
			return err
		}
		if !C.rc_dictionary_insert(n.h, k, v, nil, nil) {
			return lastError("dictionary_insert")
		}
	case "set":
		return fmt.Errorf("a set has no elements to address; use set_insert and set_erase")
	}
	return nil
}

func (r *realm) fillNew(a *arena, n *node, comp *composite) error {
	if n.h == nil {
		return lastError("create " + comp.kind)
	}
	defer n.release()
	if n.kind == "object" && n.cls == nil {
		return fmt.Errorf("embedded object of an unknown class")
	}
	return r.fill(a, n, comp)
}

// fill stores the elements of a composite value in a place.
func (r *realm) fill(a *arena, n *node, comp *composite) error {
	switch n.kind {
	case "object", "dict":
		if n.kind == "object" {
			for _, p := range n.cls.props { // in the order of the schema
				if v, ok := comp.dict[p.name]; ok {
					if err := r.put(a, n, p.name, v, modeInsert); err != nil {
						return err
					}
				}
			}
			for k := range comp.dict {
				if _, ok := n.cls.byName[k]; !ok {
					return fmt.Errorf("%s has no property %s", n.cls.name, k)
				}
			}
			return nil
		}
		for _, k := range sortedKeys(comp.dict) {
			if err := r.put(a, n, k, comp.dict[k], modeInsert); err != nil {
				return err
			}
		}
	case "list":
		for i, v := range comp.items {
			if err := r.put(a, n, json.Number(fmt.Sprint(i)), v, modeInsert); err != nil {
				return err
			}
		}
	case "set":
		for _, v := range comp.items {
			if err := r.setInsert(a, n, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func sortedKeys(m map[string]any) []string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	return ks
}

func (r *realm) clear(n *node) error {
	ok := C.bool(false)
	switch n.kind {
	case "list":
		ok = C.rc_list_clear(n.h)
	case "set":
		ok = C.rc_set_clear(n.h)
	case "dict":
		ok = C.rc_dictionary_clear(n.h)
	}
	if !ok {
		return lastError("clear")
	}
	return nil
}

func (r *realm) setInsert(a *arena, n *node, value any) error {
	v, err := r.encode(a, value, n.p.typ)
	if err != nil {
		return err
	}
	if !C.rc_set_insert(n.h, v, nil, nil) {
		return lastError("set_insert")
	}
	return nil
}

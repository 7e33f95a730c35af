package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"encoding/json"
	"errors"
	"fmt"
)

// node is a place inside an object: the object itself, an embedded object, or
// a collection in it.
type node struct {
	kind string // object, list, set, dict
	h    C.rc_h
	cls  *class // of an object
	p    prop   // the property a collection belongs to (type mixed inside a mixed)
}

func (n *node) release() { C.rc_release(n.h) }

func (r *realm) class(name string) (*class, error) {
	c := r.classes[name]
	if c == nil {
		return nil, fmt.Errorf("no class %q in the schema", name)
	}
	return c, nil
}

var errNoObject = errors.New("no such object")

// find is the object of that class and primary key; the error may be errNoObject.
func (r *realm) find(a *arena, cls string, pk any) (C.rc_h, error) {
	c, err := r.class(cls)
	if err != nil {
		return nil, err
	}
	v, err := r.encode(a, pk, c.byName[c.pk].typ)
	if err != nil {
		return nil, err
	}
	var found C.bool
	o := C.rc_object_find_with_primary_key(r.h, c.key, v, &found)
	if o == nil {
		if !found {
			b, _ := json.Marshal(pk)
			return nil, fmt.Errorf("%w: %s with primary key %s", errNoObject, cls, b)
		}
		return nil, lastError("find")
	}
	return o, nil
}

func index(v any) (C.size_t, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is not an index", v)
	}
	i, err := n.Int64()
	if err != nil || i < 0 {
		return 0, fmt.Errorf("%v is not an index", v)
	}
	return C.size_t(i), nil
}

func (r *realm) key(a *arena, v any) (C.rc_value, error) {
	s, ok := v.(string)
	if !ok {
		return C.rc_value{}, fmt.Errorf("%v is not a key", v)
	}
	return r.encode(a, s, -1)
}

// step goes from a place to the place named by one path element.
func (r *realm) step(a *arena, n *node, elem any) (*node, error) {
	out := &node{p: prop{typ: pMixed}}
	var v C.rc_value
	switch n.kind {
	case "object":
		name, _ := elem.(string)
		p, ok := n.cls.byName[name]
		if !ok {
			return nil, fmt.Errorf("%s has no property %v", n.cls.name, elem)
		}
		switch p.coll {
		case cList:
			return wrap(&node{kind: "list", h: C.rc_get_list(n.h, p.key), p: p})
		case cSet:
			return wrap(&node{kind: "set", h: C.rc_get_set(n.h, p.key), p: p})
		case cDict:
			return wrap(&node{kind: "dict", h: C.rc_get_dictionary(n.h, p.key), p: p})
		}
		if !C.rc_get_value(n.h, p.key, &v) {
			return nil, lastError("get_value")
		}
		switch v._type {
		case tList:
			out.kind, out.h = "list", C.rc_get_list(n.h, p.key)
		case tDict:
			out.kind, out.h = "dict", C.rc_get_dictionary(n.h, p.key)
		case tLink:
			out.kind, out.h = "object", C.rc_get_linked_object(n.h, p.key)
		}
	case "list":
		i, err := index(elem)
		if err != nil {
			return nil, err
		}
		if !C.rc_list_get(n.h, i, &v) {
			return nil, lastError("list_get")
		}
		switch v._type {
		case tList:
			out.kind, out.h = "list", C.rc_list_get_list(n.h, i)
		case tDict:
			out.kind, out.h = "dict", C.rc_list_get_dictionary(n.h, i)
		case tLink:
			out.kind, out.h = "object", C.rc_list_get_linked_object(n.h, i)
		}
	case "dict":
		k, err := r.key(a, elem)
		if err != nil {
			return nil, err
		}
		var found C.bool
		if !bool(C.rc_dictionary_find(n.h, k, &v, &found)) || !bool(found) {
			return nil, fmt.Errorf("no key %v", elem)
		}
		switch v._type {
		case tList:
			out.kind, out.h = "list", C.rc_dictionary_get_list(n.h, k)
		case tDict:
			out.kind, out.h = "dict", C.rc_dictionary_get_dictionary(n.h, k)
		case tLink:
			out.kind, out.h = "object", C.rc_dictionary_get_linked_object(n.h, k)
		}
	}
	if out.kind == "" {
		return nil, fmt.Errorf("nothing to go into at %v", elem)
	}
	if out.kind == "object" && out.h != nil {
		out.cls = r.byKey[C.rc_object_get_table(out.h)]
	}
	return wrap(out)
}

func wrap(n *node) (*node, error) {
	if n.h == nil {
		return nil, lastError("path")
	}
	return n, nil
}

// walk goes from an object along a path and returns the last place.
func (r *realm) walk(a *arena, o C.rc_h, cls *class, path []any) (*node, error) {
	n := &node{kind: "object", h: o, cls: cls}
	for _, e := range path {
		next, err := r.step(a, n, e)
		n.release()
		if err != nil {
			return nil, err
		}
		n = next
	}
	return n, nil
}

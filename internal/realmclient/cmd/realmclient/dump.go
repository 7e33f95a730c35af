package main

/*
#include "capi.h"
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"sort"
)

func dump(r *realm, c *command) (any, error) {
	if err := r.refresh(); err != nil {
		return nil, err
	}
	return r.dump(c.Classes)
}

// dump returns all objects of all classes: class name -> objects in the order
// of their primary keys. Embedded objects appear where they are embedded.
func (r *realm) dump(only []string) (any, error) {
	want := map[string]bool{}
	for _, c := range only {
		want[c] = true
	}
	out := map[string]any{}
	for name, c := range r.classes {
		if c.kind == kEmbedded || len(want) > 0 && !want[name] {
			continue
		}
		objs, err := r.dumpClass(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = objs
	}
	return out, nil
}

func (r *realm) dumpClass(c *class) ([]any, error) {
	res := C.rc_object_find_all(r.h, c.key)
	if res == nil {
		return nil, lastError("find_all")
	}
	defer C.rc_release(res)
	var n C.size_t
	if !C.rc_results_count(res, &n) {
		return nil, lastError("results_count")
	}
	type row struct {
		key string
		obj any
	}
	rows := make([]row, 0, n)
	for i := C.size_t(0); i < n; i++ {
		o := C.rc_results_get_object(res, i)
		if o == nil {
			return nil, lastError("results_get_object")
		}
		m, err := r.dumpObject(o, c)
		C.rc_release(o)
		if err != nil {
			return nil, err
		}
		k, _ := json.Marshal(m[c.pk])
		rows = append(rows, row{string(k), m})
	}
	sort.SliceStable(rows, func(i, j int) bool { return rows[i].key < rows[j].key })
	objs := make([]any, len(rows))
	for i := range rows {
		objs[i] = rows[i].obj
	}
	return objs, nil
}

func (r *realm) dumpObject(o C.rc_h, c *class) (map[string]any, error) {
	m := map[string]any{}
	for _, p := range c.props {
		v, err := r.dumpProp(o, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		m[p.name] = v
	}
	return m, nil
}

func (r *realm) dumpProp(o C.rc_h, p prop) (any, error) {
	switch p.coll {
	case cList:
		return r.dumpList(C.rc_get_list(o, p.key))
	case cSet:
		s := C.rc_get_set(o, p.key)
		if s == nil {
			return nil, lastError("get_set")
		}
		defer C.rc_release(s)
		var n C.size_t
		C.rc_set_size(s, &n)
		items := make([]any, 0, n)
		for i := C.size_t(0); i < n; i++ {
			var v C.rc_value
			if !C.rc_set_get(s, i, &v) {
				return nil, lastError("set_get")
			}
			x, err := r.decode(v)
			if err != nil {
				return nil, err
			}
			items = append(items, x)
		}
		return map[string]any{"$set": items}, nil
	case cDict:
		return r.dumpDict(C.rc_get_dictionary(o, p.key))
	}
	var v C.rc_value
	if !C.rc_get_value(o, p.key, &v) {
		return nil, lastError("get_value")
	}
	switch v._type {
	case tList:
		return r.dumpList(C.rc_get_list(o, p.key))
	case tDict:
		return r.dumpDict(C.rc_get_dictionary(o, p.key))
	}
	return r.decode(v)
}

func (r *realm) dumpList(l C.rc_h) (any, error) {
	if l == nil {
		return nil, lastError("list")
	}
	defer C.rc_release(l)
	var n C.size_t
	if !C.rc_list_size(l, &n) {
		return nil, lastError("list_size")
	}
	items := make([]any, 0, n)
	for i := C.size_t(0); i < n; i++ {
		var v C.rc_value
		if !C.rc_list_get(l, i, &v) {
			return nil, lastError("list_get")
		}
		var x any
		var err error
		switch v._type {
		case tList:
			x, err = r.dumpList(C.rc_list_get_list(l, i))
		case tDict:
			x, err = r.dumpDict(C.rc_list_get_dictionary(l, i))
		default:
			x, err = r.decode(v)
		}
		if err != nil {
			return nil, err
		}
		items = append(items, x)
	}
	return items, nil
}

func (r *realm) dumpDict(d C.rc_h) (any, error) {
	if d == nil {
		return nil, lastError("dictionary")
	}
	defer C.rc_release(d)
	var n C.size_t
	if !C.rc_dictionary_size(d, &n) {
		return nil, lastError("dictionary_size")
	}
	m := map[string]any{}
	for i := C.size_t(0); i < n; i++ {
		var k, v C.rc_value
		if !C.rc_dictionary_get(d, i, &k, &v) {
			return nil, lastError("dictionary_get")
		}
		var x any
		var err error
		switch v._type {
		case tList:
			x, err = r.dumpList(C.rc_dictionary_get_list(d, k))
		case tDict:
			x, err = r.dumpDict(C.rc_dictionary_get_dictionary(d, k))
		default:
			x, err = r.decode(v)
		}
		if err != nil {
			return nil, err
		}
		m[string(cBytes(k))] = x
	}
	return map[string]any{"$dict": m}, nil
}

// decodeLink writes a link as class and primary key, an embedded object in full.
func (r *realm) decodeLink(table uint32, key int64) (any, error) {
	c := r.byKey[C.uint32_t(table)]
	if c == nil {
		return map[string]any{"$link": map[string]any{"table": table, "key": key}}, nil
	}
	o := C.rc_get_object(r.h, c.key, C.int64_t(key))
	if o == nil {
		return nil, lastError("get_object")
	}
	defer C.rc_release(o)
	if c.kind == kEmbedded {
		m, err := r.dumpObject(o, c)
		return map[string]any{"$embedded": m}, err
	}
	var v C.rc_value
	if !C.rc_get_value(o, c.byName[c.pk].key, &v) {
		return nil, lastError("get_value")
	}
	pk, err := r.decode(v)
	return map[string]any{"$link": map[string]any{"class": c.name, "pk": pk}}, err
}

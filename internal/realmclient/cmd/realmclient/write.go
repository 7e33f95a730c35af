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

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// write runs the operations in one write transaction.
func (r *realm) write(ops []realmclient.Op) (any, error) {
	if !C.rc_begin_write(r.h) {
		return nil, lastError("begin_write")
	}
	for i := range ops {
		var a arena
		err := r.apply(&a, &ops[i])
		a.free()
		if err != nil {
			C.rc_rollback(r.h)
			return nil, fmt.Errorf("op %d (%s): %w", i, ops[i].Op, err)
		}
	}
	if !C.rc_commit(r.h) {
		return nil, lastError("commit")
	}
	var found C.bool
	var v C.rc_version
	C.rc_get_version_id(r.h, &found, &v)
	return map[string]any{"version": uint64(v.version)}, nil
}

// The operations, by what they address: a class, the place that the path leads
// to, or one element (the path's last step) of the place before.
var (
	classOps = map[string]func(*realm, *arena, *class, *realmclient.Op) error{
		"create":       createObject,
		"delete":       deleteObject,
		"delete_all":   deleteAll,
		"delete_query": deleteQuery,
	}
	placeOps = map[string]func(*realm, *arena, *node, *realmclient.Op) error{
		"clear":       func(r *realm, _ *arena, n *node, _ *realmclient.Op) error { return r.clear(n) },
		"remove_all":  removeAll,
		"list_append": listAppend,
		"list_move":   listMove,
		"set_insert":  setInsert,
		"set_erase":   setErase,
	}
	elementOps = map[string]func(r *realm, a *arena, n *node, element any, op *realmclient.Op) error{
		"set":         setElement,
		"add_int":     addInt,
		"list_insert": listInsert,
		"list_erase":  listErase,
		"dict_erase":  dictErase,
	}
)

func (r *realm) apply(a *arena, op *realmclient.Op) error {
	if op.Op == "remove_table" { // of a class that the open schema does not name
		return failed(C.rc_remove_table(r.h, a.str(op.Class), new(C.bool)), op.Op)
	}
	c, err := r.class(op.Class)
	if err != nil {
		return err
	}
	if f := classOps[op.Op]; f != nil {
		return f(r, a, c, op)
	}
	if f := placeOps[op.Op]; f != nil {
		n, err := r.place(a, c, op.PK, op.Path)
		if err != nil {
			return err
		}
		defer n.release()
		return f(r, a, n, op)
	}
	f := elementOps[op.Op]
	if f == nil {
		return errors.New("unknown write op")
	}
	path := op.Path
	if op.Index != "" {
		path = append(path[:len(path):len(path)], op.Index)
	}
	if len(path) == 0 {
		return errors.New("no path")
	}
	last := len(path) - 1
	n, err := r.place(a, c, op.PK, path[:last])
	if err != nil {
		return err
	}
	defer n.release()
	return f(r, a, n, path[last], op)
}

// place is where a path leads from an object.
func (r *realm) place(a *arena, c *class, pk any, path []any) (*node, error) {
	o, err := r.find(a, c.name, pk)
	if err != nil {
		return nil, err
	}
	return r.walk(a, o, c, path)
}

// failed is the library's error if a call of it was not ok.
func failed(ok C.bool, what string) error {
	if ok {
		return nil
	}
	return lastError(what)
}

func createObject(r *realm, a *arena, c *class, op *realmclient.Op) error {
	var o C.rc_h
	if c.pk == "" {
		o = C.rc_object_create(r.h, c.key)
	} else {
		pk, err := r.encode(a, op.PK, c.byName[c.pk].typ)
		if err != nil {
			return err
		}
		if op.Upsert {
			o = C.rc_object_get_or_create_with_primary_key(r.h, c.key, pk, new(C.bool))
		} else {
			o = C.rc_object_create_with_primary_key(r.h, c.key, pk)
		}
	}
	return r.fillNew(a, &node{kind: "object", h: o, cls: c}, &composite{kind: "object", dict: op.Set})
}

func deleteObject(r *realm, a *arena, c *class, op *realmclient.Op) error {
	o, err := r.find(a, c.name, op.PK)
	if err != nil {
		return err
	}
	defer C.rc_release(o)
	return failed(C.rc_object_delete(o), op.Op)
}

func deleteAll(r *realm, _ *arena, c *class, _ *realmclient.Op) error {
	return deleteResults(C.rc_object_find_all(r.h, c.key))
}

func deleteQuery(r *realm, a *arena, c *class, op *realmclient.Op) error {
	q, err := r.query(a, c, op.Query)
	if err != nil {
		return err
	}
	defer C.rc_release(q)
	return deleteResults(C.rc_query_find_all(q))
}

func deleteResults(results C.rc_h) error {
	if results == nil {
		return lastError("find_all")
	}
	defer C.rc_release(results)
	return failed(C.rc_results_delete_all(results), "delete_all")
}

func removeAll(_ *realm, _ *arena, n *node, op *realmclient.Op) error {
	switch n.kind {
	case "list":
		return failed(C.rc_list_remove_all(n.h), op.Op)
	case "set":
		return failed(C.rc_set_remove_all(n.h), op.Op)
	}
	return errors.New("not a list or set")
}

func listAppend(r *realm, a *arena, n *node, op *realmclient.Op) error {
	var size C.size_t
	if n.kind != "list" || !bool(C.rc_list_size(n.h, &size)) {
		return errors.New("not a list")
	}
	return r.put(a, n, json.Number(fmt.Sprint(uint64(size))), op.Value, modeInsert)
}

func listMove(_ *realm, _ *arena, n *node, op *realmclient.Op) error {
	from, err1 := index(op.From)
	to, err2 := index(op.To)
	if err1 != nil || err2 != nil || n.kind != "list" {
		return errors.New("list_move wants a list, from and to")
	}
	return failed(C.rc_list_move(n.h, from, to), op.Op)
}

func setInsert(r *realm, a *arena, n *node, op *realmclient.Op) error {
	if n.kind != "set" {
		return errors.New("not a set")
	}
	return r.setInsert(a, n, op.Value)
}

func setErase(r *realm, a *arena, n *node, op *realmclient.Op) error {
	if n.kind != "set" {
		return errors.New("not a set")
	}
	v, err := r.encode(a, op.Value, n.p.typ)
	if err != nil {
		return err
	}
	return failed(C.rc_set_erase(n.h, v, nil), op.Op)
}

func setElement(r *realm, a *arena, n *node, element any, op *realmclient.Op) error {
	mode := modeSet
	if op.Default {
		mode = modeDefault
	}
	return r.put(a, n, element, op.Value, mode)
}

func addInt(_ *realm, _ *arena, n *node, element any, op *realmclient.Op) error {
	by, err := op.By.Int64()
	if err != nil {
		return err
	}
	if n.cls == nil {
		return errors.New("add_int wants a property")
	}
	name, _ := element.(string)
	p, ok := n.cls.byName[name]
	if !ok {
		return fmt.Errorf("%s has no property %v", n.cls.name, element)
	}
	return failed(C.rc_object_add_int(n.h, p.key, C.int64_t(by)), op.Op)
}

func listInsert(r *realm, a *arena, n *node, element any, op *realmclient.Op) error {
	return r.put(a, n, element, op.Value, modeInsert)
}

func listErase(_ *realm, _ *arena, n *node, element any, op *realmclient.Op) error {
	i, err := index(element)
	if err != nil {
		return err
	}
	if n.kind != "list" {
		return errors.New("not a list")
	}
	return failed(C.rc_list_erase(n.h, i), op.Op)
}

func dictErase(r *realm, a *arena, n *node, element any, op *realmclient.Op) error {
	k, err := r.key(a, element)
	if err != nil {
		return err
	}
	if n.kind != "dict" {
		return errors.New("not a dictionary")
	}
	return failed(C.rc_dictionary_erase(n.h, k, nil), op.Op)
}

func (r *realm) query(a *arena, c *class, q string) (C.rc_h, error) {
	if q == "" {
		q = "TRUEPREDICATE"
	}
	h := C.rc_query_parse(r.h, c.key, a.str(q), 0, nil)
	if h == nil {
		return nil, lastError("query_parse")
	}
	return h, nil
}

package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"encoding/json"
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

func (r *realm) apply(a *arena, op *realmclient.Op) error {
	switch op.Op {
	case "remove_table": // only a table that the open schema does not name
		if !C.rc_remove_table(r.h, a.str(op.Class), new(C.bool)) {
			return lastError("remove_table")
		}
		return nil
	}
	c, err := r.class(op.Class)
	if err != nil {
		return err
	}
	switch op.Op {
	case "create":
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
	case "delete_all":
		res := C.rc_object_find_all(r.h, c.key)
		if res == nil {
			return lastError("find_all")
		}
		defer C.rc_release(res)
		if !C.rc_results_delete_all(res) {
			return lastError("delete_all")
		}
		return nil
	case "delete_query":
		q, err := r.query(a, c, op.Query)
		if err != nil {
			return err
		}
		defer C.rc_release(q)
		res := C.rc_query_find_all(q)
		if res == nil {
			return lastError("find_all")
		}
		defer C.rc_release(res)
		if !C.rc_results_delete_all(res) {
			return lastError("delete_all")
		}
		return nil
	}

	o, err := r.find(a, op.Class, op.PK)
	if err != nil {
		return err
	}
	switch op.Op {
	case "delete":
		defer C.rc_release(o)
		if !C.rc_object_delete(o) {
			return lastError("delete")
		}
		return nil
	case "add_int":
		if len(op.Path) == 0 {
			C.rc_release(o)
			return fmt.Errorf("no path")
		}
		n, err := r.walk(a, o, c, op.Path[:len(op.Path)-1])
		if err != nil {
			return err
		}
		defer n.release()
		by, err := op.By.Int64()
		if err != nil {
			return err
		}
		name, _ := op.Path[len(op.Path)-1].(string)
		if n.cls == nil {
			return fmt.Errorf("add_int wants a property")
		}
		if !C.rc_object_add_int(n.h, n.cls.byName[name].key, C.int64_t(by)) {
			return lastError("add_int")
		}
		return nil
	case "set", "dict_erase", "list_erase", "list_insert":
		if op.Op == "list_insert" && op.Index != "" {
			op.Path = append(op.Path, op.Index)
		}
		if op.Op == "list_erase" && op.Index != "" {
			op.Path = append(op.Path, op.Index)
		}
		if len(op.Path) == 0 {
			C.rc_release(o)
			return fmt.Errorf("no path")
		}
		last := op.Path[len(op.Path)-1]
		n, err := r.walk(a, o, c, op.Path[:len(op.Path)-1])
		if err != nil {
			return err
		}
		defer n.release()
		switch op.Op {
		case "dict_erase":
			k, err := r.key(a, last)
			if err != nil {
				return err
			}
			if n.kind != "dict" || !bool(C.rc_dictionary_erase(n.h, k, nil)) {
				return lastError("dictionary_erase")
			}
			return nil
		case "list_erase":
			i, err := index(last)
			if err != nil {
				return err
			}
			if n.kind != "list" || !bool(C.rc_list_erase(n.h, i)) {
				return lastError("list_erase")
			}
			return nil
		case "list_insert":
			return r.put(a, n, last, op.Value, modeInsert)
		}
		mode := modeSet
		if op.Default {
			mode = modeDefault
		}
		return r.put(a, n, last, op.Value, mode)
	}

	n, err := r.walk(a, o, c, op.Path)
	if err != nil {
		return err
	}
	defer n.release()
	switch op.Op {
	case "clear":
		return r.clear(n)
	case "list_move":
		from, err1 := index(op.From)
		to, err2 := index(op.To)
		if err1 != nil || err2 != nil || n.kind != "list" {
			return fmt.Errorf("list_move wants a list, from and to")
		}
		if !C.rc_list_move(n.h, from, to) {
			return lastError("list_move")
		}
	case "list_append":
		var size C.size_t
		if n.kind != "list" || !bool(C.rc_list_size(n.h, &size)) {
			return fmt.Errorf("not a list")
		}
		return r.put(a, n, json.Number(fmt.Sprint(uint64(size))), op.Value, modeInsert)
	case "remove_all": // deletes the linked objects, too
		ok := C.bool(false)
		if n.kind == "list" {
			ok = C.rc_list_remove_all(n.h)
		} else if n.kind == "set" {
			ok = C.rc_set_remove_all(n.h)
		}
		if !ok {
			return lastError("remove_all")
		}
	case "set_insert":
		if n.kind != "set" {
			return fmt.Errorf("not a set")
		}
		return r.setInsert(a, n, op.Value)
	case "set_erase":
		v, err := r.encode(a, op.Value, n.p.typ)
		if err != nil {
			return err
		}
		if n.kind != "set" || !bool(C.rc_set_erase(n.h, v, nil)) {
			return lastError("set_erase")
		}
	default:
		return fmt.Errorf("unknown write op")
	}
	return nil
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

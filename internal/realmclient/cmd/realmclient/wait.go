package main

/*
#include "capi.h"
*/
import "C"

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// lookEvery is how often a wait for an object looks at the realm. The library
// delivers no notifications here, and a refresh without news costs microseconds.
const lookEvery = time.Millisecond

// waitObject waits until an object is there with the wanted values, or gone.
func waitObject(r *realm, c *command) (any, error) {
	cls, err := r.class(c.Class)
	if err != nil {
		return nil, err
	}
	for property := range c.Where {
		if _, ok := cls.byName[property]; !ok {
			return nil, fmt.Errorf("%s has no property %s", c.Class, property)
		}
	}
	want, err := canonical(c.Where)
	if err != nil {
		return nil, err
	}
	end := time.Now().Add(timeout(c))
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := r.refresh(); err != nil {
			return nil, err
		}
		found, is, err := r.look(c, cls)
		if err != nil {
			return nil, err
		}
		if c.Gone != found && (c.Gone || is == want) {
			return nil, nil
		}
		if time.Now().After(end) {
			if found {
				return nil, fmt.Errorf("%w: the object's values are %s", errTimeout, is)
			}
			return nil, fmt.Errorf("%w: there is no such object", errTimeout)
		}
		<-tick.C
	}
}

// look says whether the command's object is there, and which values the
// properties have that it asks for.
func (r *realm) look(c *command, cls *class) (found bool, values string, err error) {
	var a arena
	defer a.free()
	o, err := r.find(&a, c.Class, c.PK)
	if errors.Is(err, errNoObject) {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	defer C.rc_release(o)
	got := map[string]any{}
	for property := range c.Where {
		if got[property], err = r.dumpProp(o, cls.byName[property]); err != nil {
			return false, "", err
		}
	}
	values, err = canonical(got)
	return true, values, err
}

// canonical is the text that equal values share.
func canonical(values map[string]any) (string, error) {
	if values == nil {
		values = map[string]any{}
	}
	b, err := json.Marshal(values)
	return string(b), err
}

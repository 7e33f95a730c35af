package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"sync"
	"unsafe"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// calls holds the closures that C calls back into, by number: a Go pointer
// must not be kept in C.
var calls struct {
	sync.Mutex
	next uintptr
	m    map[uintptr]any
}

// register keeps f and returns its number.
func register(f any) C.uintptr_t {
	calls.Lock()
	defer calls.Unlock()
	if calls.m == nil {
		calls.m = map[uintptr]any{}
	}
	calls.next++
	calls.m[calls.next] = f
	return C.uintptr_t(calls.next)
}

// lookup is the closure of that number, and its end if it is called only once.
func lookup[T any](h C.uintptr_t, once bool) (f T) {
	calls.Lock()
	defer calls.Unlock()
	f, _ = calls.m[uintptr(h)].(T)
	if once {
		delete(calls.m, uintptr(h))
	}
	return f
}

func goAppError(e *C.rc_app_error) *appError {
	if e == nil {
		return nil
	}
	return &appError{realmclient.AppError{
		Code:       int(e.error),
		Categories: uint(e.categories),
		Message:    C.GoString(e.message),
		HTTPStatus: int(e.http_status),
		Logs:       C.GoString(e.link_to_logs),
	}}
}

//export goUser
func goUser(h C.uintptr_t, user C.rc_h, e *C.rc_app_error) {
	if f := lookup[func(C.rc_h, *appError)](h, true); f != nil {
		if user != nil {
			user = C.rc_clone(user)
		}
		f(user, goAppError(e))
	}
}

//export goVoid
func goVoid(h C.uintptr_t, e *C.rc_app_error) {
	if f := lookup[func(nothing, *appError)](h, true); f != nil {
		f(nothing{}, goAppError(e))
	}
}

//export goString
func goString(h C.uintptr_t, s *C.char, e *C.rc_app_error) {
	if f := lookup[func(string, *appError)](h, true); f != nil {
		f(C.GoString(s), goAppError(e))
	}
}

//export goAPIKey
func goAPIKey(h C.uintptr_t, k *C.rc_apikey, e *C.rc_app_error) {
	if f := lookup[func(string, *appError)](h, true); f != nil {
		key := ""
		if k != nil {
			key = C.GoString(k.key)
		}
		f(key, goAppError(e))
	}
}

//export goWait
func goWait(h C.uintptr_t, e *C.rc_error) {
	if f := lookup[func(error)](h, true); f != nil {
		if e == nil {
			f(nil)
			return
		}
		f(&realmError{"wait", C.GoString(e.message), int(e.error)})
	}
}

//export goState
func goState(h C.uintptr_t, s C.int32_t) {
	if f := lookup[func(int)](h, true); f != nil {
		f(int(s))
	}
}

//export goConn
func goConn(h C.uintptr_t, o, n C.int32_t) {
	if f := lookup[func(int, int)](h, false); f != nil {
		f(int(o), int(n))
	}
}

//export goProgress
func goProgress(h C.uintptr_t, done, total C.uint64_t, est C.double) {
	if f := lookup[func(uint64, uint64, float64)](h, false); f != nil {
		f(uint64(done), uint64(total), float64(est))
	}
}

//export goReset
func goReset(h C.uintptr_t, after C.int, recovered C.int) {
	r := lookup[*realm](h, false)
	if r == nil {
		return
	}
	if after == 0 {
		r.events.add(realmclient.Event{Event: "client_reset_before"})
		return
	}
	r.events.add(realmclient.Event{Event: "client_reset_after", Recovered: recovered != 0})
}

//export goSyncError
func goSyncError(h C.uintptr_t, e *C.rc_sync_error) {
	r := lookup[*realm](h, false)
	if r == nil {
		return
	}
	event := realmclient.Event{
		Event:          "sync_error",
		Code:           int(e.status.error),
		Categories:     uint(e.status.categories),
		Message:        C.GoString(e.status.message),
		Fatal:          bool(e.fatal),
		Unrecognized:   bool(e.unrecognized),
		ResetRequested: bool(e.client_reset),
		Action:         syncAction(int(e.action)),
		Info:           map[string]string{},
	}
	for _, kv := range unsafe.Slice(e.info, e.n_info) {
		event.Info[C.GoString(kv.key)] = C.GoString(kv.value)
	}
	for _, c := range unsafe.Slice(e.comp, e.n_comp) {
		pk, err := r.decode(c.pk)
		if err != nil {
			pk = err.Error()
		}
		event.Compensating = append(event.Compensating, realmclient.CompensatingWrite{
			Reason: C.GoString(c.reason), Class: C.GoString(c.object_name), PK: pk,
		})
	}
	r.events.add(event)
}

// syncAction is the name of the library's reaction to an error.
func syncAction(n int) string {
	names := [...]string{"NoAction", "ProtocolViolation", "ApplicationBug", "Warning", "Transient", "DeleteRealm",
		"ClientReset", "ClientResetNoRecovery", "MigrateToFLX", "RevertToPBS", "RefreshUser", "RefreshLocation",
		"LogOutUser", "MigrateSchema"}
	if n >= 0 && n < len(names) {
		return names[n]
	}
	return "unknown"
}

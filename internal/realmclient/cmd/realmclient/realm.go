package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"time"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// realmError is an error of the library.
type realmError struct {
	what, message string
	code          int
}

func (e *realmError) Error() string {
	return fmt.Sprintf("%s: realm error %d: %s", e.what, e.code, e.message)
}

// lastError is what the library says of the call that has just failed on this thread.
func lastError(what string) error {
	var e C.rc_error
	if C.rc_get_last_error(&e) {
		err := &realmError{what, C.GoString(e.message), int(e.error)}
		C.rc_clear_last_error()
		return err
	}
	return errors.New(what + ": failed")
}

// realm is an open realm.
type realm struct {
	path       string
	h, session C.rc_h // session is nil without sync
	classes    map[string]*class
	byKey      map[C.uint32_t]*class
	tokens     []C.rc_h // of registered callbacks
	events     *eventLog
}

// The library's numbers of choices; the empty name is the default.
var (
	stopPolicies = map[string]int{"immediately": 0, "live_indefinitely": 1, "": 2, "after_changes_uploaded": 2}
	resyncModes  = map[string]int{"manual": 0, "discard_local": 1, "recover": 2, "": 3, "recover_or_discard": 3}
	schemaModes  = map[string]int{
		"automatic": 0, "immutable": 1, "read_only": 2, "additive_discovered": 5, "": 6, "additive_explicit": 6, "manual": 7,
	}
)

// openRealm opens a realm with or without sync, by the command's op.
func openRealm(p *process, a *arena, c *command) (any, error) {
	if p.realms[c.Realm] != nil {
		return nil, fmt.Errorf("realm %q is open", c.Realm)
	}
	schema, err := buildSchema(a, c.Schema)
	if err != nil {
		return nil, err
	}
	defer C.rc_release(schema)
	r := &realm{path: c.Path, events: newEventLog()}

	cfg := C.rc_config_new()
	defer C.rc_release(cfg)
	if p.scheduler == nil {
		p.scheduler = C.rcx_scheduler_new()
	}
	C.rc_config_set_scheduler(cfg, p.scheduler)
	C.rc_config_set_schema(cfg, schema)
	C.rc_config_set_schema_version(cfg, C.uint64_t(c.SchemaVersion))
	C.rc_config_set_automatic_change_notifications(cfg, false)
	C.rc_config_set_cached(cfg, false)
	mode, ok := schemaModes[c.SchemaMode]
	if !ok {
		return nil, fmt.Errorf("unknown schema mode %q", c.SchemaMode)
	}
	C.rc_config_set_schema_mode(cfg, C.int32_t(mode))
	if mode == 0 || mode == 7 {
		C.rcx_migration(cfg)
	}

	if c.Op == "open_local" {
		if c.Path == "" {
			return nil, errors.New("open_local wants a path")
		}
		C.rc_config_set_force_sync_history(cfg, C.bool(c.SyncHistory))
	} else {
		sync, err := r.syncConfig(p, a, c)
		if err != nil {
			return nil, err
		}
		defer C.rc_release(sync)
		C.rc_config_set_sync_config(cfg, sync)
	}
	C.rc_config_set_path(cfg, a.str(r.path))
	r.h = C.rc_open(cfg)
	if r.h == nil {
		return nil, lastError("open")
	}
	if err := r.loadSchema(); err != nil {
		return nil, err
	}
	if c.Op != "open_local" {
		if err := r.watchSession(c.Progress); err != nil {
			return nil, err
		}
	}
	p.realms[c.Realm] = r
	return map[string]any{"file": r.path}, nil
}

// syncConfig is the configuration of the realm's session; it also settles the
// realm's path.
func (r *realm) syncConfig(p *process, a *arena, c *command) (C.rc_h, error) {
	u, err := p.user(c)
	if err != nil {
		return nil, err
	}
	stop, ok := stopPolicies[c.StopPolicy]
	if !ok {
		return nil, fmt.Errorf("unknown stop policy %q", c.StopPolicy)
	}
	resync, ok := resyncModes[c.Resync]
	if !ok {
		return nil, fmt.Errorf("unknown resync mode %q", c.Resync)
	}
	var sync C.rc_h
	if c.Op == "open_flx" {
		sync = C.rc_flx_sync_config_new(u)
	} else {
		sync = C.rc_sync_config_new(u, a.str(c.Partition))
	}
	C.rc_sync_config_set_session_stop_policy(sync, C.int32_t(stop))
	C.rc_sync_config_set_resync_mode(sync, C.int32_t(resync))
	C.rc_sync_config_set_cancel_waits_on_nonfatal_error(sync, C.bool(c.CancelWaits))
	C.rc_sync_config_set_client_validate_ssl(sync, C.bool(!c.InsecureTLS))
	if c.TrustCert != "" {
		C.rc_sync_config_set_ssl_trust_certificate_path(sync, a.str(c.TrustCert))
	}
	for k, v := range c.Headers {
		C.rc_sync_config_set_custom_http_header(sync, a.str(k), a.str(v))
	}
	C.rcx_sync_callbacks(sync, register(r))
	if r.path != "" {
		return sync, nil
	}
	file := (*C.char)(nil)
	if c.File != "" {
		file = a.str(c.File)
	}
	r.path = take(C.rc_app_sync_client_get_default_file_path_for_realm(sync, file))
	if r.path == "" {
		C.rc_release(sync)
		return nil, lastError("default path")
	}
	return sync, nil
}

// watchSession finds the realm's session and has its news recorded as events.
func (r *realm) watchSession(progress bool) error {
	r.session = C.rc_sync_session_get(r.h)
	if r.session == nil {
		return errors.New("no sync session")
	}
	r.tokens = append(r.tokens, C.rcx_conn_callback(r.session, register(func(o, n int) {
		r.events.add(realmclient.Event{Event: "connection", From: connState(o), To: connState(n)})
	})))
	if !progress {
		return nil
	}
	for direction, name := range []string{"upload", "download"} {
		r.tokens = append(r.tokens, C.rcx_progress(r.session, C.int32_t(direction), true, register(func(done, total uint64, est float64) {
			r.events.add(realmclient.Event{Event: "progress_" + name, Done: done, Total: total, Estimate: est})
		})))
	}
	return nil
}

func connState(n int) string {
	if n >= 0 && n < 3 {
		return [...]string{"disconnected", "connecting", "connected"}[n]
	}
	return fmt.Sprint(n)
}

func (r *realm) close() error {
	for _, t := range r.tokens {
		if t != nil {
			C.rc_release(t)
		}
	}
	if r.session != nil {
		C.rc_release(r.session)
	}
	ok := C.rc_close(r.h)
	C.rc_release(r.h)
	if !ok {
		return lastError("close")
	}
	return nil
}

func (r *realm) needSession() error {
	if r.session == nil {
		return errors.New("not a synchronized realm")
	}
	return nil
}

func (r *realm) refresh() error {
	var did C.bool
	if !C.rc_refresh(r.h, &did) {
		return lastError("refresh")
	}
	return nil
}

func (r *realm) wait(upload bool, timeout time.Duration) error {
	if err := r.needSession(); err != nil {
		return err
	}
	done := make(chan error, 1)
	C.rcx_wait(r.session, C.bool(upload), register(func(err error) { done <- err }))
	failed, err := await(done, timeout)
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	return r.refresh()
}

func (r *realm) pause() error {
	if err := r.needSession(); err != nil {
		return err
	}
	C.rc_sync_session_pause(r.session)
	return nil
}

func (r *realm) resume() error {
	if err := r.needSession(); err != nil {
		return err
	}
	C.rc_sync_session_resume(r.session)
	return nil
}

func (r *realm) sessionState() (any, error) {
	if err := r.needSession(); err != nil {
		return nil, err
	}
	var f C.rc_file_ident
	C.rc_sync_session_get_file_ident(r.session, &f)
	states := [...]string{"active", "dying", "inactive", "waiting_for_access_token", "paused"}
	return realmclient.Session{
		State:      states[int(C.rc_sync_session_get_state(r.session))],
		Connection: connState(int(C.rc_sync_session_get_connection_state(r.session))),
		Ident:      uint64(f.ident),
		Salt:       int64(f.salt),
	}, nil
}

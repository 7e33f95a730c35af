package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// command is a command with its defaults filled in.
type command = realmclient.Command

// process is everything that is open in this process.
type process struct {
	app, appConfig, transport C.rc_h
	scheduler                 C.rc_h
	users                     map[string]C.rc_h
	realms                    map[string]*realm
}

func newProcess() *process {
	return &process{users: map[string]C.rc_h{}, realms: map[string]*realm{}}
}

// close closes the realms; the rest goes with the process.
func (p *process) close() error {
	var errs []error
	for _, r := range p.realms {
		errs = append(errs, r.close())
	}
	return errors.Join(errs...)
}

// The commands, by what they need: nothing, an app, an open realm.
var (
	processCommands = map[string]func(*process, *arena, *command) (any, error){
		"version":    version,
		"log":        setLogLevel,
		"exit":       func(*process, *arena, *command) (any, error) { return nil, nil },
		"app":        openApp,
		"open_local": openRealm,
	}
	appCommands = map[string]func(*process, *arena, *command) (any, error){
		"open_flx":                openRealm,
		"open_pbs":                openRealm,
		"login_anonymous":         loginAnonymous,
		"login_email":             loginEmail,
		"login_jwt":               loginJWT,
		"login_api_key":           loginAPIKey,
		"login_function":          loginFunction,
		"link_email":              linkEmail,
		"register":                registerEmail,
		"confirm":                 confirmEmail,
		"resend_confirmation":     resendConfirmation,
		"send_reset_password":     sendResetPassword,
		"reset_password":          resetPassword,
		"reset_password_function": resetPasswordFunction,
		"current_user":            currentUser,
		"user":                    showUser,
		"logout":                  func(p *process, _ *arena, c *command) (any, error) { return userCall(p, c, 0) },
		"remove_user":             func(p *process, _ *arena, c *command) (any, error) { return userCall(p, c, 1) },
		"delete_user":             func(p *process, _ *arena, c *command) (any, error) { return userCall(p, c, 2) },
		"refresh_custom_data":     func(p *process, _ *arena, c *command) (any, error) { return userCall(p, c, 3) },
		"create_api_key":          createAPIKey,
		"call_function":           callFunction,
		"reconnect":               reconnect,
		"has_sessions":            hasSessions,
		"wait_sessions_end":       waitSessionsEnd,
	}
	realmCommands = map[string]func(*realm, *command) (any, error){
		"subscribe":          subscribe,
		"unsubscribe":        unsubscribe,
		"subscriptions":      func(r *realm, _ *command) (any, error) { return r.subscriptions() },
		"wait_subscriptions": waitSubscriptions,
		"write":              func(r *realm, c *command) (any, error) { return r.write(c.Ops) },
		"wait_upload":        func(r *realm, c *command) (any, error) { return nil, r.wait(true, timeout(c)) },
		"wait_download":      func(r *realm, c *command) (any, error) { return nil, r.wait(false, timeout(c)) },
		"wait_object":        waitObject,
		"refresh":            func(r *realm, _ *command) (any, error) { return nil, r.refresh() },
		"dump":               dump,
		"pause":              func(r *realm, _ *command) (any, error) { return nil, r.pause() },
		"resume":             func(r *realm, _ *command) (any, error) { return nil, r.resume() },
		"session":            func(r *realm, _ *command) (any, error) { return r.sessionState() },
		"errors":             func(r *realm, c *command) (any, error) { return r.events.problems(c.Clear), nil },
		"events":             func(r *realm, c *command) (any, error) { return r.events.all(c.Clear), nil },
		"wait_event": func(r *realm, c *command) (any, error) {
			return r.events.wait(c.Event, max(c.Count, 1), timeout(c))
		},
	}
)

// serve runs one line and returns the line that answers it, and whether it was
// the last one.
func (p *process) serve(line []byte) (answer []byte, last bool) {
	start := time.Now()
	var c command
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	d.DisallowUnknownFields()
	var result any
	err := d.Decode(&c)
	if err == nil {
		result, err = p.run(&c)
	}
	a := realmclient.Answer{OK: err == nil, Op: c.Op, Seq: c.Seq, Millis: time.Since(start).Milliseconds()}
	if result != nil {
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if e := enc.Encode(result); e != nil && err == nil {
			err, a.OK = e, false
		}
		a.Result = text.Bytes()
	}
	if err != nil {
		a.Error = err.Error()
		a.Timeout = errors.Is(err, errTimeout)
		var refused *appError
		if errors.As(err, &refused) {
			a.App = &refused.AppError
		}
	}
	answer, err = json.Marshal(a)
	if err != nil {
		answer = fmt.Appendf(nil, `{"ok":false,"seq":%d,"error":%q}`, c.Seq, err.Error())
	}
	return append(answer, '\n'), c.Op == "exit"
}

func (p *process) run(c *command) (any, error) {
	if c.Realm == "" {
		c.Realm = "main"
	}
	if c.User == "" {
		c.User = "main"
	}
	var a arena
	defer a.free()
	if f := processCommands[c.Op]; f != nil {
		return f(p, &a, c)
	}
	if f := appCommands[c.Op]; f != nil {
		if p.app == nil {
			return nil, errors.New("no app: send an app command first")
		}
		return f(p, &a, c)
	}
	r := p.realms[c.Realm]
	if f := realmCommands[c.Op]; f != nil {
		if r == nil {
			return nil, fmt.Errorf("no realm %q is open", c.Realm)
		}
		return f(r, c)
	}
	if c.Op == "close" && r != nil {
		delete(p.realms, c.Realm)
		return nil, r.close()
	}
	return nil, fmt.Errorf("unknown op %q, or nothing open for it", c.Op)
}

func version(*process, *arena, *command) (any, error) {
	return map[string]any{"core": C.GoString(C.rc_get_library_version())}, nil
}

func setLogLevel(_ *process, _ *arena, c *command) (any, error) {
	level, ok := logLevels[c.Level]
	if !ok {
		return nil, fmt.Errorf("unknown level %q", c.Level)
	}
	C.rc_set_log_level(C.int32_t(level))
	return nil, nil
}

var errTimeout = errors.New("timed out")

func timeout(c *command) time.Duration {
	if c.Timeout > 0 {
		return time.Duration(c.Timeout * float64(time.Second))
	}
	return realmclient.DefaultTimeout
}

// await receives what a callback of the library sends.
func await[T any](from <-chan T, limit time.Duration) (T, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case v := <-from:
		return v, nil
	case <-timer.C:
		var none T
		return none, errTimeout
	}
}

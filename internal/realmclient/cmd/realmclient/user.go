package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"encoding/json"
	"fmt"
	"time"
	"unsafe"

	"github.com/isthmus-sync/isthmus/internal/realmclient"
)

// appError is a failed App Services call.
type appError struct{ realmclient.AppError }

func (e *appError) Error() string {
	return fmt.Sprintf("app error %d: %s", e.Code, e.Message)
}

// result is what a call's callback hands over.
type result[T any] struct {
	value T
	err   *appError
}

// call starts an App Services call and waits for what it brings.
func call[T any](op string, limit time.Duration, start func(h C.uintptr_t) C.bool) (T, error) {
	done := make(chan result[T], 1)
	var none T
	if !start(register(func(v T, err *appError) { done <- result[T]{v, err} })) {
		return none, lastError(op)
	}
	got, err := await(done, limit)
	if err != nil {
		return none, err
	}
	if got.err != nil {
		return none, got.err
	}
	return got.value, nil
}

// nothing is the result of a call that brings none.
type nothing struct{}

func callVoid(c *command, start func(h C.uintptr_t) C.bool) (any, error) {
	_, err := call[nothing](c.Op, timeout(c), start)
	return nil, err
}

func (p *process) user(c *command) (C.rc_h, error) {
	u := p.users[c.User]
	if u == nil {
		return nil, fmt.Errorf("no user %q is logged in", c.User)
	}
	return u, nil
}

// enter logs in with credentials and keeps the user under the command's name.
func (p *process) enter(c *command, credentials C.rc_h) (any, error) {
	if credentials == nil {
		return nil, lastError("credentials")
	}
	defer C.rc_release(credentials)
	return p.keep(c, func(h C.uintptr_t) C.bool { return C.rcx_login(p.app, credentials, h) })
}

func (p *process) keep(c *command, start func(h C.uintptr_t) C.bool) (any, error) {
	u, err := call[C.rc_h](c.Op, timeout(c), start)
	if err != nil {
		return nil, err
	}
	p.users[c.User] = u
	return userInfo(u), nil
}

func loginAnonymous(p *process, _ *arena, c *command) (any, error) {
	return p.enter(c, C.rc_app_credentials_new_anonymous(C.bool(c.Reuse)))
}

func loginEmail(p *process, a *arena, c *command) (any, error) {
	return p.enter(c, C.rc_app_credentials_new_email_password(a.str(c.Email), a.rcString(c.Password)))
}

func loginJWT(p *process, a *arena, c *command) (any, error) {
	return p.enter(c, C.rc_app_credentials_new_jwt(a.str(c.Token)))
}

func loginAPIKey(p *process, a *arena, c *command) (any, error) {
	return p.enter(c, C.rc_app_credentials_new_api_key(a.str(c.Key)))
}

func loginFunction(p *process, a *arena, c *command) (any, error) {
	args, err := jsonArgs(c, map[string]any{})
	if err != nil {
		return nil, err
	}
	return p.enter(c, C.rc_app_credentials_new_function(a.str(args)))
}

func linkEmail(p *process, a *arena, c *command) (any, error) {
	u, err := p.user(c)
	if err != nil {
		return nil, err
	}
	credentials := C.rc_app_credentials_new_email_password(a.str(c.Email), a.rcString(c.Password))
	if credentials == nil {
		return nil, lastError("credentials")
	}
	defer C.rc_release(credentials)
	return p.keep(c, func(h C.uintptr_t) C.bool { return C.rcx_link(p.app, u, credentials, h) })
}

func registerEmail(p *process, a *arena, c *command) (any, error) {
	return callVoid(c, func(h C.uintptr_t) C.bool {
		return C.rcx_register(p.app, a.str(c.Email), a.rcString(c.Password), h)
	})
}

func confirmEmail(p *process, a *arena, c *command) (any, error) {
	return callVoid(c, func(h C.uintptr_t) C.bool {
		return C.rcx_confirm(p.app, a.str(c.Token), a.str(c.TokenID), h)
	})
}

func resendConfirmation(p *process, a *arena, c *command) (any, error) {
	return callVoid(c, func(h C.uintptr_t) C.bool { return C.rcx_resend(p.app, a.str(c.Email), h) })
}

func sendResetPassword(p *process, a *arena, c *command) (any, error) {
	return callVoid(c, func(h C.uintptr_t) C.bool { return C.rcx_send_reset(p.app, a.str(c.Email), h) })
}

func resetPassword(p *process, a *arena, c *command) (any, error) {
	return callVoid(c, func(h C.uintptr_t) C.bool {
		return C.rcx_reset_password(p.app, a.rcString(c.Password), a.str(c.Token), a.str(c.TokenID), h)
	})
}

func resetPasswordFunction(p *process, a *arena, c *command) (any, error) {
	args, err := jsonArgs(c, []any{})
	if err != nil {
		return nil, err
	}
	return callVoid(c, func(h C.uintptr_t) C.bool {
		return C.rcx_reset_function(p.app, a.str(c.Email), a.rcString(c.Password), a.str(args), h)
	})
}

// currentUser makes the user kept in the data folder the command's user.
func currentUser(p *process, _ *arena, c *command) (any, error) {
	u := C.rc_app_get_current_user(p.app)
	if u == nil {
		return nil, nil
	}
	p.users[c.User] = u
	return userInfo(u), nil
}

func showUser(p *process, _ *arena, c *command) (any, error) {
	u, err := p.user(c)
	if err != nil {
		return nil, err
	}
	return userInfo(u), nil
}

// userCall makes one of the calls on a user that bring nothing; which is rcx_user_void's number for it.
func userCall(p *process, c *command, which C.int) (any, error) {
	u, err := p.user(c)
	if err != nil {
		return nil, err
	}
	return callVoid(c, func(h C.uintptr_t) C.bool { return C.rcx_user_void(which, p.app, u, h) })
}

func createAPIKey(p *process, a *arena, c *command) (any, error) {
	u, err := p.user(c)
	if err != nil {
		return nil, err
	}
	key, err := call[string](c.Op, timeout(c), func(h C.uintptr_t) C.bool {
		return C.rcx_create_apikey(p.app, u, a.str(c.Name), h)
	})
	if err != nil {
		return nil, err
	}
	return map[string]any{"key": key}, nil
}

func callFunction(p *process, a *arena, c *command) (any, error) {
	u, err := p.user(c)
	if err != nil {
		return nil, err
	}
	args, err := jsonArgs(c, []any{})
	if err != nil {
		return nil, err
	}
	service := (*C.char)(nil)
	if c.Service != "" {
		service = a.str(c.Service)
	}
	text, err := call[string](c.Op, timeout(c), func(h C.uintptr_t) C.bool {
		return C.rcx_call_function(p.app, u, a.str(c.Name), a.str(args), service, h)
	})
	if err != nil {
		return nil, err
	}
	if json.Valid([]byte(text)) {
		return json.RawMessage(text), nil
	}
	return text, nil
}

// jsonArgs is the text of the command's arguments, or of what stands for none.
func jsonArgs(c *command, none any) (string, error) {
	args := c.Args
	if args == nil {
		args = none
	}
	b, err := json.Marshal(args)
	return string(b), err
}

func userInfo(u C.rc_h) realmclient.User {
	states := [...]string{"logged_out", "logged_in", "removed"}
	return realmclient.User{
		ID:           take(C.rc_user_get_identity(u)),
		State:        states[int(C.rc_user_get_state(u))],
		DeviceID:     take(C.rc_user_get_device_id(u)),
		AccessToken:  take(C.rc_user_get_access_token(u)),
		RefreshToken: take(C.rc_user_get_refresh_token(u)),
		CustomData:   takeJSON(C.rc_user_get_custom_data(u)),
		Profile:      takeJSON(C.rc_user_get_profile_data(u)),
	}
}

// take copies a string that the library made for us, and frees it.
func take(s *C.char) string {
	if s == nil {
		return ""
	}
	defer C.rc_free(unsafe.Pointer(s))
	return C.GoString(s)
}

func takeJSON(s *C.char) json.RawMessage {
	text := take(s)
	if !json.Valid([]byte(text)) {
		return nil
	}
	return json.RawMessage(text)
}

package main

/*
#include <stdlib.h>
#include "capi.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
)

// requestTimeout bounds an App Services call, in milliseconds.
const requestTimeout = 60_000

func openApp(p *process, a *arena, c *command) (any, error) {
	if p.app != nil {
		return nil, errors.New("the app is open; one process drives one app")
	}
	if c.ID == "" || c.BaseURL == "" || c.DataDir == "" {
		return nil, errors.New("app wants id, base_url and data_dir")
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, err
	}
	p.transport = C.rcx_transport_new()
	config := C.rc_app_config_new(a.str(c.ID), p.transport)
	C.rc_app_config_set_base_url(config, a.str(c.BaseURL))
	C.rc_app_config_set_base_file_path(config, a.str(c.DataDir))
	C.rc_app_config_set_metadata_mode(config, 0) // plain text
	C.rc_app_config_set_default_request_timeout(config, requestTimeout)
	C.rc_app_config_set_platform_version(config, a.str("1"))
	C.rc_app_config_set_sdk(config, a.str("realmclient"))
	C.rc_app_config_set_sdk_version(config, a.str("0.1"))
	C.rc_app_config_set_device_name(config, a.str("test"))
	C.rc_app_config_set_device_version(config, a.str("1"))
	C.rc_app_config_set_framework_name(config, a.str("go"))
	C.rc_app_config_set_framework_version(config, a.str("1"))
	bundle := c.BundleID
	if bundle == "" {
		bundle = "realmclient"
	}
	C.rc_app_config_set_bundle_id(config, a.str(bundle))

	sync := C.rc_app_config_get_sync_client_config(config)
	C.rc_sync_client_config_set_user_agent_binding_info(sync, a.str("realmclient/0.1"))
	if c.Multiplex != nil {
		C.rc_sync_client_config_set_multiplex_sessions(sync, C.bool(*c.Multiplex))
	}
	if c.ReconnectTesting {
		C.rc_sync_client_config_set_reconnect_mode(sync, 1)
	}
	for name, value := range c.Timeouts {
		if err := setTimeout(sync, name, value); err != nil {
			return nil, err
		}
	}
	p.appConfig = config
	p.app = C.rc_app_create(config)
	if p.app == nil {
		return nil, lastError("app_create")
	}
	return nil, nil
}

func setTimeout(sync C.rc_h, name string, value uint64) error {
	n := C.uint64_t(value)
	switch name {
	case "connect":
		C.rc_sync_client_config_set_connect_timeout(sync, n)
	case "linger":
		C.rc_sync_client_config_set_connection_linger_time(sync, n)
	case "ping":
		C.rc_sync_client_config_set_ping_keepalive_period(sync, n)
	case "pong":
		C.rc_sync_client_config_set_pong_keepalive_timeout(sync, n)
	case "fast_reconnect":
		C.rc_sync_client_config_set_fast_reconnect_limit(sync, n)
	case "resumption":
		C.rc_sync_client_config_set_resumption_delay_interval(sync, n)
	case "max_resumption":
		C.rc_sync_client_config_set_max_resumption_delay_interval(sync, n)
	case "backoff":
		C.rc_sync_client_config_set_resumption_delay_backoff_multiplier(sync, C.int32_t(value))
	default:
		return fmt.Errorf("unknown timeout %q", name)
	}
	return nil
}

func reconnect(p *process, _ *arena, _ *command) (any, error) {
	C.rc_app_sync_client_reconnect(p.app)
	return nil, nil
}

func hasSessions(p *process, _ *arena, _ *command) (any, error) {
	return bool(C.rc_app_sync_client_has_sessions(p.app)), nil
}

func waitSessionsEnd(p *process, _ *arena, _ *command) (any, error) {
	C.rc_app_sync_client_wait_for_sessions_to_terminate(p.app)
	return nil, nil
}

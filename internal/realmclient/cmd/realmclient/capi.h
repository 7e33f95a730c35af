// Hand-written declarations of the part of the Realm C interface that this
// program calls. They are resolved at run time with dlopen and dlsym, so
// neither a Realm header nor a Realm library is needed to build.
//
// Conventions: every opaque handle is `void *`; every C enum is `int32_t`.
#ifndef REALMCLIENT_CAPI_H
#define REALMCLIENT_CAPI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void *rc_h;

// 24 bytes: a 16-byte payload followed by a 4-byte tag. Passed by value, that
// is in memory, whatever the members of the payload are.
typedef struct { uint64_t a, b; int32_t type; } rc_value;
typedef struct { const char *data; size_t size; } rc_string;
typedef struct { int64_t seconds; int32_t nanos; } rc_timestamp;
typedef struct { uint32_t table; int64_t key; } rc_link;
typedef struct { uint64_t version, index; } rc_version;
typedef struct { uint64_t ident; int64_t salt; } rc_file_ident;
typedef struct { uint8_t bytes[12]; } rc_oid;

typedef struct {
  int32_t error;
  uint32_t categories;
  const char *message;
  void *user_code_error;
  const char *path;
} rc_error;

typedef struct {
  int32_t error;
  uint32_t categories;
  const char *message;
  int32_t http_status;
  const char *link_to_logs;
} rc_app_error;

typedef struct { const char *name, *primary_key; size_t n_props, n_computed; uint32_t key; int32_t flags; } rc_class;

typedef struct {
  const char *name, *public_name;
  int32_t type, collection;
  const char *link_target, *link_origin;
  int64_t key;
  int32_t flags;
} rc_prop;

typedef struct { size_t n; bool is_list; rc_value *v; } rc_query_arg;
typedef struct { const char *name, *value; } rc_header;

typedef struct {
  int32_t method;
  const char *url;
  uint64_t timeout_ms;
  const rc_header *headers;
  size_t n_headers;
  const char *body;
  size_t body_size;
} rc_http_request;

typedef struct {
  int32_t status, custom_status;
  const rc_header *headers;
  size_t n_headers;
  const char *body;
  size_t body_size;
} rc_http_response;

typedef struct { const char *key, *value; } rc_kv;
typedef struct { const char *reason, *object_name; rc_value pk; } rc_comp_write;

typedef struct {
  rc_error status;
  const char *original_path_key, *recovery_path_key;
  bool fatal, unrecognized, client_reset;
  int32_t action;
  rc_kv *info;
  size_t n_info;
  rc_comp_write *comp;
  size_t n_comp;
  void *user_code_error;
} rc_sync_error;

typedef struct { rc_oid id; const char *key, *name; bool disabled; } rc_apikey;

typedef void (*rc_free_fn)(void *);
typedef void (*rc_log_fn)(void *, const char *, int32_t, const char *);
typedef void (*rc_http_fn)(void *, const rc_http_request, void *);
typedef void (*rc_user_fn)(void *, rc_h, const rc_app_error *);
typedef void (*rc_void_fn)(void *, const rc_app_error *);
typedef void (*rc_string_fn)(void *, const char *, const rc_app_error *);
typedef void (*rc_apikey_fn)(void *, rc_apikey *, const rc_app_error *);
typedef void (*rc_wait_fn)(void *, rc_error *);
typedef void (*rc_sync_error_fn)(void *, rc_h, const rc_sync_error);
typedef bool (*rc_before_reset_fn)(void *, rc_h);
typedef bool (*rc_after_reset_fn)(void *, rc_h, rc_h, bool);
typedef void (*rc_state_fn)(void *, int32_t);
typedef void (*rc_conn_fn)(void *, int32_t, int32_t);
typedef void (*rc_progress_fn)(void *, uint64_t, uint64_t, double);
typedef void (*rc_notify_fn)(void *, rc_h);
typedef bool (*rc_bool_fn)(void *);
typedef bool (*rc_same_fn)(const void *, const void *);
typedef bool (*rc_migration_fn)(void *, rc_h, rc_h, const void *);

// X(return type, name without the realm_ prefix, parameters, arguments)
#define RC_FUNCS(X)                                                                                             \
  X(const char *, get_library_version, (void), ())                                                              \
  X(bool, get_last_error, (rc_error *e), (e))                                                                   \
  X(bool, clear_last_error, (void), ())                                                                         \
  X(void, free, (void *p), (p))                                                                                 \
  X(void, release, (rc_h h), (h))                                                                               \
  X(rc_h, clone, (rc_h h), (h))                                                                                 \
  X(void, set_log_callback, (rc_log_fn f, void *u, rc_free_fn d), (f, u, d))                                    \
  X(void, set_log_level, (int32_t l), (l))                                                                      \
  X(rc_h, config_new, (void), ())                                                                               \
  X(void, config_set_path, (rc_h c, const char *p), (c, p))                                                     \
  X(void, config_set_schema, (rc_h c, rc_h s), (c, s))                                                          \
  X(void, config_set_schema_version, (rc_h c, uint64_t v), (c, v))                                              \
  X(void, config_set_schema_mode, (rc_h c, int32_t m), (c, m))                                                  \
  X(void, config_set_schema_subset_mode, (rc_h c, int32_t m), (c, m))                                           \
  X(void, config_set_scheduler, (rc_h c, rc_h s), (c, s))                                                       \
  X(void, config_set_sync_config, (rc_h c, rc_h s), (c, s))                                                     \
  X(void, config_set_force_sync_history, (rc_h c, bool b), (c, b))                                              \
  X(void, config_set_automatic_change_notifications, (rc_h c, bool b), (c, b))                                  \
  X(void, config_set_cached, (rc_h c, bool b), (c, b))                                                          \
  X(void, config_set_migration_function, (rc_h c, rc_migration_fn f, void *u, rc_free_fn d), (c, f, u, d))      \
  X(rc_h, scheduler_new,                                                                                        \
    (void *u, rc_free_fn d, rc_notify_fn n, rc_bool_fn on, rc_same_fn same, rc_bool_fn can),                    \
    (u, d, n, on, same, can))                                                                                   \
  X(rc_h, open, (rc_h c), (c))                                                                                  \
  X(bool, close, (rc_h r), (r))                                                                                 \
  X(bool, is_closed, (rc_h r), (r))                                                                             \
  X(bool, begin_write, (rc_h r), (r))                                                                           \
  X(bool, commit, (rc_h r), (r))                                                                                \
  X(bool, rollback, (rc_h r), (r))                                                                              \
  X(bool, refresh, (rc_h r, bool *did), (r, did))                                                               \
  X(bool, get_version_id, (rc_h r, bool *found, rc_version *v), (r, found, v))                                  \
  X(bool, convert_with_config, (rc_h r, rc_h c, bool merge), (r, c, merge))                                     \
  X(bool, remove_table, (rc_h r, const char *n, bool *deleted), (r, n, deleted))                                \
  X(rc_h, schema_new, (const rc_class *c, size_t n, const rc_prop **p), (c, n, p))                              \
  X(bool, schema_validate, (rc_h s, uint64_t mode), (s, mode))                                                  \
  X(size_t, get_num_classes, (rc_h r), (r))                                                                     \
  X(bool, get_class_keys, (rc_h r, uint32_t *k, size_t max, size_t *n), (r, k, max, n))                         \
  X(bool, find_class, (rc_h r, const char *n, bool *found, rc_class *c), (r, n, found, c))                      \
  X(bool, get_class, (rc_h r, uint32_t k, rc_class *c), (r, k, c))                                              \
  X(bool, get_class_properties, (rc_h r, uint32_t k, rc_prop *p, size_t max, size_t *n), (r, k, p, max, n))     \
  X(bool, get_num_objects, (rc_h r, uint32_t k, size_t *n), (r, k, n))                                          \
  X(rc_h, get_object, (rc_h r, uint32_t c, int64_t k), (r, c, k))                                               \
  X(rc_h, object_find_with_primary_key, (rc_h r, uint32_t c, rc_value pk, bool *f), (r, c, pk, f))              \
  X(rc_h, object_find_all, (rc_h r, uint32_t c), (r, c))                                                        \
  X(rc_h, object_create, (rc_h r, uint32_t c), (r, c))                                                          \
  X(rc_h, object_create_with_primary_key, (rc_h r, uint32_t c, rc_value pk), (r, c, pk))                        \
  X(rc_h, object_get_or_create_with_primary_key, (rc_h r, uint32_t c, rc_value pk, bool *f), (r, c, pk, f))     \
  X(bool, object_delete, (rc_h o), (o))                                                                         \
  X(bool, object_add_int, (rc_h o, int64_t p, int64_t v), (o, p, v))                                            \
  X(bool, object_is_valid, (rc_h o), (o))                                                                       \
  X(int64_t, object_get_key, (rc_h o), (o))                                                                     \
  X(uint32_t, object_get_table, (rc_h o), (o))                                                                  \
  X(rc_link, object_as_link, (rc_h o), (o))                                                                     \
  X(bool, get_value, (rc_h o, int64_t p, rc_value *v), (o, p, v))                                               \
  X(bool, set_value, (rc_h o, int64_t p, rc_value v, bool dflt), (o, p, v, dflt))                               \
  X(bool, set_json, (rc_h o, int64_t p, const char *j), (o, p, j))                                              \
  X(rc_h, set_embedded, (rc_h o, int64_t p), (o, p))                                                            \
  X(rc_h, set_list, (rc_h o, int64_t p), (o, p))                                                                \
  X(rc_h, set_dictionary, (rc_h o, int64_t p), (o, p))                                                          \
  X(rc_h, get_linked_object, (rc_h o, int64_t p), (o, p))                                                       \
  X(rc_h, get_list, (rc_h o, int64_t p), (o, p))                                                                \
  X(bool, list_size, (rc_h l, size_t *n), (l, n))                                                               \
  X(bool, list_get, (rc_h l, size_t i, rc_value *v), (l, i, v))                                                 \
  X(bool, list_set, (rc_h l, size_t i, rc_value v), (l, i, v))                                                  \
  X(bool, list_insert, (rc_h l, size_t i, rc_value v), (l, i, v))                                               \
  X(rc_h, list_insert_list, (rc_h l, size_t i), (l, i))                                                         \
  X(rc_h, list_insert_dictionary, (rc_h l, size_t i), (l, i))                                                   \
  X(rc_h, list_set_list, (rc_h l, size_t i), (l, i))                                                            \
  X(rc_h, list_set_dictionary, (rc_h l, size_t i), (l, i))                                                      \
  X(rc_h, list_get_list, (rc_h l, size_t i), (l, i))                                                            \
  X(rc_h, list_get_dictionary, (rc_h l, size_t i), (l, i))                                                      \
  X(bool, list_move, (rc_h l, size_t from, size_t to), (l, from, to))                                           \
  X(rc_h, list_insert_embedded, (rc_h l, size_t i), (l, i))                                                     \
  X(rc_h, list_set_embedded, (rc_h l, size_t i), (l, i))                                                        \
  X(rc_h, list_get_linked_object, (rc_h l, size_t i), (l, i))                                                   \
  X(bool, list_erase, (rc_h l, size_t i), (l, i))                                                               \
  X(bool, list_clear, (rc_h l), (l))                                                                            \
  X(bool, list_remove_all, (rc_h l), (l))                                                                       \
  X(rc_h, get_set, (rc_h o, int64_t p), (o, p))                                                                 \
  X(bool, set_size, (rc_h s, size_t *n), (s, n))                                                                \
  X(bool, set_get, (rc_h s, size_t i, rc_value *v), (s, i, v))                                                  \
  X(bool, set_insert, (rc_h s, rc_value v, size_t *i, bool *ins), (s, v, i, ins))                               \
  X(bool, set_erase, (rc_h s, rc_value v, bool *erased), (s, v, erased))                                        \
  X(bool, set_clear, (rc_h s), (s))                                                                             \
  X(bool, set_remove_all, (rc_h s), (s))                                                                        \
  X(rc_h, get_dictionary, (rc_h o, int64_t p), (o, p))                                                          \
  X(bool, dictionary_size, (rc_h d, size_t *n), (d, n))                                                         \
  X(bool, dictionary_get, (rc_h d, size_t i, rc_value *k, rc_value *v), (d, i, k, v))                           \
  X(bool, dictionary_find, (rc_h d, rc_value k, rc_value *v, bool *f), (d, k, v, f))                            \
  X(bool, dictionary_insert, (rc_h d, rc_value k, rc_value v, size_t *i, bool *ins), (d, k, v, i, ins))         \
  X(rc_h, dictionary_insert_embedded, (rc_h d, rc_value k), (d, k))                                             \
  X(rc_h, dictionary_insert_list, (rc_h d, rc_value k), (d, k))                                                 \
  X(rc_h, dictionary_insert_dictionary, (rc_h d, rc_value k), (d, k))                                           \
  X(rc_h, dictionary_get_list, (rc_h d, rc_value k), (d, k))                                                    \
  X(rc_h, dictionary_get_dictionary, (rc_h d, rc_value k), (d, k))                                              \
  X(rc_h, dictionary_get_linked_object, (rc_h d, rc_value k), (d, k))                                           \
  X(bool, dictionary_erase, (rc_h d, rc_value k, bool *erased), (d, k, erased))                                 \
  X(bool, dictionary_clear, (rc_h d), (d))                                                                      \
  X(bool, results_count, (rc_h r, size_t *n), (r, n))                                                           \
  X(bool, results_get, (rc_h r, size_t i, rc_value *v), (r, i, v))                                              \
  X(rc_h, results_get_object, (rc_h r, size_t i), (r, i))                                                       \
  X(bool, results_delete_all, (rc_h r), (r))                                                                    \
  X(rc_h, query_parse, (rc_h r, uint32_t c, const char *q, size_t n, const rc_query_arg *a), (r, c, q, n, a))   \
  X(rc_h, query_find_all, (rc_h q), (q))                                                                        \
  X(rc_h, http_transport_new, (rc_http_fn f, void *u, rc_free_fn d), (f, u, d))                                 \
  X(void, http_transport_complete_request, (void *ctx, const rc_http_response *r), (ctx, r))                    \
  X(rc_h, app_credentials_new_anonymous, (bool reuse), (reuse))                                                 \
  X(rc_h, app_credentials_new_email_password, (const char *e, rc_string p), (e, p))                             \
  X(rc_h, app_credentials_new_jwt, (const char *t), (t))                                                        \
  X(rc_h, app_credentials_new_api_key, (const char *k), (k))                                                    \
  X(rc_h, app_credentials_new_function, (const char *j), (j))                                                   \
  X(rc_h, app_config_new, (const char *id, rc_h transport), (id, transport))                                    \
  X(void, app_config_set_base_url, (rc_h c, const char *s), (c, s))                                             \
  X(void, app_config_set_base_file_path, (rc_h c, const char *s), (c, s))                                       \
  X(void, app_config_set_default_request_timeout, (rc_h c, uint64_t ms), (c, ms))                               \
  X(void, app_config_set_metadata_mode, (rc_h c, int32_t m), (c, m))                                            \
  X(void, app_config_set_platform_version, (rc_h c, const char *s), (c, s))                                     \
  X(void, app_config_set_sdk, (rc_h c, const char *s), (c, s))                                                  \
  X(void, app_config_set_sdk_version, (rc_h c, const char *s), (c, s))                                          \
  X(void, app_config_set_device_name, (rc_h c, const char *s), (c, s))                                          \
  X(void, app_config_set_device_version, (rc_h c, const char *s), (c, s))                                       \
  X(void, app_config_set_framework_name, (rc_h c, const char *s), (c, s))                                       \
  X(void, app_config_set_framework_version, (rc_h c, const char *s), (c, s))                                    \
  X(void, app_config_set_bundle_id, (rc_h c, const char *s), (c, s))                                            \
  X(rc_h, app_config_get_sync_client_config, (rc_h c), (c))                                                     \
  X(rc_h, app_create, (rc_h c), (c))                                                                            \
  X(rc_h, app_get_current_user, (rc_h a), (a))                                                                  \
  X(bool, app_log_in_with_credentials, (rc_h a, rc_h c, rc_user_fn f, void *u, rc_free_fn d), (a, c, f, u, d))  \
  X(bool, app_link_user, (rc_h a, rc_h us, rc_h c, rc_user_fn f, void *u, rc_free_fn d), (a, us, c, f, u, d))   \
  X(bool, app_log_out, (rc_h a, rc_h us, rc_void_fn f, void *u, rc_free_fn d), (a, us, f, u, d))                \
  X(bool, app_remove_user, (rc_h a, rc_h us, rc_void_fn f, void *u, rc_free_fn d), (a, us, f, u, d))            \
  X(bool, app_delete_user, (rc_h a, rc_h us, rc_void_fn f, void *u, rc_free_fn d), (a, us, f, u, d))            \
  X(bool, app_refresh_custom_data, (rc_h a, rc_h us, rc_void_fn f, void *u, rc_free_fn d), (a, us, f, u, d))    \
  X(bool, app_email_password_provider_client_register_email,                                                    \
    (rc_h a, const char *e, rc_string p, rc_void_fn f, void *u, rc_free_fn d), (a, e, p, f, u, d))              \
  X(bool, app_email_password_provider_client_confirm_user,                                                      \
    (rc_h a, const char *t, const char *id, rc_void_fn f, void *u, rc_free_fn d), (a, t, id, f, u, d))          \
  X(bool, app_email_password_provider_client_resend_confirmation_email,                                         \
    (rc_h a, const char *e, rc_void_fn f, void *u, rc_free_fn d), (a, e, f, u, d))                              \
  X(bool, app_email_password_provider_client_send_reset_password_email,                                         \
    (rc_h a, const char *e, rc_void_fn f, void *u, rc_free_fn d), (a, e, f, u, d))                              \
  X(bool, app_email_password_provider_client_reset_password,                                                    \
    (rc_h a, rc_string p, const char *t, const char *id, rc_void_fn f, void *u, rc_free_fn d),                  \
    (a, p, t, id, f, u, d))                                                                                     \
  X(bool, app_email_password_provider_client_call_reset_password_function,                                      \
    (rc_h a, const char *e, rc_string p, const char *args, rc_void_fn f, void *u, rc_free_fn d),                \
    (a, e, p, args, f, u, d))                                                                                   \
  X(bool, app_user_apikey_provider_client_create_apikey,                                                        \
    (rc_h a, rc_h us, const char *n, rc_apikey_fn f, void *u, rc_free_fn d), (a, us, n, f, u, d))               \
  X(bool, app_call_function,                                                                                    \
    (rc_h a, rc_h us, const char *n, const char *args, const char *svc, rc_string_fn f, void *u, rc_free_fn d), \
    (a, us, n, args, svc, f, u, d))                                                                             \
  X(void, app_sync_client_reconnect, (rc_h a), (a))                                                             \
  X(bool, app_sync_client_has_sessions, (rc_h a), (a))                                                          \
  X(void, app_sync_client_wait_for_sessions_to_terminate, (rc_h a), (a))                                        \
  X(char *, app_sync_client_get_default_file_path_for_realm, (rc_h sc, const char *n), (sc, n))                 \
  X(char *, user_get_identity, (rc_h u), (u))                                                                   \
  X(int32_t, user_get_state, (rc_h u), (u))                                                                     \
  X(char *, user_get_device_id, (rc_h u), (u))                                                                  \
  X(char *, user_get_access_token, (rc_h u), (u))                                                               \
  X(char *, user_get_refresh_token, (rc_h u), (u))                                                              \
  X(char *, user_get_custom_data, (rc_h u), (u))                                                                \
  X(char *, user_get_profile_data, (rc_h u), (u))                                                               \
  X(void, sync_client_config_set_reconnect_mode, (rc_h c, int32_t m), (c, m))                                   \
  X(void, sync_client_config_set_multiplex_sessions, (rc_h c, bool b), (c, b))                                  \
  X(void, sync_client_config_set_user_agent_binding_info, (rc_h c, const char *s), (c, s))                      \
  X(void, sync_client_config_set_user_agent_application_info, (rc_h c, const char *s), (c, s))                  \
  X(void, sync_client_config_set_connect_timeout, (rc_h c, uint64_t ms), (c, ms))                               \
  X(void, sync_client_config_set_connection_linger_time, (rc_h c, uint64_t ms), (c, ms))                        \
  X(void, sync_client_config_set_ping_keepalive_period, (rc_h c, uint64_t ms), (c, ms))                         \
  X(void, sync_client_config_set_pong_keepalive_timeout, (rc_h c, uint64_t ms), (c, ms))                        \
  X(void, sync_client_config_set_fast_reconnect_limit, (rc_h c, uint64_t ms), (c, ms))                          \
  X(void, sync_client_config_set_resumption_delay_interval, (rc_h c, uint64_t ms), (c, ms))                     \
  X(void, sync_client_config_set_max_resumption_delay_interval, (rc_h c, uint64_t ms), (c, ms))                 \
  X(void, sync_client_config_set_resumption_delay_backoff_multiplier, (rc_h c, int32_t n), (c, n))              \
  X(rc_h, sync_config_new, (rc_h u, const char *partition), (u, partition))                                     \
  X(rc_h, flx_sync_config_new, (rc_h u), (u))                                                                   \
  X(void, sync_config_set_session_stop_policy, (rc_h c, int32_t p), (c, p))                                     \
  X(void, sync_config_set_error_handler, (rc_h c, rc_sync_error_fn f, void *u, rc_free_fn d), (c, f, u, d))     \
  X(void, sync_config_set_client_validate_ssl, (rc_h c, bool b), (c, b))                                        \
  X(void, sync_config_set_ssl_trust_certificate_path, (rc_h c, const char *p), (c, p))                          \
  X(void, sync_config_set_cancel_waits_on_nonfatal_error, (rc_h c, bool b), (c, b))                             \
  X(void, sync_config_set_custom_http_header, (rc_h c, const char *n, const char *v), (c, n, v))                \
  X(void, sync_config_set_resync_mode, (rc_h c, int32_t m), (c, m))                                             \
  X(void, sync_config_set_before_client_reset_handler, (rc_h c, rc_before_reset_fn f, void *u, rc_free_fn d),   \
    (c, f, u, d))                                                                                               \
  X(void, sync_config_set_after_client_reset_handler, (rc_h c, rc_after_reset_fn f, void *u, rc_free_fn d),     \
    (c, f, u, d))                                                                                               \
  X(rc_string, sync_subscription_name, (rc_h s), (s))                                                           \
  X(rc_string, sync_subscription_object_class_name, (rc_h s), (s))                                              \
  X(rc_string, sync_subscription_query_string, (rc_h s), (s))                                                   \
  X(rc_h, sync_get_latest_subscription_set, (rc_h r), (r))                                                      \
  X(rc_h, sync_get_active_subscription_set, (rc_h r), (r))                                                      \
  X(bool, sync_on_subscription_set_state_change_async,                                                          \
    (rc_h s, int32_t st, rc_state_fn f, void *u, rc_free_fn d), (s, st, f, u, d))                               \
  X(int64_t, sync_subscription_set_version, (rc_h s), (s))                                                      \
  X(int32_t, sync_subscription_set_state, (rc_h s), (s))                                                        \
  X(const char *, sync_subscription_set_error_str, (rc_h s), (s))                                               \
  X(size_t, sync_subscription_set_size, (rc_h s), (s))                                                          \
  X(rc_h, sync_subscription_at, (rc_h s, size_t i), (s, i))                                                     \
  X(bool, sync_subscription_set_refresh, (rc_h s), (s))                                                         \
  X(rc_h, sync_make_subscription_set_mutable, (rc_h s), (s))                                                    \
  X(bool, sync_subscription_set_clear, (rc_h s), (s))                                                           \
  X(bool, sync_subscription_set_insert_or_assign_query,                                                         \
    (rc_h s, rc_h q, const char *n, size_t *i, bool *ins), (s, q, n, i, ins))                                   \
  X(bool, sync_subscription_set_erase_by_name, (rc_h s, const char *n, bool *e), (s, n, e))                     \
  X(bool, sync_subscription_set_erase_by_query, (rc_h s, rc_h q, bool *e), (s, q, e))                           \
  X(bool, sync_subscription_set_erase_by_class_name, (rc_h s, const char *n, bool *e), (s, n, e))               \
  X(rc_h, sync_subscription_set_commit, (rc_h s), (s))                                                          \
  X(rc_h, sync_session_get, (rc_h r), (r))                                                                      \
  X(int32_t, sync_session_get_state, (rc_h s), (s))                                                             \
  X(int32_t, sync_session_get_connection_state, (rc_h s), (s))                                                  \
  X(void, sync_session_pause, (rc_h s), (s))                                                                    \
  X(void, sync_session_resume, (rc_h s), (s))                                                                   \
  X(void, sync_session_get_file_ident, (rc_h s, rc_file_ident *o), (s, o))                                      \
  X(rc_h, sync_session_register_connection_state_change_callback,                                               \
    (rc_h s, rc_conn_fn f, void *u, rc_free_fn d), (s, f, u, d))                                                \
  X(rc_h, sync_session_register_progress_notifier,                                                              \
    (rc_h s, rc_progress_fn f, int32_t dir, bool stream, void *u, rc_free_fn d), (s, f, dir, stream, u, d))     \
  X(void, sync_session_wait_for_download_completion, (rc_h s, rc_wait_fn f, void *u, rc_free_fn d),             \
    (s, f, u, d))                                                                                               \
  X(void, sync_session_wait_for_upload_completion, (rc_h s, rc_wait_fn f, void *u, rc_free_fn d), (s, f, u, d)) \
  X(bool, sync_immediately_run_file_actions, (rc_h a, const char *p, bool *did), (a, p, did))

#define RC_DECLARE(R, N, P, A) R rc_##N P;
RC_FUNCS(RC_DECLARE)
#undef RC_DECLARE

// Loads the library; returns NULL, or a message that says what failed.
const char *rc_load(const char *path);

// Glue with callbacks into Go; `h` is the number of a waiting Go closure.
void rcx_install_log(int32_t level);
rc_h rcx_transport_new(void);
rc_h rcx_scheduler_new(void);
bool rcx_login(rc_h app, rc_h creds, uintptr_t h);
bool rcx_link(rc_h app, rc_h user, rc_h creds, uintptr_t h);
bool rcx_user_void(int which, rc_h app, rc_h user, uintptr_t h);
bool rcx_register(rc_h app, const char *email, rc_string pw, uintptr_t h);
bool rcx_confirm(rc_h app, const char *token, const char *token_id, uintptr_t h);
bool rcx_resend(rc_h app, const char *email, uintptr_t h);
bool rcx_send_reset(rc_h app, const char *email, uintptr_t h);
bool rcx_reset_password(rc_h app, rc_string pw, const char *token, const char *token_id, uintptr_t h);
bool rcx_reset_function(rc_h app, const char *email, rc_string pw, const char *args, uintptr_t h);
bool rcx_create_apikey(rc_h app, rc_h user, const char *name, uintptr_t h);
bool rcx_call_function(rc_h app, rc_h user, const char *name, const char *args, const char *svc, uintptr_t h);
void rcx_sync_callbacks(rc_h sync_config, uintptr_t h);
void rcx_wait(rc_h session, bool upload, uintptr_t h);
bool rcx_sub_async(rc_h set, int32_t state, uintptr_t h);
rc_h rcx_conn_callback(rc_h session, uintptr_t h);
rc_h rcx_progress(rc_h session, int32_t direction, bool streaming, uintptr_t h);
void rcx_migration(rc_h config);

#endif

/* Every option, once.
 *
 *     coffer_options *options = coffer_options_new();
 *     coffer_options_set_url(options, COFFER_SLICE("redis://cache.internal/0?timeout=500ms"), &error);
 *     coffer_options_set(options, "ttl", COFFER_SLICE("30m"), &error);
 *     coffer_open(&cache, options, &error);        takes a copy
 *     coffer_options_free(options);
 *
 * The table gives URL parameters, keyword arguments of the bindings, names in the environment, `--help` and the reference in docs/options.md.
 * Whatever set an option last wins.
 *
 * X(name, KIND, field, default, environment, namespace, help)
 *   KIND         TEXT; SECRET (never shown); TIME ("250ms" "30s" "5m" "1h" "2d", a bare number is seconds); TTL (TIME, a class such as "short", or
 *                "forever"); SIZE ("64KiB" "16MiB", a bare number is bytes); COUNT; PERCENT; BOOL; CHOICE (see COFFER_CHOICE_MAP)
 *   environment  names read by coffer_options_from_environment besides COFFER_<NAME>, the first that is set wins; separated by blanks
 *   namespace    1: may be given anew to each namespace; 0: belongs to the client
 */
#ifndef COFFER_OPTIONS_H
#define COFFER_OPTIONS_H

#include <coffer/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define COFFER_OPTION_MAP(X) \
    X(url,                TEXT,    url,                   "mem://",  "REDIS_URL",                         0, "where the cache is: mem://, redis://, valkey://, rediss://, redis+cluster:// or unix://") \
    X(host,               TEXT,    host,                  "",        "REDIS_HOST",                        0, "the server's host name or address") \
    X(port,               COUNT,   port,                  "6379",    "REDIS_PORT",                        0, "the server's port, 1 to 65535") \
    X(path,               TEXT,    path,                  "",        "",                                  0, "the server's unix socket, instead of host and port") \
    X(cluster_nodes,      TEXT,    cluster_nodes,         "",        "REDIS_CLUSTER_NODES",               0, "some nodes of a cluster, instead of host and port: host:port,host:port") \
    X(sentinel_nodes,     TEXT,    sentinel_nodes,        "",        "",                                  0, "sentinels that know where the server is, instead of host and port: host:port,host:port") \
    X(sentinel_master,    TEXT,    sentinel_master,       "",        "",                                  0, "the name of the master that the sentinels watch") \
    X(sentinel_username,  TEXT,    sentinel_username,     "",        "",                                  0, "the sentinels' user") \
    X(sentinel_password,  SECRET,  sentinel_password,     "",        "",                                  0, "the sentinels' password; the server's is never sent to them") \
    X(sentinel_tls,       CHOICE,  sentinel_tls,          "same",    "",                                  0, "TLS to the sentinels: same (as to the server), on or off") \
    X(username,           TEXT,    username,              "",        "REDIS_USERNAME",                    0, "the server's user") \
    X(password,           SECRET,  password,              "",        "REDIS_PASSWORD",                    0, "the server's password") \
    X(password_file,      TEXT,    password_file,         "",        "REDIS_PASSWORD_FILE",               0, "a file with the password, read anew at each connect") \
    X(db,                 COUNT,   db,                    "0",       "REDIS_DB",                          0, "the server's database number, 0 to 65535") \
    X(client_name,        TEXT,    client_name,           "coffer",  "",                                  0, "the name shown by CLIENT LIST") \
    X(tls_ca_file,        TEXT,    tls_ca_file,           "",        "",                                  0, "authorities whose certificates are trusted, in PEM; without it and tls_ca_dir, the system's") \
    X(tls_ca_dir,         TEXT,    tls_ca_dir,            "",        "",                                  0, "the same as a folder, with names as openssl rehash gives them") \
    X(tls_cert_file,      TEXT,    tls_cert_file,         "",        "",                                  0, "our own certificate and its chain, in PEM, for servers that want one") \
    X(tls_key_file,       TEXT,    tls_key_file,          "",        "",                                  0, "its private key, in PEM; without it, tls_cert_file holds the key too") \
    X(tls_key_password,   SECRET,  tls_key_password,      "",        "",                                  0, "what opens that key where it is encrypted") \
    X(tls_server_name,    TEXT,    tls_server_name,       "",        "",                                  0, "the name in the server's certificate, where it is not the host") \
    X(tls_min_version,    CHOICE,  tls_min_version,       "1.2",     "",                                  0, "the oldest TLS that is accepted: 1.2 or 1.3") \
    X(tls_insecure_skip_verify, BOOL, tls_insecure_skip_verify, "false", "",                              0, "true: anybody may be the server; for tests alone, and logged") \
    X(read_from,          CHOICE,  read_from,             "primary", "",                                  0, "where plain reads go in a cluster or with sentinels: primary, prefer_replica, replica or nearest") \
    X(availability_zone,  TEXT,    availability_zone,     "",        "",                                  0, "the zone this program runs in: read_from takes servers of it first") \
    X(timeout,            TIME,    timeout_ms,            "2s",      "",                                  0, "the deadline of a call: queue, name look-up, connect, write and read together") \
    X(acquire_timeout,    TIME,    acquire_timeout_ms,    "2s",      "",                                  0, "how long a call may wait for a free connection, within its deadline") \
    X(pool_min,           COUNT,   pool_min_count,        "0",       "",                                  0, "connections kept open once they were made") \
    X(pool_max,           COUNT,   pool_max_count,        "16",      "",                                  0, "connections at most, 1 to 4096") \
    X(pipeline_depth,     COUNT,   pipeline_depth_count,  "16",      "",                                  0, "callers that share a connection at most, 1 to 4096; 1: each has one to itself") \
    X(pool_idle_timeout,  TIME,    pool_idle_ms,          "5m",      "",                                  0, "an unused connection is closed after this") \
    X(loop_connections,   COUNT,   loop_connections_count, "1",      "",                                  0, "connections to each server for each event loop (asyncio, OpenResty), 1 to 64") \
    X(keepalive,          TIME,    keepalive_ms,          "60s",     "",                                  0, "TCP keepalive's idle time, at least a second") \
    X(breaker,            BOOL,    breaker,               "true",    "",                                  0, "false: a server that keeps failing is asked all the same") \
    X(breaker_failure_rate, PERCENT, breaker_failure_rate_percent, "50", "",                              0, "the breaker of a server opens when this share of its calls failed, 1 to 100") \
    X(breaker_window,     TIME,    breaker_window_ms,     "10s",     "",                                  0, "over how long they are counted, 100ms to 1h") \
    X(breaker_minimum_calls, COUNT, breaker_minimum_calls_count, "20", "",                                0, "of at least so many calls, 1 to 10000") \
    X(breaker_consecutive_failures, COUNT, breaker_consecutive_count, "5", "",                            0, "so many failures in a row open it too, 1 to 10000") \
    X(outage_memory,      SIZE,    outage_memory_bytes,   "1MiB",    "",                                  0, "for the keys that were written while the server was away and are deleted when it is back; 0: none, 1GiB at most") \
    X(memory,             SIZE,    memory_bytes,          "64MiB",   "",                                  0, "what mem:// may use, at least 1MiB") \
    X(max_reply,          SIZE,    max_reply_bytes,       "128MiB",  "",                                  0, "the largest reply that is accepted from a server") \
    X(prefix,             TEXT,    prefix,                "_",       "REDIS_KEY_PREFIX CACHE_KEY_PREFIX", 0, "first field of every key on the server, such as prod or test") \
    X(namespace,          TEXT,    name,                  "_",       "",                                  1, "second field of every key on the server, such as users") \
    X(version,            COUNT,   version_count,         "0",       "",                                  1, "version of the shape of a namespace's values; 0 for none") \
    X(enabled,            BOOL,    enabled,               "true",    "CACHE_ENABLED",                     1, "false: every read is a miss, nothing is written, loaders run") \
    X(ttl,                TTL,     ttl_ms,                "5m",      "CACHE_DEFAULT_TTL",                 1, "how long a value is fresh") \
    X(stale_ttl,          TIME,    stale_ttl_ms,          "0",       "",                                  1, "how much longer it may be served when its loader fails") \
    X(negative_ttl,       TIME,    negative_ttl_ms,       "30s",     "",                                  1, "how long a loader's absence is remembered; 0: not at all") \
    X(ttl_jitter,         PERCENT, ttl_jitter_percent,    "10",      "",                                  1, "a TTL is lengthened at random by up to this, 0 to 100") \
    X(max_value,          SIZE,    max_value_bytes,       "32MiB",   "",                                  1, "the largest value, written or read; 512MiB at most") \
    X(key_rules,          CHOICE,  key_rules,             "default", "",                                  1, "which keys are accepted: default, strict or bytes") \
    X(compress,           CHOICE,  compress,              "auto",    "",                                  1, "never, auto (not where sealed), always, or trusted (sealed values too)") \
    X(compress_level,     COUNT,   compress_level_count,  "1",       "",                                  1, "zstd level, 1 to 19") \
    X(compress_threshold, SIZE,    compress_threshold_bytes, "1KiB", "",                                  1, "auto compresses payloads from this size") \
    X(seal_key,           SECRET,  seal_key,              "",        "",                                  0, "seals every value with AES-256: base64 of 32 random bytes") \
    X(seal_key_id,        COUNT,   seal_key_id_count,     "0",       "",                                  0, "id of that key, 1 to 4294967295; 0: derived from it") \
    X(seal_pad,           CHOICE,  seal_pad,              "none",    "",                                  1, "hides lengths: none, 64 (to a multiple of it) or padme") \
    X(near,               CHOICE,  near,                  "off",     "",                                  1, "copies of the server's values near: off, process (in this one's memory) or shared (by all processes of this host); off, or as the client's, for a namespace") \
    X(near_bytes,         SIZE,    near_bytes,            "64MiB",   "",                                  0, "what near copies may use, at least 1MiB; shared ones as whoever made them said") \
    X(near_ttl,           TIME,    near_ttl_ms,           "60s",     "",                                  1, "how long a near copy may be used at most; 1s at most where the server does not tell what changes") \
    X(near_name,          TEXT,    near_name,             "",        "",                                  0, "the name of the shared memory, 1 to 64 of A-Z a-z 0-9 . _ -; without it one that server, database, prefix and user give") \
    X(near_owner,         TEXT,    near_owner,            "",        "",                                  0, "the user that shared memory made by root is for: a name or a number") \
    X(near_group,         TEXT,    near_group,            "",        "",                                  0, "the group, the same") \
    X(near_fd,            COUNT,   near_fd_count,         "0",       "",                                  0, "a descriptor of shared memory that this process has inherited; 0: none") \
    X(on_outage,          CHOICE,  on_outage,             "miss",    "",                                  1, "what operations come to while the server is away: miss (the application goes on) or error") \
    X(raw,                BOOL,    raw,                   "false",   "",                                  1, "true: values without an envelope, shared with programs that do not use coffer")

/* The words of each CHOICE option. X(option, word, CONSTANT, value) */
#define COFFER_CHOICE_MAP(X) \
    X(key_rules, "default", COFFER_KEYS_DEFAULT,     0) \
    X(key_rules, "strict",  COFFER_KEYS_STRICT,      1) \
    X(key_rules, "bytes",   COFFER_KEYS_BYTES,       2) \
    X(sentinel_tls, "same", COFFER_SENTINEL_TLS_SAME, 0) \
    X(sentinel_tls, "on", COFFER_SENTINEL_TLS_ON, 1) \
    X(sentinel_tls, "off", COFFER_SENTINEL_TLS_OFF, 2) \
    X(tls_min_version, "1.2", COFFER_TLS_1_2,        0) \
    X(tls_min_version, "1.3", COFFER_TLS_1_3,        1) \
    X(compress,  "never",   COFFER_COMPRESS_NEVER,   0) \
    X(compress,  "auto",    COFFER_COMPRESS_AUTO,    1) \
    X(compress,  "always",  COFFER_COMPRESS_ALWAYS,  2) \
    X(compress,  "trusted", COFFER_COMPRESS_TRUSTED, 3) \
    X(read_from, "primary", COFFER_READ_PRIMARY,     0) \
    X(read_from, "prefer_replica", COFFER_READ_PREFER_REPLICA, 1) \
    X(read_from, "replica", COFFER_READ_REPLICA,     2) \
    X(read_from, "nearest", COFFER_READ_NEAREST,     3) \
    X(on_outage, "miss",    COFFER_OUTAGE_MISS,      0) \
    X(on_outage, "error",   COFFER_OUTAGE_ERROR,     1) \
    X(near,      "off",     COFFER_NEAR_OFF,         0) \
    X(near,      "process", COFFER_NEAR_PROCESS,     1) \
    X(near,      "shared",  COFFER_NEAR_SHARED,      2) \
    X(seal_pad,  "none",    COFFER_PAD_NONE,         0) \
    X(seal_pad,  "64",      COFFER_PAD_64,           1) \
    X(seal_pad,  "padme",   COFFER_PAD_PADME,        2)

/* The named classes of TTL. X(word, milliseconds) */
#define COFFER_TTL_CLASS_MAP(X) \
    X("very_short", 60000u) \
    X("short",      300000u) \
    X("medium",     900000u) \
    X("long",       3600000u) \
    X("very_long",  86400000u) \
    X("persistent", 604800000u) \
    X("forever",    COFFER_TTL_FOREVER)
/* clang-format on */

enum {
#define COFFER_CHOICE_ENUM(option, word, constant, value) constant = (value),
    COFFER_CHOICE_MAP(COFFER_CHOICE_ENUM)
#undef COFFER_CHOICE_ENUM
};

/* All defaults. NULL where memory is short. Free with coffer_options_free. */
COFFER_API coffer_options *coffer_options_new(void);
COFFER_API coffer_options *coffer_options_copy(const coffer_options *options);
COFFER_API void coffer_options_free(coffer_options *options); /* wipes secrets; takes NULL */

/* One option by its name in the table, as text. COFFER_OPTION where the name is unknown or the value not allowed:
 * the error names the option, the value (not a secret's) and what is allowed; the options stay as they were. */
COFFER_API coffer_status coffer_options_set(coffer_options *options, const char *name, coffer_slice value, coffer_error *error);

/* A URL, whose parameters are options: mem://?memory=16MiB, redis://user:password@host:port/db?prefix=prod, unix:///run/redis.sock?db=1,
 * redis+cluster://user:password@host:port,host:port, redis+sentinel://user:password@host:port,host:port/master/db. Atomic as coffer_options_set is. User, password, path and parameters are percent-decoded. Host, port,
 * path, nodes, sentinels, users, passwords and database of an earlier URL are forgotten. No error shows the password. */
COFFER_API coffer_status coffer_options_set_url(coffer_options *options, coffer_slice url, coffer_error *error);

/* Reads COFFER_<NAME> and the usual names (see the table) through `lookup`, or getenv where it is NULL; the URL first, then the others.
 * An empty variable counts as not set. Errors name the variable, and nothing was changed then. Nothing else in coffer reads the environment
 * (but OpenSSL does, under TLS: SSL_CERT_FILE, SSL_CERT_DIR and OPENSSL_CONF). */
typedef const char *(*coffer_lookup_fn)(void *user_data, const char *name);
COFFER_API coffer_status coffer_options_from_environment(coffer_options *options, coffer_lookup_fn lookup, void *user_data, coffer_error *error);

/* What the option is now, as text that coffer_options_set would accept; a SECRET is "***" where one is set, and `url` is
 * what host, port, path, cluster_nodes, username, password (***) and db stand for. Writes at most `cap` bytes with the
 * terminator, returns the whole length, 0 for an unknown name. */
COFFER_API size_t coffer_options_get(const coffer_options *options, const char *name, char *out, size_t cap);

/* The table, for `--help` and the bindings: row `index`, or false behind the last. All static. */
typedef struct coffer_option_info {
    const char *name;
    const char *kind; /* "TEXT", "TIME" ... */
    const char *default_text;
    const char *environment; /* besides COFFER_<NAME> */
    const char *help;
    bool per_namespace;
    bool secret;
} coffer_option_info;
COFFER_API bool coffer_options_describe(size_t index, coffer_option_info *info);

/* A TTL as text ("30m", "short", "forever", "90" seconds) or as seconds. COFFER_ARG for 0, a negative number, NaN, infinity and what does not fit. */
COFFER_API coffer_status coffer_ttl_parse(coffer_slice text, uint64_t *ttl_ms, coffer_error *error);
COFFER_API coffer_status coffer_ttl_from_seconds(double seconds, uint64_t *ttl_ms, coffer_error *error);

#ifdef __cplusplus
}
#endif
#endif

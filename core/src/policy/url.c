/*    redis://user:password@host:port/db?ttl=5m&prefix=prod        unix://user:password@/run/redis.sock?db=1
 *    scheme  userinfo      host port path query                   scheme userinfo      path            query
 *
 *    redis+cluster://user:password@host:port,host:port/0?ttl=5m
 *    scheme          userinfo      nodes               path query
 *
 *    redis+sentinel://user:password@host:port,host:port/master/0?ttl=5m
 *    scheme           userinfo      sentinels           path     query
 *
 * The one danger is a password with '@', '/', '?' or '#' that was not percent-encoded: a part of it would then be taken for a host or a parameter and
 * shown in an error, or sent to a name server. So '#' is refused anywhere, '@' is refused behind the host, and no error shows user, host, port or path.
 */
#include "options_table.h"

#include "base/alloc.h"
#include "base/error.h"

#include <stdio.h>
#include <strings.h>

#define ENCODE_HINT "in user names, passwords and parameters write %40 for '@', %2F for '/', %3F for '?', %23 for '#' and %25 for '%'"
#define SCHEMES                                                                                                                                      \
    "mem://, redis://, rediss://, redis+cluster://, rediss+cluster://, redis+sentinel://, rediss+sentinel://, valkey://, valkeys:// or unix://"

/* The URL in parts, still percent-encoded, and what is being changed. */
typedef struct url_parse {
    coffer_options *draft;
    const char *what; /* for errors */
    coffer_error *error;
    coffer_slice user, password, host, port, path, query;
    bool has_password;
} url_parse;

static coffer_status refuse(const url_parse *url, const char *why) {
    return coffer__error_set(url->error, COFFER_OPTION, "%s cannot be accepted: %s", url->what, why);
}

/* Where `byte` is first in the text, or its length. */
static size_t find(coffer_slice text, char byte) {
    const char *at = text.len == 0 ? NULL : (const char *)memchr(text.data, byte, text.len);
    return at == NULL ? text.len : (size_t)(at - text.data);
}

static size_t find_last(coffer_slice text, char byte) {
    for (size_t i = text.len; i > 0; i--) {
        if (text.data[i - 1] == byte) {
            return i - 1;
        }
    }
    return text.len;
}

static bool holds(coffer_slice text, char byte) {
    return find(text, byte) < text.len;
}

static coffer_slice head(coffer_slice text, size_t len) {
    return coffer_slice_of(text.data, len);
}

/* What is behind the first `len` bytes; nothing where there are fewer. */
static coffer_slice tail(coffer_slice text, size_t len) {
    return len >= text.len ? coffer_slice_of(NULL, 0) : coffer_slice_of(text.data + len, text.len - len);
}

static int hex_digit(char byte) {
    static const char digits[] = "0123456789abcdef";
    const char *at = byte == '\0' ? NULL : strchr(digits, byte >= 'A' && byte <= 'F' ? byte - 'A' + 'a' : byte);
    return at == NULL ? -1 : (int)(at - digits);
}

/* Decodes into `out`, whose room is reserved at once so that no copy of a password stays behind in freed memory. OPTION: a bad escape. */
static coffer_status decode(coffer_slice text, coffer__buf *out) {
    if (!coffer__buf_reserve(out, text.len)) {
        return COFFER_NO_MEMORY;
    }
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.data[i];
        if (byte == '%') {
            int high = text.len - i > 2 ? hex_digit(text.data[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(text.data[i + 2]);
            if (low < 0) {
                return COFFER_OPTION;
            }
            byte = (char)(high * 16 + low);
            i += 2;
        }
        out->data[out->len++] = byte;
    }
    return COFFER_OK;
}

/* Decodes a part and sets an option to it. `part` is for errors: "the port". */
static coffer_status put(const url_parse *url, size_t index, const char *part, coffer_slice encoded, bool hidden) {
    char what[COFFER__WHAT_CAP];
    (void)snprintf(what, sizeof what, "%s of %s", part, url->what);
    coffer__origin origin = {what, hidden};
    coffer__buf value = COFFER__BUF_INIT;
    coffer_status status = decode(encoded, &value);
    if (status == COFFER_OK) {
        status = coffer__option_assign(url->draft, coffer__option_row_at(index), coffer__buf_slice(&value), &origin, url->error);
    } else if (status == COFFER_NO_MEMORY) {
        (void)coffer__options_no_memory(url->error);
    } else {
        (void)coffer__error_set(url->error, status,
                                "%s cannot be accepted: a '%%' must have two hexadecimal digits behind it (%%25 is the '%%' itself)", what);
    }
    coffer__buf_wipe(&value);
    return status;
}

/* Everything that says where the server is goes back to its default: nothing of an earlier URL stays. */
static coffer_status reset_server(const url_parse *url) {
    static const size_t of_server[] = {COFFER__AT_host,
                                       COFFER__AT_port,
                                       COFFER__AT_path,
                                       COFFER__AT_cluster_nodes,
                                       COFFER__AT_username,
                                       COFFER__AT_password,
                                       COFFER__AT_password_file,
                                       COFFER__AT_db,
                                       COFFER__AT_sentinel_nodes,
                                       COFFER__AT_sentinel_master,
                                       COFFER__AT_sentinel_username,
                                       COFFER__AT_sentinel_password};
    url->draft->local = true;
    url->draft->tls = false;
    coffer_status status = COFFER_OK;
    for (size_t i = 0; status == COFFER_OK && i < sizeof of_server / sizeof of_server[0]; i++) {
        const coffer__option_row *row = coffer__option_row_at(of_server[i]);
        const coffer__origin origin = {"a default", true};
        status = coffer__option_assign(url->draft, row, coffer_slice_text(row->default_text), &origin, url->error);
    }
    return status;
}

static coffer_status put_credentials(const url_parse *url) {
    coffer_status status = put(url, COFFER__AT_username, "the user name", url->user, true);
    return status == COFFER_OK && url->has_password ? put(url, COFFER__AT_password, "the password", url->password, true) : status;
}

static coffer_status apply_mem(const url_parse *url) {
    bool is_empty = url->host.len == 0 && url->port.len == 0 && url->user.len == 0 && !url->has_password;
    if (!is_empty || url->path.len > 1) {
        return refuse(url, "mem:// has no user, host or path, only parameters, as in mem://?memory=64MiB");
    }
    return COFFER_OK;
}

static coffer_status put_database(const url_parse *url) {
    if (holds(url->path, '@')) {
        return refuse(url, "it has an '@' behind its host; " ENCODE_HINT);
    }
    return url->path.len <= 1 ? COFFER_OK : put(url, COFFER__AT_db, "the database, behind the '/',", tail(url->path, 1), true);
}

static coffer_status apply_tcp(const url_parse *url) {
    static const coffer_slice nearby = {"localhost", 9};
    coffer_status status = put_database(url);
    if (status == COFFER_OK) {
        status = put(url, COFFER__AT_host, "the host", url->host.len == 0 ? nearby : url->host, true);
    }
    if (status == COFFER_OK && url->port.len > 0) {
        status = put(url, COFFER__AT_port, "the port", url->port, true);
    }
    return status == COFFER_OK ? put_credentials(url) : status;
}

static coffer_status apply_tls(const url_parse *url) {
    url->draft->tls = true;
    return apply_tcp(url);
}

static coffer_status apply_unix(const url_parse *url) {
    if (url->host.len > 0 || url->port.len > 0) {
        return refuse(
            url, "a unix socket has an absolute path and no host: unix:///run/redis.sock?db=1 or unix://user:password@/run/redis.sock; " ENCODE_HINT);
    }
    if (url->path.len <= 1) {
        return refuse(url, "the path of the socket is missing: unix:///run/redis.sock");
    }
    coffer_status status = put(url, COFFER__AT_path, "the path", url->path, true);
    return status == COFFER_OK ? put_credentials(url) : status;
}

static coffer_status apply_cluster(const url_parse *url) {
    if (url->path.len > 1 && !coffer_slice_equal(url->path, COFFER_SLICE("/0"))) {
        return refuse(url, holds(url->path, '@') ? "it has an '@' behind its host; " ENCODE_HINT
                                                 : "a cluster has the database 0 alone, as in redis+cluster://host:7000,host:7001");
    }
    if (url->host.len == 0) {
        return refuse(url, "the nodes are missing: some of the cluster's, as in redis+cluster://host:7000,host:7001");
    }
    coffer_status status = put(url, COFFER__AT_cluster_nodes, "the list of nodes", url->host, true);
    return status == COFFER_OK ? put_credentials(url) : status;
}

static coffer_status apply_cluster_tls(const url_parse *url) {
    url->draft->tls = true;
    return apply_cluster(url);
}

/* The path is /master or /master/db. */
static coffer_status apply_sentinel(const url_parse *url) {
    coffer_slice path = tail(url->path, 1);
    coffer_slice master = head(path, find(path, '/')), db = tail(path, master.len + 1);
    if (holds(url->path, '@')) {
        return refuse(url, "it has an '@' behind its host; " ENCODE_HINT);
    }
    if (url->host.len == 0) {
        return refuse(url, "the sentinels are missing, as in redis+sentinel://host:26379,host:26379/master-name");
    }
    if (master.len == 0) {
        return refuse(url, "the name of the master is missing, as in redis+sentinel://host:26379,host:26379/master-name");
    }
    coffer_status status = put(url, COFFER__AT_sentinel_nodes, "the list of sentinels", url->host, true);
    status = status == COFFER_OK ? put(url, COFFER__AT_sentinel_master, "the name of the master", master, true) : status;
    status = status == COFFER_OK && db.len > 0 ? put(url, COFFER__AT_db, "the database, behind the master's name,", db, true) : status;
    return status == COFFER_OK ? put_credentials(url) : status;
}

static coffer_status apply_sentinel_tls(const url_parse *url) {
    url->draft->tls = true;
    return apply_sentinel(url);
}

typedef struct scheme {
    const char *name;
    coffer_status (*apply)(const url_parse *url);
    bool has_list; /* of hosts */
} scheme;

static const scheme schemes[] = {
    {"mem", apply_mem, false},
    {"redis", apply_tcp, false},
    {"rediss", apply_tls, false},
    {"valkey", apply_tcp, false},
    {"valkeys", apply_tls, false},
    {"unix", apply_unix, false},
    {"redis+unix", apply_unix, false},
    {"redis+cluster", apply_cluster, true},
    {"rediss+cluster", apply_cluster_tls, true},
    {"redis+sentinel", apply_sentinel, true},
    {"rediss+sentinel", apply_sentinel_tls, true},
    {"valkey+sentinel", apply_sentinel, true},
    {"valkeys+sentinel", apply_sentinel_tls, true},
};

static const scheme *find_scheme(coffer_slice name) {
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (strlen(schemes[i].name) == name.len && strncasecmp(schemes[i].name, name.data, name.len) == 0) {
            return &schemes[i];
        }
    }
    return NULL;
}

static coffer_status put_parameter(const url_parse *url, coffer_slice pair) {
    coffer_slice name = head(pair, find(pair, '='));
    if (name.len == pair.len || name.len == 0) {
        return refuse(url, "each parameter must be of the form name=value");
    }
    const coffer__option_row *row = coffer__option_find(name);
    char text[COFFER__WHAT_CAP];
    if (row == NULL || row == coffer__option_row_at(COFFER__AT_url)) {
        (void)snprintf(text, sizeof text, " for a parameter of %s", url->what);
        return coffer__option_unknown(name, text, url->error);
    }
    (void)snprintf(text, sizeof text, "the parameter '%s'", row->name);
    for (size_t i = 0; i < COFFER__OPTION_ROWS; i++) {
        if (row == coffer__option_row_at(i)) {
            return put(url, i, text, tail(pair, name.len + 1), false);
        }
    }
    return COFFER_INTERNAL;
}

static coffer_status put_parameters(const url_parse *url) {
    coffer_status status = COFFER_OK;
    for (coffer_slice rest = url->query; status == COFFER_OK && rest.len > 0;) {
        size_t len = find(rest, '&');
        status = len == 0 ? COFFER_OK : put_parameter(url, head(rest, len));
        rest = tail(rest, len + 1);
    }
    return status;
}

/* "host", "host:port", "[::1]:port" */
static coffer_status split_host(url_parse *url, coffer_slice text) {
    bool has_brackets = text.len > 0 && text.data[0] == '[';
    size_t end = has_brackets ? find(text, ']') : find(text, ':');
    url->host = has_brackets ? tail(head(text, end), 1) : head(text, end);
    coffer_slice behind = tail(text, has_brackets ? end + 1 : end);
    if (has_brackets && (end == text.len || !holds(url->host, ':'))) {
        return refuse(url, "brackets are for an IPv6 address, as in redis://[::1]:6379/0");
    }
    if (behind.len > 0 && (behind.data[0] != ':' || holds(tail(behind, 1), ':'))) {
        return refuse(url, "behind the host only ':' and a port may follow, and an IPv6 address needs brackets, as in redis://[::1]:6379/0");
    }
    url->port = tail(behind, 1);
    return COFFER_OK;
}

/* All that is behind "scheme://". The last '@' ends the user and password, for a host has none. */
static coffer_status split(url_parse *url, bool has_list, coffer_slice text) {
    size_t query = find(text, '?');
    url->query = tail(text, query + 1);
    text = head(text, query);
    size_t path = find(text, '/');
    url->path = tail(text, path);
    coffer_slice authority = head(text, path);
    size_t at = find_last(authority, '@');
    if (at < authority.len) {
        coffer_slice userinfo = head(authority, at);
        size_t colon = find(userinfo, ':');
        url->user = head(userinfo, colon);
        url->has_password = colon < userinfo.len;
        url->password = tail(userinfo, colon + 1);
        authority = tail(authority, at + 1);
    }
    if (has_list) {
        url->host = authority;
        return COFFER_OK;
    }
    return split_host(url, authority);
}

static bool has_bad_byte(coffer_slice text) {
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        if (byte <= 0x20 || byte == 0x7F) {
            return true;
        }
    }
    return false;
}

coffer_status coffer__url_apply(coffer_options *draft, coffer_slice text, const char *what, coffer_error *error) {
    enum { URL_BYTES_MAX = 8192 };
    url_parse url = {.draft = draft, .what = what, .error = error};
    if (text.len > URL_BYTES_MAX || has_bad_byte(text)) {
        return refuse(&url, "it may hold no blanks or control characters and at most 8192 bytes");
    }
    size_t colon = find(text, ':');
    const scheme *found = find_scheme(head(text, colon));
    if (found == NULL || text.len - colon < 3 || memcmp(text.data + colon, "://", 3) != 0) {
        return refuse(&url, "it must begin with " SCHEMES);
    }
    if (holds(text, '#')) {
        return refuse(&url, "it holds a '#'; " ENCODE_HINT);
    }
    coffer_status status = split(&url, found->has_list, tail(text, colon + 3));
    if (holds(url.query, '@')) { /* before any other words: the host may be half a password */
        return refuse(&url, "it has an '@' behind its host; " ENCODE_HINT);
    }
    status = status == COFFER_OK ? reset_server(&url) : status;
    status = status == COFFER_OK ? found->apply(&url) : status;
    return status == COFFER_OK ? put_parameters(&url) : status;
}

static bool is_unreserved(char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte != '\0' && strchr("-._~", byte) != NULL);
}

static bool append_encoded(coffer__buf *out, const char *text, char also_plain) {
    static const char hex[] = "0123456789ABCDEF";
    bool is_ok = true;
    for (; *text != '\0' && is_ok; text++) {
        uint8_t byte = (uint8_t)*text;
        char escaped[3] = {'%', hex[byte >> 4], hex[byte & 15]};
        bool is_plain = is_unreserved(*text) || *text == also_plain;
        is_ok = is_plain ? coffer__buf_append(out, text, 1) : coffer__buf_append(out, escaped, sizeof escaped);
    }
    return is_ok;
}

static bool append_text(coffer__buf *out, const char *text) {
    return coffer__buf_append_slice(out, coffer_slice_text(text));
}

static bool append_userinfo(coffer__buf *out, const coffer_options *options) {
    bool has_password = options->password[0] != '\0';
    if (options->username[0] == '\0' && !has_password) {
        return true;
    }
    return append_encoded(out, options->username, '\0') && append_text(out, has_password ? ":***@" : "@");
}

/* Nodes hold nothing that has to be escaped but the '%' of an IPv6 zone. */
static bool append_nodes(coffer__buf *out, const coffer_options *options, const char *plain, const char *tls, const char *nodes) {
    bool is_ok = append_text(out, options->tls ? tls : plain) && append_userinfo(out, options);
    for (const char *at = nodes; *at != '\0' && is_ok; at++) {
        is_ok = *at == '%' ? append_text(out, "%25") : coffer__buf_append(out, at, 1);
    }
    return is_ok;
}

static bool append_cluster(coffer__buf *out, const coffer_options *options) {
    return append_nodes(out, options, "redis+cluster://", "rediss+cluster://", options->cluster_nodes);
}

static bool append_sentinel(coffer__buf *out, const coffer_options *options) {
    char db[32];
    (void)snprintf(db, sizeof db, "/%llu", (unsigned long long)options->db);
    return append_nodes(out, options, "redis+sentinel://", "rediss+sentinel://", options->sentinel_nodes) && append_text(out, "/") &&
           append_text(out, options->sentinel_master) && append_text(out, db);
}

static bool append_server(coffer__buf *out, const coffer_options *options) {
    char numbers[64];
    bool has_path = options->path[0] != '\0', has_colon = strchr(options->host, ':') != NULL;
    const char *name = has_path ? "unix://" : options->tls ? "rediss://" : "redis://";
    if (!append_text(out, name) || !append_userinfo(out, options)) {
        return false;
    }
    if (has_path) {
        (void)snprintf(numbers, sizeof numbers, "?db=%llu", (unsigned long long)options->db);
        return append_encoded(out, options->path, '/') && append_text(out, numbers);
    }
    (void)snprintf(numbers, sizeof numbers, ":%llu/%llu", (unsigned long long)options->port, (unsigned long long)options->db);
    return append_text(out, has_colon ? "[" : "") && append_encoded(out, options->host, ':') && append_text(out, has_colon ? "]" : "") &&
           append_text(out, numbers);
}

char *coffer__url_render(const coffer_options *options) {
    coffer__buf out = COFFER__BUF_INIT;
    bool is_ok = options->local                       ? append_text(&out, "mem://")
                 : options->cluster_nodes[0] != '\0'  ? append_cluster(&out, options)
                 : options->sentinel_nodes[0] != '\0' ? append_sentinel(&out, options)
                                                      : append_server(&out, options);
    if (!is_ok || !coffer__buf_append(&out, "", 1)) {
        coffer__buf_free(&out);
        return NULL;
    }
    return out.data;
}

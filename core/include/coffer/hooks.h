/* What a C program may put under the library: its own allocator, a function that is told what goes wrong, and in its tests a clock that they move.
 *
 *     static void to_stderr(void *user_data, const coffer_log_record *record) {
 *         fprintf(stderr, "coffer %s: %s\n", coffer_log_level_name(record->level), record->text);
 *     }
 *     int main(void) {
 *         coffer_set_log(to_stderr, NULL);
 *         ... coffer_open ...
 *
 * They belong to the process, not to a cache. Set the first two before anything else of coffer is called, while there is one thread; nothing checks that.
 */
#ifndef COFFER_HOOKS_H
#define COFFER_HOOKS_H

#include <coffer/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- memory -------------------------------------------------------------------------------------------------- */

/* Called from any thread, also as a thread ends, and by the end of the program behind its atexit functions. Memory is aligned as malloc's. None of them may call coffer. */
typedef struct coffer_allocator {
    void *(*alloc)(size_t size); /* never asked for 0 bytes; NULL where there is no memory: the call ends in NO_MEMORY */
    void *(*resize)(void *old, size_t size); /* as realloc: `old` may be NULL, and stays as it was where NULL is returned */
    void (*release)(void *memory); /* takes NULL */
} coffer_allocator;

/* Replaces malloc, realloc and free; NULL brings them back. Copied. What was allocated goes back to whatever is set then: hence before anything else.
 * All memory of coffer's own comes through it. What hiredis (its reply reader), zstd and OpenSSL keep for themselves does not.
 * ARG, and nothing is changed, where one of the three is missing. */
COFFER_API coffer_status coffer_set_allocator(const coffer_allocator *allocator);

/* ---- log ----------------------------------------------------------------------------------------------------- */

typedef enum coffer_log_level {
    COFFER_LOG_ERROR = 1, /* somebody has to look at it */
    COFFER_LOG_WARNING = 2, /* the cache helps less than it should */
    COFFER_LOG_INFO = 3 /* as it should be */
} coffer_log_level;

/* clang-format off */
/* X(NAME, LEVEL, text): what is told, and no more than this. */
#define COFFER_LOG_EVENT_MAP(X) \
    X(CONNECTED,         INFO,    "a connection is ready for use") \
    X(CONNECT_FAILED,    WARNING, "a connection could not be made") \
    X(TLS_UNVERIFIED,    WARNING, "tls_insecure_skip_verify is set: whoever answers is taken for the server") \
    X(CERTIFICATES_KEPT, WARNING, "a file of TLS was changed and cannot be read: what was read before stays in use") \
    X(GREETING_REFUSED,  ERROR,   "the server refused the user, the password or the database") \
    X(TRACKING_REFUSED,  WARNING, "the server does not tell what changes (CLIENT TRACKING): near copies live for a second at most") \
    X(CONNECTION_LOST,   WARNING, "a connection broke, or was given up with replies due") \
    X(REPLY_REFUSED,     ERROR,   "the server's bytes are not the protocol, or are more than is allowed: the connection is closed") \
    X(ENTRY_REFUSED,     WARNING, "a stored entry cannot be trusted or read: it counts as a miss") \
    X(FILL_NOT_STORED,   WARNING, "a loaded value was given to its caller and could not be stored") \
    X(LOAD_FAILED,       WARNING, "a loader failed") \
    X(OUTAGE_BEGAN,      WARNING, "a server cannot be asked: operations go on without it, as the option 'on_outage' says") \
    X(OUTAGE_ENDED,      INFO,    "a server that could not be asked has answered again") \
    X(OWED_FORGOTTEN,    WARNING, "the cache was closed while keys were still to be deleted: their old values may be served until their TTL ends") \
    X(NEAR_PRIVATE,      WARNING, "the near cache that processes share cannot be used: this process has one of its own")
/* clang-format on */

typedef enum coffer_log_event {
#define COFFER_LOG_EVENT_ENUM(name, level, text) COFFER_LOG_##name,
    COFFER_LOG_EVENT_MAP(COFFER_LOG_EVENT_ENUM)
#undef COFFER_LOG_EVENT_ENUM
        COFFER_LOG_EVENT_COUNT
} coffer_log_event;

/* One record; lent for the length of the call. Later versions may add fields at its end. */
typedef struct coffer_log_record {
    coffer_log_level level; /* the event's */
    coffer_log_event event;
    coffer_status status; /* why: BAD_CRC, CONNECT ...; OK where there is no why */
    const char *text; /* one printable line: the event's text and the details. Never a key, a value, a secret, or words of the server */
} coffer_log_record;

/* Called in the thread where it happens, as it happens, by several threads at once. It may not call coffer (but for the two names below) and should not
 * block: an operation waits for it. Each failed attempt to connect is told (CONNECT_FAILED); operations that go on
 * without a server are not, one by one: OUTAGE_BEGAN and OUTAGE_ENDED are told once for each outage of a server, and at most once within the option
 * `breaker_window`. */
typedef void (*coffer_log_fn)(void *user_data, const coffer_log_record *record);

/* NULL, as at the start: silence. What happens in numbers is in metrics.h, with or without a log. */
COFFER_API void coffer_set_log(coffer_log_fn log, void *user_data);

COFFER_API const char *coffer_log_level_name(coffer_log_level level); /* "error", "warning", "info". Static; "unknown" for others */
COFFER_API const char *coffer_log_event_name(coffer_log_event event); /* "CONNECTION_LOST". Static; "UNKNOWN" for others */

/* ---- clock, for tests of programs that use coffer ------------------------------------------------------------------
 *
 *     static _Atomic uint64_t now_us;                      int main(void) {
 *     static uint64_t held(void) { return now_us; }            now_us = coffer_now_us();
 *                                                              coffer_set_clock(held);
 *                                                              ... coffer_set(cache, "k", "v", ttl of a minute) ...
 *                                                              now_us += 60000000;                   no need to wait for it
 *                                                              ... coffer_get(cache, "k") is a miss ...
 *                                                              coffer_set_clock(NULL);
 */

/* What every driver reads: microseconds since some moment, never less than before. */
COFFER_API uint64_t coffer_now_us(void);

/* The same in milliseconds, up to 16 ms behind, for a fraction of what the exact time costs: for coffer_peek. */
COFFER_API uint64_t coffer_now_coarse_ms(void);

/* How many microseconds an event loop may sleep until then; UINT64_MAX for that. While a test has the clock it is short, for then a sleep says nothing of the time. */
COFFER_API uint64_t coffer_wait_us(uint64_t until_us);

/* Replaces the monotonic clock, and with it the unix time, which moves along from what it is now. The function may be called by any thread at any time, and may not
 * go back; it starts at coffer_now_us(), so that caches that are open know nothing of the change. NULL brings the real clock back: time that was
 * skipped stays skipped. What waits (for a reply, for a loader, between two attempts) notices a move within 50 ms; meanwhile coffer_cache_run may answer
 * COFFER_WANT_REPLY early. What is not moved is the server: its TTLs end when they do. */
COFFER_API void coffer_set_clock(uint64_t (*monotonic_us)(void));

#ifdef __cplusplus
}
#endif
#endif
